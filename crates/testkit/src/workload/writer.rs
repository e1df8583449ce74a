//! Writes to one collection until it is stopped. If the source is away, it waits and continues with
//! new keys: it never reuses a key of an unanswered call.

use super::mix::Workload;
use super::stats::Stats;
use crate::milvus::{Batch, CollectionSpec, Fault, Key, Milvus};
use crate::rows::{Random, RowGenerator, RowId};
use anyhow::{Context, Result};
use milvus_wire::proto::milvus::MutationResult;
use milvus_wire::timestamp::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A source that is away is asked this often.
const AWAY_PAUSE: Duration = Duration::from_millis(500);

/// A frozen source must not keep a writer for longer.
const CALL_WITHIN: Duration = Duration::from_secs(30);

/// One collection's writer.
pub(super) struct Writer {
    source: Milvus,
    collection: String,
    key_field: String,
    auto_id: bool,
    generator: RowGenerator,
    workload: Workload,
    random: Random,
    stats: Arc<Mutex<Stats>>,
    next_key: u64,
    /// Rows that are there for certain. Bounded by what a test writes.
    alive: Vec<Row>,
}

/// A row that was acknowledged.
struct Row {
    id: RowId,
    key: Key,
    partition: String,
}

/// What a writer may do next.
enum Step {
    Insert,
    Upsert,
    Delete,
}

impl Writer {
    pub(super) fn new(
        source: &Milvus,
        spec: &CollectionSpec,
        workload: &Workload,
        place: u64,
        stats: Arc<Mutex<Stats>>,
    ) -> Result<Self> {
        let key = spec.schema.fields.iter().find(|field| field.is_primary_key);
        let key = key.with_context(|| format!("{} has no key", spec.name()))?;
        Ok(Self {
            source: source.patient_for(CALL_WITHIN),
            collection: spec.name().to_owned(),
            key_field: key.name.clone(),
            auto_id: key.auto_id,
            generator: RowGenerator::new(&spec.schema, workload.seed)?,
            workload: workload.clone(),
            random: Random::of(&[workload.seed, place]),
            stats,
            next_key: workload.first_key,
            alive: vec![],
        })
    }

    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) -> Result<()> {
        let rows = self.workload.rows_per_call.max(1);
        let rate = self.workload.rows_per_second.max(1);
        // Upserts and deletes come on top of the rate of inserts.
        let extra = self.workload.upserts_percent + self.workload.deletes_percent;
        let inserts_percent = 100_u64.saturating_sub(extra).max(1);
        let period = Duration::from_micros(rows * 10_000 * inserts_percent / rate);
        let mut beat = interval(period.max(Duration::from_micros(1)));
        // After a pause of the source the rate stays the same: nothing is caught up.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return Ok(()),
                _ = beat.tick() => {}
            }
            if self.step().await.is_err() {
                // Until it answers again, or we are told to stop.
                let pause = tokio::time::sleep_until(Instant::now() + AWAY_PAUSE);
                tokio::select! {
                    _ = stopped.wait_for(|stop| *stop) => return Ok(()),
                    () = pause => {}
                }
            }
        }
    }

    fn choose(&mut self) -> Step {
        let percent = self.random.below(100);
        let upserts = if self.auto_id { 0 } else { self.workload.upserts_percent };
        if self.alive.len() < self.workload.rows_per_call as usize {
            Step::Insert
        } else if percent < upserts {
            Step::Upsert
        } else if percent < upserts + self.workload.deletes_percent {
            Step::Delete
        } else {
            Step::Insert
        }
    }

    /// One call. Its failure is written down; what it concerned is not touched again.
    async fn step(&mut self) -> std::result::Result<(), ()> {
        let (keys, done) = match self.choose() {
            Step::Insert => self.insert().await,
            Step::Upsert => self.upsert().await,
            Step::Delete => self.delete().await,
        };
        let rows = keys.len() as u64;
        let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Ok((count, timestamp)) => {
                count(&mut stats, rows);
                stats.newest = stats.newest.max(timestamp);
                Ok(())
            }
            Err(fault) => {
                stats.uncertain += rows;
                stats.failed_calls += 1;
                stats.last_failure = Some(fault.to_string());
                let keys = keys.into_iter().map(|key| (self.collection.clone(), key));
                // A key that Milvus made up is not known without an answer.
                stats.uncertain_keys.extend(keys.filter(|_| !self.auto_id));
                Err(())
            }
        }
    }

    fn partition(&mut self) -> String {
        let at = self.random.below(self.workload.partitions.len() as u64) as usize;
        self.workload.partitions.get(at).cloned().unwrap_or_default()
    }

    fn batch(&self, partition: &str, rows: &[RowId]) -> Batch {
        self.generator.batch(&self.collection, partition, rows)
    }

    async fn insert(&mut self) -> (Vec<Key>, Outcome) {
        let keys = self.next_key..self.next_key + self.workload.rows_per_call;
        // Also if it fails: it may have happened.
        self.next_key = keys.end;
        let ids: Vec<RowId> = keys.map(|key| RowId { key, version: 0 }).collect();
        let partition = self.partition();
        let answer = match self.source.insert(self.batch(&partition, &ids)).await {
            Ok(answer) => answer,
            Err(fault) => {
                let keys = ids.iter().map(|id| self.generator.key(id.key)).collect();
                return (keys, Err(fault));
            }
        };
        let done = outcome(&answer, |stats, rows| stats.inserted += rows);
        let keys = Key::list(answer.i_ds);
        for (id, key) in ids.iter().zip(&keys) {
            let (key, partition) = (key.clone(), partition.clone());
            self.alive.push(Row { id: *id, key, partition });
        }
        (keys, Ok(done))
    }

    /// Takes some rows out, so that they are not used again if the call fails.
    fn take(&mut self) -> Vec<Row> {
        let count = 1 + self.random.below(self.workload.rows_per_call);
        let mut taken: Vec<Row> = vec![];
        for _ in 0..count {
            let at = self.random.below(self.alive.len() as u64) as usize;
            // A call names one partition.
            match self.alive.get(at) {
                Some(row) if taken.first().is_none_or(|first| first.partition == row.partition) => {
                    taken.push(self.alive.swap_remove(at));
                }
                _ => {}
            }
        }
        taken
    }

    async fn upsert(&mut self) -> (Vec<Key>, Outcome) {
        let mut rows = self.take();
        for row in &mut rows {
            row.id.version += 1;
        }
        let ids: Vec<RowId> = rows.iter().map(|row| row.id).collect();
        let keys = rows.iter().map(|row| row.key.clone()).collect();
        let partition = rows.first().map(|row| row.partition.clone()).unwrap_or_default();
        let done = self.source.upsert(self.batch(&partition, &ids)).await;
        let done = done.map(|answer| {
            self.alive.append(&mut rows);
            outcome(&answer, |stats, rows| stats.upserted += rows)
        });
        (keys, done)
    }

    async fn delete(&mut self) -> (Vec<Key>, Outcome) {
        let rows = self.take();
        let keys: Vec<Key> = rows.into_iter().map(|row| row.key).collect();
        let done = self.source.delete_keys(&self.collection, &self.key_field, &keys).await;
        let done = done.map(|answer| outcome(&answer, |stats, rows| stats.deleted += rows));
        (keys, done)
    }
}

/// Where an acknowledged call is counted, and its timestamp.
type Done = (fn(&mut Stats, u64), Timestamp);

type Outcome = std::result::Result<Done, Fault>;

fn outcome(answer: &MutationResult, count: fn(&mut Stats, u64)) -> Done {
    (count, Timestamp(answer.timestamp))
}
