//! Step 6 of the way of a row: delivers the windows of one task. `milvus/deliver.rs` does so for a
//! Milvus, `log/deliver.rs` for a log. Never decides what belongs to a window.

use crate::error::Result;
use crate::message::Routed;
use crate::observer::Event;
use crate::observer::Observer;
use crate::ports::Transaction;
use async_trait::async_trait;
use milvus_wire::message::Message;
use milvus_wire::message::RowKind;
use milvus_wire::timestamp::Timestamp;
use std::sync::Arc;

/// Delivers the windows of one task, one after the other.
#[async_trait]
pub(crate) trait Delivery: Send {
    /// The source timestamp up to which the window reaches that an earlier run left open. The next
    /// window has to end exactly there, so that it contains the same rows.
    async fn left_open(&mut self) -> Result<Option<Timestamp>>;

    /// Fences everything up to a source timestamp: it may be at the target already.
    fn raise_fence(&mut self, upto: Timestamp);

    /// Delivers one window, which contains the task's messages up to `upto`, and stores
    /// `checkpoint` with it. Up to `done`, at or above `upto`, everything else is delivered: the
    /// window of a collection that joins late lies below it. On success the target has all of it,
    /// visible. A failure leaves the window open; the same messages have to be delivered again.
    async fn deliver(
        &mut self,
        messages: &[Routed],
        upto: Timestamp,
        done: Timestamp,
        checkpoint: Transaction,
    ) -> Result<()>;

    /// The end of a round: everything of these source channels up to `done` is delivered. Returns
    /// whether the task keeps up with its source.
    async fn end_round(&mut self, done: Timestamp, channels: &[Arc<str>]) -> Result<bool>;
}

/// Reports rows that the target has acknowledged.
pub(crate) fn report_written(observer: &dyn Observer, messages: &[Routed]) {
    for routed in messages {
        if let Message::Row(row) = &routed.read.entry.message {
            observer.event(Event::Written {
                channel: &routed.read.channel,
                collection_id: row.collection_id,
                collection: &row.collection,
                kind: if row.kind == RowKind::Insert { "insert" } else { "delete" },
                rows: row.rows,
                bytes: row.raw.len() as u64,
            });
        }
    }
}
