//! `chaos`: random faults of real servers while rows are written, by a seed; then the target has to
//! be what the source's log stands for. Never stops at a fault that it made itself: only at what
//! milvus-cdc, or one of its tasks, did not survive.
//!
//! A [`plan`] says what a seed stands for, [`world`] is the servers, [`load`] (with [`writer`] and
//! [`ddl`]) writes and keeps a [`journal`], [`inflict`] carries out the faults, and [`judge`]
//! compares the target with the [`truth`] in the [`log`].

mod ddl;
mod inflict;
mod journal;
mod judge;
mod load;
mod log;
mod plan;
mod tally;
mod truth;
mod world;
mod writer;

use anyhow::{Context as _, Result};
use clap::Parser;
use judge::{Finding, Verdict};
use load::Load;
use plan::{Part, Plan};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tally::Tally;
use tokio::time::{Instant, sleep};
use world::World;

/// Random faults on real servers; then the target has to equal the source's log.
#[derive(Parser)]
struct Arguments {
    /// How long: one run after the other, each with the next seed.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The first seed; without it that of the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// How long the faults of one run go on.
    #[arg(long, default_value_t = 4)]
    run_minutes: u64,
    /// Only faults of these parts, separated by commas.
    #[arg(long, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Goes on with the next seed after a run that failed.
    #[arg(long)]
    go_on: bool,
    /// Where the evidence of a failed run is left.
    #[arg(long, default_value = "target/chaos")]
    folder: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = tokio::select! {
        ended = run_all(&arguments) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nchaos could not go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all runs ended well.
async fn run_all(arguments: &Arguments) -> Result<bool> {
    let end = Instant::now() + Duration::from_secs(60 * arguments.minutes);
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first = arguments.seed.unwrap_or_else(|| now().map_or(1, |now| now.as_secs()));
    let mut all = Tally::default();
    let (mut runs, mut failed) = (0, vec![]);
    while runs == 0 || Instant::now() < end {
        let seed = first + runs;
        let left = end.saturating_duration_since(Instant::now());
        let lasts = left.min(Duration::from_secs(60 * arguments.run_minutes));
        if !one(arguments, seed, lasts, &mut all).await? {
            failed.push(seed);
        }
        runs += 1;
        if !failed.is_empty() && !arguments.go_on {
            break;
        }
    }
    println!("\n{all}\n\n{runs} runs, seeds {first} to {}", first + runs - 1);
    if !failed.is_empty() {
        println!("failed: {failed:?}");
    }
    Ok(failed.is_empty())
}

/// One run; whether it ended well. Its folder stays if not.
async fn one(arguments: &Arguments, seed: u64, lasts: Duration, all: &mut Tally) -> Result<bool> {
    let folder = arguments.folder.join(format!("seed-{seed}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let plan = Plan::of(seed, &arguments.parts);
    println!("\n== seed {seed}: {}", plan.setting);
    let mut world = Box::pin(World::start(&folder, &plan.setting)).await?;
    let mut tally = Tally::default();
    let ended = Box::pin(faults_and_judgement(&mut world, plan, (seed, lasts), &mut tally)).await;
    println!("{tally}");
    all.add(&tally);
    let (what, histories) = match ended {
        Ok(Ok(verdict)) => {
            println!("seed {seed}: {verdict}");
            drop(world);
            std::fs::remove_dir_all(&folder).context("remove what is not needed")?;
            return Ok(true);
        }
        Ok(Err(Finding { what, histories })) => (what, histories),
        Err(error) => (format!("{error:#}"), String::new()),
    };
    std::fs::write(folder.join("finding.txt"), format!("seed {seed}\n{what}\n\n{tally}\n"))?;
    std::fs::write(folder.join("histories.txt"), histories)?;
    world.keep_services(&folder).await?;
    println!("\nFAILED: seed {seed}: {what}");
    println!("evidence: {}", folder.display());
    Ok(false)
}

async fn faults_and_judgement(
    world: &mut World,
    plan: Plan,
    (seed, lasts): (u64, Duration),
    tally: &mut Tally,
) -> Result<std::result::Result<Verdict, Finding>> {
    let with_databases = !plan.setting.two_tasks;
    let load = Load::start(&world.at_source, seed, with_databases).await?;
    let begun = Instant::now();
    let mut faults = plan;
    while begun.elapsed() < lasts {
        let Some(step) = faults.next() else { break };
        sleep(step.pause).await;
        let at = load.journal.now().as_secs_f64();
        let met = Box::pin(inflict::carry_out(world, &step)).await?;
        tally.count(step.fault, &met);
        let killed = if step.and_killed { ", milvus-cdc killed meanwhile" } else { "" };
        println!(
            "{at:9.1} s  {} for {:.1} s{killed}: {} open windows, {} complaints{}",
            step.fault,
            step.lasts.as_secs_f64(),
            met.windows,
            met.complaints,
            met.ended.iter().map(|part| format!("; {part} had ended")).collect::<String>(),
        );
    }
    let journal = load.stop().await?;
    println!("{} rows and keys acknowledged", journal.acknowledged());
    world.mend()?;
    judge::judge(world, &journal).await
}
