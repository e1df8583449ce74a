//! The messages of a channel that were read ahead. Never refuses a message: its writer checks
//! [`Prefetch::is_full`] before reading more.

use replication::error::{Error, Result};
use replication::ports::Record;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a record costs besides its payload: ticks are tiny and many.
const RECORD_BYTES: usize = 256;

/// The messages between the connection and the reader of a channel.
pub(super) struct Prefetch {
    bytes_max: usize,
    queue: Mutex<Queue>,
    filled: Notify,
    taken: Notify,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Record>,
    bytes: usize,
    /// Why no more messages come.
    end: Option<String>,
}

impl Prefetch {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, queue: Mutex::default(), filled: Notify::new(), taken: Notify::new() }
    }

    /// Adds a message.
    pub(super) fn push(&self, record: Record) {
        let mut queue = self.queue();
        queue.bytes += cost(&record);
        queue.records.push_back(record);
        drop(queue);
        self.filled.notify_one();
    }

    /// Ends it; the reader gets the error after all messages.
    pub(super) fn end(&self, why: Error) {
        self.queue().end = Some(why.what);
        self.filled.notify_one();
    }

    /// The next message, if there is one.
    pub(super) fn take(&self) -> Result<Option<Record>> {
        let mut queue = self.queue();
        let Some(record) = queue.records.pop_front() else {
            return queue.end.clone().map_or(Ok(None), |why| Err(Error::permanent(why)));
        };
        queue.bytes -= cost(&record);
        drop(queue);
        self.taken.notify_one();
        Ok(Some(record))
    }

    /// Whether no more should be read.
    pub(super) fn is_full(&self) -> bool {
        self.queue().bytes >= self.bytes_max
    }

    /// Waits until there may be something to take.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Waits until there may be room.
    pub(super) async fn taken(&self) {
        self.taken.notified().await;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(record: &Record) -> usize {
    record.payload.len() + RECORD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use milvus_wire::position::MessageId;

    #[test]
    fn it_is_full_by_bytes_and_its_end_comes_last() {
        let prefetch = Prefetch::new(RECORD_BYTES + 10);
        let record = Record { id: MessageId::default(), payload: Bytes::from_static(&[0; 6]) };
        prefetch.push(record.clone());
        assert!(!prefetch.is_full());
        prefetch.push(record);
        assert!(prefetch.is_full());
        prefetch.end(Error::permanent("gone"));
        assert!(prefetch.take().unwrap().is_some());
        assert!(!prefetch.is_full());
        assert!(prefetch.take().unwrap().is_some());
        assert_eq!(prefetch.take().unwrap_err().what, "gone");
        assert_eq!(prefetch.take().unwrap_err().what, "gone", "an end stays");
    }
}
