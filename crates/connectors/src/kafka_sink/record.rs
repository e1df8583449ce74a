//! What a format makes of changes: a record for a topic. Never knows a producer.

use rdkafka::message::{Header, OwnedHeaders};
use std::sync::Arc;

/// One record of a topic.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) topic: Arc<str>,
    pub(super) partition: Partition,
    pub(super) key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub(super) value: Option<Vec<u8>>,
    pub(super) origin: Option<Origin>,
    /// It is written when all before it is acknowledged, and acknowledged before anything else is
    /// written: the order that partitions can't keep among each other.
    pub(super) apart: bool,
}

/// Which partition of its topic a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Partition {
    /// The first.
    First,
    /// Always the same for this name.
    Of(Arc<str>),
    /// Always the same for the record's key.
    ByKey,
}

impl Partition {
    /// Its number among so many; `None` leaves it to the key.
    pub(super) fn number(&self, count: i32) -> Option<i32> {
        match self {
            Self::First => Some(0),
            Self::Of(name) => {
                let place = super::marks::hash(name.as_bytes()) % u64::from(count.max(1) as u32);
                Some(i32::try_from(place).unwrap_or(0))
            }
            Self::ByKey => None,
        }
    }
}

/// Where in the source's queue a row was read; the headers of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) channel: Arc<str>,
    /// Base64 of the queue's id.
    pub(super) message_id: Arc<str>,
    /// The row's hybrid timestamp.
    pub(super) tt: u64,
    /// The row's place in its message.
    pub(super) row: usize,
}

impl Origin {
    pub(super) fn headers(&self) -> OwnedHeaders {
        let (tt, row) = (self.tt.to_string(), self.row.to_string());
        let header = |key, value| Header { key, value: Some(value) };
        OwnedHeaders::new_with_capacity(4)
            .insert(header("milvus.channel", &*self.channel))
            .insert(header("milvus.message_id", &*self.message_id))
            .insert(header("milvus.tt", &*tt))
            .insert(header("milvus.row", &*row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_partition_and_names_have_several() {
        let of = |name: &str, count| Partition::Of(name.into()).number(count).unwrap();
        let numbers: Vec<_> =
            (0..16).map(|n| of(&format!("by-dev-rootcoord-dml_{n}"), 8)).collect();
        assert!(numbers.iter().all(|number| (0..8).contains(number)), "{numbers:?}");
        assert!(numbers.iter().collect::<std::collections::BTreeSet<_>>().len() > 3);
        assert_eq!(of("by-dev-rootcoord-dml_3", 8), of("by-dev-rootcoord-dml_3", 8));
        assert_eq!(of("c", 1), 0);
        assert_eq!(Partition::ByKey.number(8), None);
    }
}
