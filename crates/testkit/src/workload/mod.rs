//! Writes to a source without pause, in the background: inserts at a rate, upserts and deletes of
//! earlier rows. Never claims to know what the source holds: what was not acknowledged may have
//! happened. Read the source for the truth, and compare the target with that.
//!
//! `writer` is the loop of one collection, `churn` creates and drops whole collections.

mod churn;
mod writer;

pub use churn::{Churn, ChurnStats};

use crate::milvus::{CollectionSpec, Milvus};
use crate::rows::Key;
use anyhow::{Result, anyhow};
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is written.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The collections, which exist already; each has a writer of its own.
    pub collections: Vec<CollectionSpec>,
    /// The partitions that rows are spread over; none means the default one, or that a partition
    /// key decides.
    pub partitions: Vec<String>,
    /// Rows inserted per second and collection, as far as the source takes them.
    pub rows_per_second: u64,
    /// Rows per call.
    pub rows_per_call: u64,
    /// Of a hundred calls, how many are upserts of earlier rows; 2.3 has none where it makes up the
    /// keys.
    pub upserts_percent: u64,
    /// Of a hundred calls, how many are deletes of earlier rows.
    pub deletes_percent: u64,
    /// The same seed writes the same, as long as the source takes it all.
    pub seed: u64,
    /// The first key.
    pub first_key: u64,
}

impl Workload {
    /// A moderate mix: 500 rows a second in calls of 50, with upserts and deletes.
    pub fn mixed(collections: Vec<CollectionSpec>, seed: u64) -> Self {
        Self {
            collections,
            partitions: vec![],
            rows_per_second: 500,
            rows_per_call: 50,
            upserts_percent: 15,
            deletes_percent: 15,
            seed,
            first_key: 0,
        }
    }

    /// Starts to write.
    ///
    /// # Errors
    /// If a collection has a field that cannot be made.
    pub fn start(self, source: &Milvus) -> Result<Running> {
        let stats = Arc::new(Mutex::new(Stats::default()));
        let (stop, stopped) = watch::channel(false);
        let mut writers = JoinSet::new();
        for (at, collection) in self.collections.iter().enumerate() {
            let writer =
                writer::Writer::new(source, collection, &self, at as u64, Arc::clone(&stats))?;
            writers.spawn(writer.run(stopped.clone()));
        }
        Ok(Running { stop, writers, stats })
    }
}

/// What was written so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows of acknowledged inserts.
    pub inserted: u64,
    /// Rows of acknowledged upserts.
    pub upserted: u64,
    /// Keys of acknowledged deletes.
    pub deleted: u64,
    /// Rows and keys of calls that were refused or not answered: nobody knows.
    pub uncertain: u64,
    /// The keys of these, with their collection, where they were not for Milvus to make up.
    pub uncertain_keys: BTreeSet<(String, Key)>,
    /// Calls that failed.
    pub failed_calls: u64,
    /// How the last one failed.
    pub last_failure: Option<String>,
    /// The timestamp of the newest acknowledged write.
    pub newest: Timestamp,
}

impl Stats {
    /// Acknowledged rows and keys of all kinds.
    pub fn acknowledged(&self) -> u64 {
        self.inserted + self.upserted + self.deleted
    }
}

/// Writers at work. Dropped, they end in the middle of what they do.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    writers: JoinSet<Result<()>>,
    stats: Arc<Mutex<Stats>>,
}

/// A call that is under way is waited for.
const STOP_WITHIN: Duration = Duration::from_secs(120);

impl Running {
    /// What was written so far.
    pub fn stats(&self) -> Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends writing, waits for the calls that are under way, and tells what was written.
    ///
    /// # Errors
    /// If a writer has failed in a way that is not the source's, or does not end.
    pub async fn stop(mut self) -> Result<Stats> {
        self.stop.send_replace(true);
        let ended = async {
            while let Some(writer) = self.writers.join_next().await {
                writer.map_err(|error| anyhow!("a writer broke off: {error}"))??;
            }
            Ok::<_, anyhow::Error>(())
        };
        tokio::time::timeout(STOP_WITHIN, ended)
            .await
            .map_err(|_| anyhow!("the writers do not end within {STOP_WITHIN:?}"))??;
        Ok(self.stats())
    }
}
