//! The positions of a task as they are shown to a user. Never the way to resume from them: that is
//! `checkpoint`.

use crate::error::Result;
use crate::ports::Store;
use crate::records::checkpoint::{Checkpoint, OpPosition, load};
use milvus_wire::ids::CollectionId;
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;

/// A line of the `position` answer: one channel of one collection.
#[derive(Clone, Debug)]
pub struct ShownPosition {
    /// The collection on the source; −10 for the op channel, as the Go tool numbers it.
    pub collection: CollectionId,
    /// The source's physical channel.
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
}

/// The number the Go tool gives to the op channel.
const OP_CHANNEL: CollectionId = CollectionId(-10);

/// Reads the positions of a task. Empty if it has not begun.
pub async fn show(store: &dyn Store, task: &str) -> Result<Shown> {
    let loaded = load(store, task).await?;
    let mut shown = Shown::default();
    // The op channel has its place sooner than the others: whoever waits for a position here may
    // rely on it that what the source does from now on is replicated, rows included.
    let Some(Checkpoint { channels, .. }) = loaded.checkpoint else {
        return Ok(shown);
    };
    for collection in &loaded.collections {
        for channel in collection.pchannels() {
            if let Some(position) = channels.get(channel) {
                shown.positions.push(ShownPosition {
                    collection: collection.id,
                    channel: channel.to_owned(),
                    id: position.id.clone(),
                    tick: position.tick,
                });
            }
        }
    }
    if let Some(op) = OpPosition::load(store, task).await? {
        shown.op_positions.push(ShownPosition {
            collection: OP_CHANNEL,
            channel: String::new(),
            id: op.next,
            tick: op.at,
        });
    }
    Ok(shown)
}
