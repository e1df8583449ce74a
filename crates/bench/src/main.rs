//! `bench`: what milvus-cdc costs and how fast it is, on real servers. Every rate is shown as a
//! ratio to a raw reader of the same topics in the same run. Never fails because a figure is bad,
//! only because a row is missing.

mod backlog;
mod catch_up;
mod delay;
mod figures;
mod idle;
mod kafka_sink;
mod kills;
mod raw_write;
mod scene;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use figures::chapter;
use scene::{Queue, Scene};
use std::process::ExitCode;

/// Measures milvus-cdc on real servers.
#[derive(Parser)]
struct Arguments {
    /// How large a backlog is written for catching up, in megabytes of rows.
    #[arg(long, default_value_t = 2000)]
    megabytes: u64,
    /// How often the backlog is read by either reader.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long rows are written for the delay, in seconds.
    #[arg(long, default_value_t = 60)]
    delay_seconds: u64,
    /// The queue of the source.
    #[arg(long, default_value = "kafka")]
    queue: Queue,
    /// Only this part.
    #[arg(long)]
    only: Option<Part>,
    /// Leaves the source's etcd and queue running at the end, until Ctrl-C, to measure by hand.
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Part {
    Idle,
    Delay,
    Kills,
    CatchUp,
    KafkaSink,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = tokio::select! {
        ended = measure(&arguments) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    chapter("Starting a source and a target Milvus");
    let mut scene = Scene::start(arguments.queue).await?;
    if wanted(Part::Idle) {
        chapter("Idle, one task");
        idle::measure(&scene).await?.print();
    }
    if wanted(Part::Delay) {
        chapter("Delay from the source's acknowledgement to visibility on the target");
        delay::measure(&scene, arguments.delay_seconds).await?.print();
    }
    if wanted(Part::Kills) {
        chapter("Going on after kills");
        kills::measure(&scene).await?.print();
    }
    if wanted(Part::CatchUp) || wanted(Part::KafkaSink) {
        chapter("Writing a backlog through the source Milvus");
        let backlog = backlog::write(&mut scene, arguments.megabytes).await?;
        backlog.print();
        if wanted(Part::CatchUp) {
            chapter("Catching up into a target that acknowledges and counts");
            catch_up::measure(&scene, &backlog, arguments.rounds).await?.print();
        }
        if wanted(Part::KafkaSink) {
            chapter("Writing the backlog to a Kafka");
            kafka_sink::measure(&scene, &backlog, arguments.rounds).await?.print();
        }
    }
    if arguments.keep {
        scene.print_addresses();
        tokio::signal::ctrl_c().await?;
    }
    scene.end()
}
