//! Writes to a source without pause, in the background: inserts at a rate, upserts and deletes of
//! earlier rows. Never claims to know the rows of the source: a call that was not acknowledged may
//! have happened. Read the source for the truth, and compare the target with that.
//!
//! `mix` says what is written and `stats` what was, `writer` is the loop of one collection, `churn`
//! creates and drops whole collections.

mod churn;
mod mix;
mod stats;
mod writer;

pub use churn::{Churn, ChurnStats};
pub use mix::Workload;
pub use stats::Stats;

use crate::milvus::Milvus;
use anyhow::{Result, anyhow};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

impl Workload {
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

    /// Ends writing, waits for the calls that are under way, and returns what was written.
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
