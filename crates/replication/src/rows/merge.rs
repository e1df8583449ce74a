//! Step 3 of the way of a row: puts the messages of all channels into one order and cuts them at
//! each DDL.
//! Never waits, never knows a collection.

use crate::message::Entry;
use crate::message::Read;
use milvus_wire::ids::CollectionId;
use milvus_wire::message::{DdlMessage, Message, RowKind};
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The first message of each channel that is still to be done after a step.
pub(crate) type Ahead = BTreeMap<Arc<str>, Entry>;

/// A stretch of a round: messages, then at most one DDL that happens after them.
#[derive(Debug)]
pub(crate) struct Step {
    /// In the order in which the target must get them; drop messages of `then` come last.
    pub messages: Vec<Read>,
    /// All messages of all channels with an order at or below it belong to this or earlier steps.
    pub upto: Timestamp,
    /// What to ask the target for when all of the above is acknowledged.
    pub then: Option<Then>,
}

/// A DDL between two stretches.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    /// The log says that a collection begins; the catalog knows whether it does.
    Create(CollectionId, Read),
    /// A collection ends.
    DropCollection(DdlMessage),
    /// A partition ends.
    DropPartition(DdlMessage),
}

/// Orders a round and cuts it into steps. Each comes with what is still to be done after it: the
/// first message of each channel. At equal timestamps deletes come before inserts: together they
/// are an upsert.
pub(crate) fn merge(round: Vec<Read>, upto: Timestamp) -> Vec<(Step, Ahead)> {
    with_pending(cut(round, upto))
}

fn cut(mut round: Vec<Read>, upto: Timestamp) -> Vec<Step> {
    round.sort_by_key(|read| {
        let entry = &read.entry;
        let (place, id) = place(&entry.message);
        (entry.order, place, entry.message.timestamp(), id)
    });
    let mut steps = Vec::new();
    let mut messages = Vec::new();
    let mut round = round.into_iter().peekable();
    while let Some(read) = round.next() {
        let at = read.entry.order;
        match &read.entry.message {
            Message::CreateCollection(ddl) => {
                let then = Some(Then::Create(ddl.collection_id, read));
                let messages = std::mem::take(&mut messages);
                steps.push(Step { messages, upto: at.prev(), then });
            }
            Message::DropCollection(ddl) | Message::DropPartition(ddl) => {
                let whole = matches!(read.entry.message, Message::DropCollection(_));
                let ddl = ddl.clone();
                messages.push(read);
                // Every shard carries the same drop; they go out together.
                while let Some(same) = round.next_if(|next| is_same(&next.entry, at, &ddl)) {
                    messages.push(same);
                }
                let then =
                    Some(if whole { Then::DropCollection(ddl) } else { Then::DropPartition(ddl) });
                steps.push(Step { messages: std::mem::take(&mut messages), upto: at, then });
            }
            _ => messages.push(read),
        }
    }
    steps.push(Step { messages, upto, then: None });
    steps
}

fn with_pending(steps: Vec<Step>) -> Vec<(Step, Ahead)> {
    let mut pending = Ahead::new();
    let mut paired = Vec::with_capacity(steps.len());
    for step in steps.into_iter().rev() {
        if let Some(Then::Create(_, read)) = &step.then {
            keep_first(&mut pending, read);
        }
        let after = pending.clone();
        for read in &step.messages {
            keep_first(&mut pending, read);
        }
        paired.push((step, after));
    }
    paired.reverse();
    paired
}

fn keep_first(pending: &mut Ahead, read: &Read) {
    let first = pending.entry(read.channel.clone()).or_insert_with(|| read.entry.clone());
    if read.entry.seq < first.seq {
        *first = read.entry.clone();
    }
}

/// The place of a message among messages of the same order. A late message may have the order of a
/// DDL; it must not split the messages of that DDL.
fn place(message: &Message) -> (u8, (u8, i64, i64)) {
    match message {
        Message::CreateCollection(d) | Message::CreatePartition(d) => {
            (0, (0, d.collection_id.0, 0))
        }
        Message::Row(row) if row.kind == RowKind::Delete => (1, (0, 0, 0)),
        Message::Row(_) => (1, (1, 0, 0)),
        Message::DropPartition(d) => (2, (0, d.collection_id.0, d.partition_id.0)),
        Message::DropCollection(d) => (2, (1, d.collection_id.0, 0)),
        Message::Tick(_) | Message::Import { .. } | Message::Other(..) => (3, (0, 0, 0)),
    }
}

fn is_same(entry: &Entry, at: Timestamp, ddl: &DdlMessage) -> bool {
    let (Message::DropCollection(other) | Message::DropPartition(other)) = &entry.message else {
        return false;
    };
    entry.order == at
        && other.collection_id == ddl.collection_id
        && other.partition_id == ddl.partition_id
}
