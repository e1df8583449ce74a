//! A backlog in the source's queue, written by a real Milvus. That Milvus is never measured: it is
//! stopped afterwards, and only its etcd stays.

use crate::figures::line;
use crate::scene::Scene;
use anyhow::{Result, ensure};
use lab::Server;
use milvus_wire::message::{Message, decode};
use milvus_wire::timestamp::Timestamp;
use std::time::Duration;
use testkit::milvus::{CollectionSpec, Milvus};
use testkit::rows::{RowGenerator, RowId};
use testkit::wait;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// With four shards each, the collections cover all sixteen channels.
const COLLECTIONS: usize = 4;
const SHARDS: i32 = 4;
const DIMENSION: u32 = 128;
const ROWS_PER_CALL: u64 = 2000;

/// Key, version and vector.
const ROW_BYTES: u64 = 8 + 8 + 4 * DIMENSION as u64;

/// A source ticks every 200 ms.
const TICKED_WITHIN: Duration = Duration::from_secs(60);

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
    let mut newest = Timestamp::ZERO;
    while let Some(filled) = writers.join_next().await {
        newest = newest.max(filled??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    ticked(scene, newest).await?;
    scene.pair.target.kill()?;
    scene.pair.source.kill()?;
    Ok(Backlog { rows: calls_each * ROWS_PER_CALL * COLLECTIONS as u64, seconds })
}

/// Waits until a tick on every channel covers the rows: then they can be read to their end.
async fn ticked(scene: &Scene, newest: Timestamp) -> Result<()> {
    let queue = scene.queue()?;
    wait::until("ticks that cover the backlog", TICKED_WITHIN, || async {
        for topic in scene.topics() {
            let records = queue.newest(&topic, 1).await?;
            let last = records.last().map(|record| decode(record.payload.clone())).transpose()?;
            ensure!(
                matches!(last, Some(Message::Tick(at)) if at >= newest),
                "{topic} ends with {last:?}"
            );
        }
        Ok(Some(()))
    })
    .await
}

/// Returns the timestamp of the last row.
async fn fill(source: Milvus, spec: CollectionSpec, calls: u64) -> Result<Timestamp> {
    let generator = RowGenerator::new(&spec.schema, 1)?;
    let mut newest = Timestamp::ZERO;
    for call in 0..calls {
        let keys = call * ROWS_PER_CALL..(call + 1) * ROWS_PER_CALL;
        let rows: Vec<RowId> = keys.map(|key| RowId { key, version: 0 }).collect();
        let answer = source.insert(generator.batch(spec.name(), "", &rows)).await?;
        newest = Timestamp(answer.timestamp);
    }
    Ok(newest)
}

impl Backlog {
    /// Shows it.
    pub(crate) fn print(&self) {
        line("rows of 128 dimensions", &self.rows.to_string(), "");
        line("written in", &format!("{:.0} s", self.seconds), "");
    }
}
