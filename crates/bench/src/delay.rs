//! Measures how long after the source has acknowledged a row a reader of the target sees it. The
//! target is queried without pause, so a delay is too long by at most one query, and never too
//! short.

use crate::figures::{line, quantile};
use crate::scene::Scene;
use anyhow::{Result, ensure};
use lab::READY_WITHIN;
use std::collections::VecDeque;
use std::time::Duration;
use testkit::compare::{Metadata, metadata_differences};
use testkit::milvus::{CollectionSpec, Key, Milvus, Query, Reading};
use testkit::rows::{RowGenerator, RowId};
use testkit::wait;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const ROWS_PER_CALL: u64 = 25;
const CALL_EVERY: Duration = Duration::from_millis(50);

/// After this time a missing row counts as lost.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// The pause between two queries.
const PAUSE: Duration = Duration::from_millis(5);

/// Above what can be written until a row counts as lost.
const UNSEEN_MAX: usize = 10_000;

/// How many rows a question asks for.
const ASKED_AT_ONCE: usize = 40;

/// Delays in milliseconds, sorted.
pub(crate) struct Delays {
    sorted: Vec<f64>,
}

/// One row of each call: its key, and when the source had acknowledged it.
struct Written {
    key: Key,
    at: Instant,
}

/// Writes for a while and watches the target.
pub(crate) async fn measure(scene: &Scene, seconds: u64) -> Result<Delays> {
    let spec = CollectionSpec::small("delay", 128).shards(2);
    let service = scene.service().await?;
    let task = service.api().create_task_for_all(&scene.target_address()).await?;
    service.api().wait_begun(&task, READY_WITHIN).await?;
    scene.source.create_ready(&spec).await?;
    wait::until("the collection to be ready on the target", READY_WITHIN, || async {
        let source = Metadata::read(&scene.source, spec.name()).await?;
        let target = Metadata::read(&scene.target, spec.name()).await?;
        Ok(metadata_differences(&source, &target).is_empty().then_some(()))
    })
    .await?;
    let (told, written) = channel(UNSEEN_MAX);
    let writing = write(scene.source.clone(), spec.clone(), Duration::from_secs(seconds), told);
    let (wrote, watched) =
        tokio::join!(tokio::spawn(writing), watch(&scene.target, spec.name(), written));
    wrote??;
    let mut sorted = watched?;
    sorted.sort_by(f64::total_cmp);
    scene.source.drop_collection(spec.name()).await?;
    Ok(Delays { sorted })
}

async fn write(
    source: Milvus,
    spec: CollectionSpec,
    time: Duration,
    told: Sender<Written>,
) -> Result<()> {
    let generator = RowGenerator::new(&spec.schema, 1)?;
    let mut beat = interval(CALL_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    let mut next = 0;
    while begun.elapsed() < time {
        beat.tick().await;
        let rows: Vec<RowId> =
            (next..next + ROWS_PER_CALL).map(|key| RowId { key, version: 0 }).collect();
        next += ROWS_PER_CALL;
        source.insert(generator.batch(spec.name(), "", &rows)).await?;
        // The watcher may have failed; then its error is the cause.
        let _ = told.send(Written { key: generator.key(next - 1), at: Instant::now() }).await;
    }
    Ok(())
}

async fn watch(
    target: &Milvus,
    collection: &str,
    mut written: Receiver<Written>,
) -> Result<Vec<f64>> {
    let mut delays = Vec::new();
    let mut unseen: VecDeque<Written> = VecDeque::new();
    loop {
        while let Ok(row) = written.try_recv() {
            unseen.push_back(row);
        }
        if unseen.is_empty() {
            match written.recv().await {
                Some(row) => unseen.push_back(row),
                None => return Ok(delays),
            }
        }
        let asked = unseen.iter().take(ASKED_AT_ONCE).map(|row| &row.key);
        let query = Query {
            fields: vec!["id".to_owned()],
            reading: Reading::Now,
            ..Query::of(collection, &Key::any_of("id", asked))
        };
        let columns = target.query(&query).await?;
        let now = Instant::now();
        let seen = columns.iter().find(|column| column.field_name == "id");
        let seen = seen.map(Key::column).transpose()?.unwrap_or_default();
        unseen.retain(|row| {
            if !seen.contains(&row.key) {
                return true;
            }
            delays.push((now - row.at).as_secs_f64() * 1000.0);
            false
        });
        let late = unseen.front().is_some_and(|row| row.at.elapsed() > SEEN_WITHIN);
        ensure!(!late, "a row did not come to the target within {SEEN_WITHIN:?}");
        sleep(PAUSE).await;
    }
}

impl Delays {
    /// Shows them.
    pub(crate) fn print(&self) {
        let at = |share| format!("{:.0} ms", quantile(&self.sorted, share));
        line("rows written", "500 rows/s", "");
        line("calls watched", &self.sorted.len().to_string(), "");
        line("delay, p50", &at(0.5), "450 ms");
        line("delay, p99", &at(0.99), "900 ms");
        line("delay, worst", &at(1.0), "");
    }
}
