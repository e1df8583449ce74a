//! Step 6 of the way of a row, into a log: appends one window after the other.
//!
//! A sink that is exact keeps the mark of a window in the transaction of its rows. So: store which
//! window comes next; append it, unless its mark is there; store in one transaction that it is done
//! and where to go on. After a crash the window that was stored as next is read again up to its
//! very end, and its mark tells whether the log has it. With any other sink a window that was cut
//! off is appended again: at least once. Never changes a timestamp.

use crate::destination::delivery::Delivery;
use crate::destination::delivery::report_written;
use crate::destination::log::append::Log;
use crate::error::Result;
use crate::message::Routed;
use crate::observer::{Event, Noted, Observer};
use crate::overdue;
use crate::ports::{Change, Transaction};
use crate::records::codec;
use crate::records::codec::encode;
use crate::records::keys::fence_key;
use crate::records::keys::next_key;
use crate::stop::Stop;
use async_trait::async_trait;
use milvus_wire::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A task further behind this machine's clock than this is catching up.
const BEHIND_MS: u64 = 5000;

/// How often the log is told how far the task is. A sink may pass on fewer.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// The window that may be in the log, while that is not known.
#[derive(Serialize, Deserialize)]
struct Next {
    #[serde(with = "codec::timestamp")]
    upto: Timestamp,
}

/// Appends the windows of one task.
pub(crate) struct IntoLog {
    task: String,
    log: Arc<Log>,
    observer: Arc<dyn Observer>,
    stop: Stop,
    ticked: Option<Instant>,
}

impl IntoLog {
    pub(crate) fn new(task: &str, log: Arc<Log>, observer: Arc<dyn Observer>, stop: Stop) -> Self {
        Self { task: task.to_owned(), log, observer, stop, ticked: None }
    }

    async fn commit(&self, transaction: Transaction) -> Result<()> {
        self.log.records().of_task(&self.task).commit(transaction).await
    }
}

#[async_trait]
impl Delivery for IntoLog {
    async fn left_open(&mut self) -> Result<Option<Timestamp>> {
        let next: Option<Next> = self.log.records().load(&next_key(&self.task)).await?;
        if next.is_some() {
            self.observer.event(Event::Counted(Noted::ReplayedWindow, 1));
        }
        Ok(next.map(|next| next.upto))
    }

    /// What an earlier tool has appended stays: it comes once more.
    fn raise_fence(&mut self, _: Timestamp) {}

    async fn deliver(
        &mut self,
        messages: &[Routed],
        upto: Timestamp,
        mut checkpoint: Transaction,
    ) -> Result<()> {
        if self.log.is_exact() && !messages.is_empty() {
            let puts = vec![(next_key(&self.task), encode(&Next { upto }))];
            self.commit(Transaction { puts, ..Default::default() }).await?;
        }
        if !messages.is_empty() {
            let channels: BTreeSet<_> = messages.iter().map(|m| m.read.channel.clone()).collect();
            let channels: Vec<_> = channels.into_iter().collect();
            let mut changes: Vec<_> = messages.iter().map(Change::Message).collect();
            changes.push(Change::Tick { channels: &channels, at: upto });
            let mark = format!("window@{}", upto.0);
            let silent = || "rows that are appended have no answer of the target".to_owned();
            let appended = overdue::tell(&*self.observer, silent, self.log.append(&mark, &changes));
            self.stop.bounded(appended).await??;
            self.observer.event(Event::Called("Append"));
        }
        checkpoint.deletes.extend([next_key(&self.task), fence_key(&self.task)]);
        self.commit(checkpoint).await?;
        report_written(&*self.observer, messages);
        Ok(())
    }

    async fn end_round(&mut self, upto: Timestamp, channels: &[Arc<str>]) -> Result<bool> {
        if self.ticked.is_none_or(|ticked| ticked.elapsed() >= TICK_EVERY) {
            let tick = Change::Tick { channels, at: upto };
            self.log.append(&format!("tick@{}", upto.0), &[tick]).await?;
            self.ticked = Some(Instant::now());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u128::from(upto.ms() + BEHIND_MS) >= now.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::read_and_written_again;

    #[test]
    fn what_earlier_versions_stored_of_the_next_window_is_written_the_same() {
        assert!(!read_and_written_again::<Next>("next").is_empty());
    }
}
