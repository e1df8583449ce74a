//! Gives a message of the queue its new names, ids and timestamp. The rows stay slices of the
//! original: they are not copied here, let alone decoded.

use crate::ids::{CollectionId, PartitionId};
use crate::timestamp::Timestamp;
use bytes::Bytes;

/// What changes in a message on its way to the target.
#[derive(Clone, Debug)]
pub struct Patch<'a> {
    /// The target's virtual channel.
    pub vchannel: &'a str,
    /// The target's database.
    pub database: &'a str,
    /// The target's collection name.
    pub collection: &'a str,
    /// The target's collection id.
    pub collection_id: CollectionId,
    /// The target's partition id; `None` keeps −1 in a delete that names no partition.
    pub partition_id: Option<PartitionId>,
    /// A new timestamp for the message and all its rows; `None` keeps the source's.
    pub stamp: Option<Timestamp>,
}

/// A message in parts: a new head, then slices of the original.
#[derive(Clone, Debug, Default)]
pub struct Spliced {
    /// In order; together they are the message.
    pub parts: Vec<Bytes>,
}

impl Spliced {
    /// Bytes of the whole message.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
