//! What a milvus-cdc costs while its source writes nothing but ticks. Never counts its start.

use crate::figures::{line, mib};
use crate::scene::Scene;
use anyhow::Result;
use lab::READY_WITHIN;
use std::time::Duration;
use testkit::milvus::CollectionSpec;
use testkit::wait;
use tokio::time::{Instant, sleep};

/// Long enough that the kernel's clock ticks of 10 ms do not matter.
const WATCHED: Duration = Duration::from_secs(30);

/// So many collections tick, each on channels of its own.
const COLLECTIONS: usize = 4;

/// What was seen.
pub(crate) struct Idle {
    percent: f64,
    resident: u64,
    threads: u64,
}

/// Watches a task without rows.
pub(crate) async fn measure(scene: &Scene) -> Result<Idle> {
    let service = scene.service().await?;
    let task = service.api().create_task_for_all(&scene.target_address()).await?;
    service.api().wait_begun(&task, READY_WITHIN).await?;
    let specs: Vec<_> =
        (0..COLLECTIONS).map(|n| CollectionSpec::small(&format!("idle{n}"), 8).shards(2)).collect();
    for spec in &specs {
        scene.source.create_collection(spec).await?;
    }
    wait::until("the collections on the target", READY_WITHIN, || async {
        let there = scene.target.collections().await?;
        Ok(specs.iter().all(|spec| there.iter().any(|name| name == spec.name())).then_some(()))
    })
    .await?;
    let before = service.usage()?;
    let begun = Instant::now();
    sleep(WATCHED).await;
    let after = service.usage()?;
    let percent = (after.cpu - before.cpu).as_secs_f64() * 100.0 / begun.elapsed().as_secs_f64();
    for spec in &specs {
        scene.source.drop_collection(spec.name()).await?;
    }
    Ok(Idle { percent, resident: after.resident_bytes, threads: after.threads })
}

impl Idle {
    /// Shows it.
    pub(crate) fn print(&self) {
        line("processor", &format!("{:.1} % of a core", self.percent), "3 %");
        line("resident memory", &format!("{:.0} MiB", mib(self.resident)), "40 MiB");
        line("threads", &self.threads.to_string(), "");
    }
}
