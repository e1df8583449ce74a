//! A backlog in Kafka, written by a real Milvus. Afterwards that Milvus is stopped, so that only the
//! readers are measured; its etcd stays.

use crate::figures::line;
use crate::scene::Scene;
use anyhow::Result;
use lab::Server;
use std::time::Duration;
use testkit::milvus::{Batch, CollectionSpec, Milvus};
use testkit::rows::{RowGenerator, RowId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// With four shards each they spread over all sixteen channels.
const COLLECTIONS: usize = 4;
const SHARDS: i32 = 4;
const DIMENSION: u32 = 128;
const ROWS_PER_CALL: u64 = 2000;

/// Key, version and vector.
const ROW_BYTES: u64 = 8 + 8 + 4 * DIMENSION as u64;

/// Several ticks, which come every 200 ms: the last row is covered.
const TICKED_WITHIN: Duration = Duration::from_secs(2);

/// What was written.
pub(crate) struct Backlog {
    /// Rows inserted.
    pub(crate) rows: u64,
    seconds: f64,
}

/// Writes so many megabytes of rows.
pub(crate) async fn write(scene: &mut Scene, megabytes: u64) -> Result<Backlog> {
    let calls_each =
        (megabytes * 1_000_000).div_ceil(ROW_BYTES * ROWS_PER_CALL * COLLECTIONS as u64);
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for n in 0..COLLECTIONS {
        let spec = CollectionSpec::small(&format!("backlog{n}"), DIMENSION).shards(SHARDS);
        scene.source.create_collection(&spec).await?;
        writers.spawn(fill(scene.source.clone(), spec, calls_each));
    }
    while let Some(filled) = writers.join_next().await {
        filled??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    sleep(TICKED_WITHIN).await;
    scene.pair.target.kill()?;
    scene.pair.source.kill()?;
    Ok(Backlog { rows: calls_each * ROWS_PER_CALL * COLLECTIONS as u64, seconds })
}

async fn fill(source: Milvus, spec: CollectionSpec, calls: u64) -> Result<()> {
    let generator = RowGenerator::new(&spec.schema, 1)?;
    for call in 0..calls {
        let keys = call * ROWS_PER_CALL..(call + 1) * ROWS_PER_CALL;
        let rows: Vec<RowId> = keys.map(|key| RowId { key, version: 0 }).collect();
        let batch = Batch {
            collection: spec.name().to_owned(),
            columns: generator.columns(&rows),
            rows: rows.len() as u32,
            ..Default::default()
        };
        source.insert(batch).await?;
    }
    Ok(())
}

impl Backlog {
    /// Shows it.
    pub(crate) fn print(&self) {
        line("rows of 128 dimensions", &self.rows.to_string(), "");
        line("written in", &format!("{:.0} s", self.seconds), "");
    }
}
