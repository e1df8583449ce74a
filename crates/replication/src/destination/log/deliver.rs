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
    /// Its mark; `None`, in records of earlier versions: the first of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<String>,
}

/// Appends the windows of one task.
pub(crate) struct IntoLog {
    task: String,
    log: Arc<Log>,
    observer: Arc<dyn Observer>,
    stop: Stop,
    ticked: Option<Instant>,
    /// The window that an earlier run left, until it is delivered.
    replaying: Option<Next>,
}

impl IntoLog {
    pub(crate) fn new(task: &str, log: Arc<Log>, observer: Arc<dyn Observer>, stop: Stop) -> Self {
        let (ticked, replaying) = (None, None);
        Self { task: task.to_owned(), log, observer, stop, ticked, replaying }
    }

    async fn commit(&self, transaction: Transaction) -> Result<()> {
        self.log.records().of_task(&self.task).commit(transaction).await
    }

    async fn append_window(
        &mut self,
        messages: &[Routed],
        upto: Timestamp,
        done: Timestamp,
    ) -> Result<()> {
        let mark = match self.replaying.take() {
            Some(next) => next.mark.unwrap_or_else(|| first_mark(upto)),
            None => self.new_mark(upto).await?,
        };
        if self.log.is_exact() {
            let next = Next { upto, mark: Some(mark.clone()) };
            let puts = vec![(next_key(&self.task), encode(&next))];
            self.commit(Transaction { puts, ..Default::default() }).await?;
        }
        let channels: BTreeSet<_> = messages.iter().map(|m| m.read.channel.clone()).collect();
        let channels: Vec<_> = channels.into_iter().collect();
        let tick = Change::Tick { channels: &channels, at: done };
        let changes: Vec<_> = messages.iter().map(Change::Message).chain([tick]).collect();
        let silent = || "rows that are appended have no answer of the target".to_owned();
        let appended = overdue::tell(&*self.observer, silent, self.log.append(&mark, &changes));
        self.stop.bounded(appended).await??;
        self.observer.event(Event::Called("Append"));
        Ok(())
    }

    /// A mark that the log does not have. A collection that joins late brings windows of its own,
    /// with ends that others had.
    async fn new_mark(&self, upto: Timestamp) -> Result<String> {
        let mut mark = first_mark(upto);
        while self.log.has(&mark).await? {
            mark.push('+');
        }
        Ok(mark)
    }
}

fn first_mark(upto: Timestamp) -> String {
    format!("window@{}", upto.0)
}

#[async_trait]
impl Delivery for IntoLog {
    async fn left_open(&mut self) -> Result<Option<Timestamp>> {
        let next: Option<Next> = self.log.records().load(&next_key(&self.task)).await?;
        if next.is_some() {
            self.observer.event(Event::Counted(Noted::ReplayedWindow, 1));
        }
        let upto = next.as_ref().map(|next| next.upto);
        self.replaying = next;
        Ok(upto)
    }

    /// What an earlier tool has appended stays: it comes once more.
    fn raise_fence(&mut self, _: Timestamp) {}

    async fn deliver(
        &mut self,
        messages: &[Routed],
        upto: Timestamp,
        done: Timestamp,
        mut checkpoint: Transaction,
    ) -> Result<()> {
        if !messages.is_empty() {
            self.append_window(messages, upto, done).await?;
        }
        self.replaying = None;
        checkpoint.deletes.extend([next_key(&self.task), fence_key(&self.task)]);
        self.commit(checkpoint).await?;
        report_written(&*self.observer, messages);
        Ok(())
    }

    async fn end_round(&mut self, done: Timestamp, channels: &[Arc<str>]) -> Result<bool> {
        if self.ticked.is_none_or(|ticked| ticked.elapsed() >= TICK_EVERY) {
            let tick = Change::Tick { channels, at: done };
            self.log.append(&format!("tick@{}", done.0), &[tick]).await?;
            self.ticked = Some(Instant::now());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u128::from(done.ms() + BEHIND_MS) >= now.as_millis())
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

#[cfg(test)]
mod fuzz {
    use super::*;
    use crate::written::read_or_refused;

    #[test]
    fn any_bytes_are_a_record_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            read_or_refused::<Next>(bytes);
        });
    }
}
