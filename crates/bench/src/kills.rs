//! Measures how soon milvus-cdc goes on after it was killed in the middle of a load, and how long
//! the target needs to be equal after the last kill. All times are those of its defaults.
//! Never kills anything but milvus-cdc.

use crate::figures::{line, quantile};
use crate::scene::Scene;
use anyhow::{Context, Result, ensure};
use lab::READY_WITHIN;
use std::time::Duration;
use testkit::compare::Comparison;
use testkit::milvus::CollectionSpec;
use testkit::service::Service;
use testkit::wait;
use testkit::workload::Workload;
use tokio::time::{Instant, sleep};

/// How often it is killed, and from one start to the next kill.
const KILLS: usize = 12;
const LIVES_FOR: Duration = Duration::from_secs(5);

const EVENTS: &str = "milvus_cdc_replicate_events_total";

const ROWS_PER_SECOND: u64 = 2000;

/// What does not happen within this time does not happen.
const WITHIN: Duration = Duration::from_secs(120);

/// The outcome.
pub(crate) struct Kills {
    /// Seconds from a start until everything that the source had written before is on the target,
    /// sorted.
    beyond: Vec<f64>,
    /// Starts after which that took longer than until the next kill was due.
    stuck: usize,
    /// Windows that kills had left open.
    replayed: f64,
    /// Seconds from the last write to equality.
    drained: f64,
}

/// Writes, and kills.
pub(crate) async fn measure(scene: &Scene) -> Result<Kills> {
    let spec = CollectionSpec::small("killed", 128).shards(2);
    let mut service = scene.service().await?;
    let task = service.api().create_task_for_all(&scene.target_address()).await?;
    service.api().wait_begun(&task, READY_WITHIN).await?;
    scene.source.create_ready(&spec).await?;
    let load =
        Workload { rows_per_second: ROWS_PER_SECOND, ..Workload::mixed(vec![spec.clone()], 1) };
    let load = load.start(&scene.source)?;
    let mut kills = Kills { beyond: Vec::new(), stuck: 0, replayed: 0.0, drained: 0.0 };
    sleep(LIVES_FOR).await;
    for _ in 0..KILLS {
        service.kill()?;
        let killed = scene.source.clock().await?.ms();
        let started = Instant::now();
        service.restart().await?;
        beyond(&service, &task, killed).await?;
        let took = started.elapsed();
        kills.beyond.push(took.as_secs_f64());
        kills.stuck += usize::from(took > LIVES_FOR);
        let replayed = service.api().metric(EVENTS, "replayed_window").await;
        kills.replayed += replayed.unwrap_or(0.0);
        sleep(LIVES_FOR.saturating_sub(took)).await;
    }
    load.stop().await?;
    let ended = Instant::now();
    Comparison::new(&scene.source, &scene.target, spec.name()).equal_within(WITHIN).await?;
    kills.drained = ended.elapsed().as_secs_f64();
    kills.beyond.sort_by(f64::total_cmp);
    scene.source.drop_collection(spec.name()).await?;
    Ok(kills)
}

/// Waits until what the source had written at a moment is stored as done.
async fn beyond(service: &Service, task: &str, moment_ms: u64) -> Result<()> {
    wait::until(format!("progress beyond {moment_ms}"), WITHIN, || async {
        let position = service.api().position(task).await?;
        let channels = position["positions"].as_array().context("no position")?;
        let reached = channels.iter().map(|c| c["time"].as_u64().unwrap_or_default()).min();
        ensure!(reached > Some(moment_ms), "{reached:?}");
        Ok(Some(()))
    })
    .await
}

impl Kills {
    /// Shows them.
    pub(crate) fn print(&self) {
        let seconds = |value: f64| format!("{value:.1} s");
        line("kills, 5 s apart, under 2,000 rows/s", &KILLS.to_string(), "");
        line("windows left open by them", &format!("{:.0}", self.replayed), "");
        line("beyond the kill, p50", &seconds(quantile(&self.beyond, 0.5)), "3 s");
        line("beyond the kill, worst", &seconds(quantile(&self.beyond, 1.0)), "5 s");
        line("lives without progress", &self.stuck.to_string(), "0");
        line("equal after the last write", &seconds(self.drained), "5 s");
    }
}
