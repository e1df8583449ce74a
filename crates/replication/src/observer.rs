//! What happens on the way of a row, as events: one per occurrence, for metrics and status.
//! Never decides anything; whoever listens can't slow the path down.

use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use std::borrow::Cow;

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
    /// Something noteworthy happened so many times.
    Counted(Noted<'a>, u64),
    /// The task waits for something that should heal by itself; `None`: it goes on.
    Waiting(Option<&'a str>),
    /// A collection is out of step with its task since this source timestamp, for this reason;
    /// `None`: it is replicated again, or has ended.
    OutOfStep {
        /// The collection on the source.
        collection_id: CollectionId,
        /// Its database and name on the source.
        collection: &'a str,
        /// Since when, and why.
        why: Option<(Timestamp, &'a str)>,
    },
    /// The version of a Milvus that is the target, as it names it.
    TargetVersion(&'a str),
    /// A source channel is read from now on.
    Joined(&'a str),
    /// A source channel is no longer read: no collection of the task lives on it.
    Left(&'a str),
}

/// What is counted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted<'a> {
    /// A message did not keep the source's timestamp.
    Restamped,
    /// A message came after a tick that covers it.
    Late,
    /// An insert got a delete of its key before it.
    Fenced,
    /// A message of a collection or partition that is gone already was left out.
    Skipped,
    /// A window that an earlier run had left open was delivered again.
    ReplayedWindow,
    /// A call to the target got no answer.
    UnansweredCall,
    /// An answer without a deadline was overdue.
    Overdue,
    /// Something that failed was tried again.
    Retried,
    /// A request of the op channel did not concern the task, or came too late.
    OpSkipped,
    /// The target refused a request of the op channel.
    OpRefused,
    /// The target refused a request that follows from the source's catalog.
    ServingRefused,
    /// The source's catalog could not be read.
    ServingUnreadable,
    /// A collection was left to another task.
    OfAnotherTask,
    /// The target lacks a user who has a role on the source.
    UserAwaited,
    /// A Go tool had crossed the shards of a collection.
    CrossedShards,
    /// A Go tool had created a collection with another number of partitions.
    OtherPartitionCount,
    /// The source dropped something of which the target has another one of the same name.
    NamesakeLeft,
    /// A collection went out of step with its task.
    OutOfStep,
    /// The target was restarted, and what it may have forgotten was read again.
    ReadAgain,
    /// What the target may have forgotten could not be read again.
    Forgotten,
    /// A target that forgets at its restarts did not flush.
    NotFlushed,
    /// A request of this name can't be replicated.
    Missed(&'a str),
}

impl<'a> Noted<'a> {
    /// All but [`Noted::Missed`].
    pub const NAMED: [Noted<'static>; 21] = [
        Noted::Restamped,
        Noted::Late,
        Noted::Fenced,
        Noted::Skipped,
        Noted::ReplayedWindow,
        Noted::UnansweredCall,
        Noted::Overdue,
        Noted::Retried,
        Noted::OpSkipped,
        Noted::OpRefused,
        Noted::ServingRefused,
        Noted::ServingUnreadable,
        Noted::OfAnotherTask,
        Noted::UserAwaited,
        Noted::CrossedShards,
        Noted::OtherPartitionCount,
        Noted::NamesakeLeft,
        Noted::OutOfStep,
        Noted::ReadAgain,
        Noted::Forgotten,
        Noted::NotFlushed,
    ];

    /// The name under which it is counted: a label of the metrics, so it never changes.
    pub fn name(&self) -> Cow<'a, str> {
        Cow::Borrowed(match self {
            Self::Restamped => "restamped",
            Self::Late => "late",
            Self::Fenced => "fenced",
            Self::Skipped => "skipped",
            Self::ReplayedWindow => "replayed_window",
            Self::UnansweredCall => "unanswered_call",
            Self::Overdue => "overdue",
            Self::Retried => "retried",
            Self::OpSkipped => "op_skipped",
            Self::OpRefused => "op_refused",
            Self::ServingRefused => "serving_refused",
            Self::ServingUnreadable => "serving_unreadable",
            Self::OfAnotherTask => "of_another_task",
            Self::UserAwaited => "user_awaited",
            Self::CrossedShards => "crossed_shards",
            Self::OtherPartitionCount => "other_partition_count",
            Self::NamesakeLeft => "namesake_left",
            Self::OutOfStep => "out_of_step",
            Self::ReadAgain => "read_again",
            Self::Forgotten => "forgotten",
            Self::NotFlushed => "not_flushed",
            Self::Missed(request) => return Cow::Owned(format!("missed_{request}")),
        })
    }
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
