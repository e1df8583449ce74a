//! What happens on the way of a row, as events: one per occurrence, for metrics and status.
//! Never decides anything; whoever listens can't slow the path down.

use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;

/// Something happened in a task.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Messages were read from a channel of the source, up to a tick.
    Read {
        /// The source's channel.
        channel: &'a str,
        /// The tick that covers them.
        tick: Timestamp,
        /// `insert`, `delete` or `timetick`.
        kind: &'static str,
        /// Bytes of the messages.
        bytes: u64,
    },
    /// The target acknowledged all of a source channel up to a tick.
    Acknowledged {
        /// The source's channel.
        channel: &'a str,
        /// Everything up to it is on the target.
        tick: Timestamp,
    },
    /// Rows were acknowledged by the target.
    Written {
        /// The source's channel.
        channel: &'a str,
        /// The collection on the source.
        collection_id: CollectionId,
        /// Its name on the source.
        collection: &'a str,
        /// `insert` or `delete`.
        kind: &'static str,
        /// How many.
        rows: u64,
        /// Bytes of the messages.
        bytes: u64,
    },
    /// Rows of a selected collection were read.
    RowsRead {
        /// The collection on the source.
        collection_id: CollectionId,
        /// Its name on the source.
        collection: &'a str,
        /// `insert` or `delete`.
        kind: &'static str,
        /// How many.
        rows: u64,
    },
    /// A call to the target succeeded: `ReplicateMessage`, `CreateCollection`, `CreateIndex`, …
    Called(&'static str),
    /// The closing tick of a target channel.
    Tick {
        /// The target's channel.
        pchannel: &'a str,
        /// Its timestamp.
        tick: Timestamp,
    },
    /// Something noteworthy was counted, by name: `restamped`, `late`, `fenced`, `skipped`,
    /// `missed_<type>`, `replayed_window`, `unanswered_call`, `retried`, `op_skipped`,
    /// `op_refused`, `serving_refused`, `serving_unreadable`, `of_another_task`.
    Counted(&'a str, u64),
    /// The task waits for something that should heal by itself; `None`: it goes on.
    Waiting(Option<&'a str>),
    /// A source channel is read from now on.
    Joined(&'a str),
    /// A source channel is no longer read: no collection of the task lives on it.
    Left(&'a str),
}

/// Listens.
pub trait Observer: Send + Sync {
    /// Called on the path itself: must return at once.
    fn event(&self, event: Event<'_>);
}

/// Listens to nothing.
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _: Event<'_>) {}
}
