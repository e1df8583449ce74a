//! A record for a topic, as a format makes it of a change. Never writes it.

use rdkafka::message::{Header, OwnedHeaders};
use std::sync::Arc;

/// One record of a topic.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SinkRecord {
    pub(super) topic: Arc<str>,
    pub(super) partition: SinkPartition,
    pub(super) key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub(super) value: Option<Vec<u8>>,
    pub(super) origin: Option<Origin>,
    /// Whether it is ordered against all other records: it is written once all before it are
    /// acknowledged, and nothing is written before it is acknowledged. Partitions alone keep no
    /// order among each other.
    pub(super) apart: bool,
}

/// Which partition of its topic a record belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SinkPartition {
    /// The first partition.
    First,
    /// The same partition for the same name.
    Of(Arc<str>),
    /// The same partition for the same key of the record.
    ByKey,
}

impl SinkPartition {
    /// Its number out of `count`; `None` lets the key decide.
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

/// Where a row was read in the source's queue: the headers of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) channel: Arc<str>,
    /// The message's id in the queue, in base64.
    pub(super) message_id: Arc<str>,
    /// The row's hybrid timestamp.
    pub(super) tt: u64,
    /// The row's index in its message.
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
        let of = |name: &str, count| SinkPartition::Of(name.into()).number(count).unwrap();
        let numbers: Vec<_> =
            (0..16).map(|n| of(&format!("by-dev-rootcoord-dml_{n}"), 8)).collect();
        assert!(numbers.iter().all(|number| (0..8).contains(number)), "{numbers:?}");
        assert!(numbers.iter().collect::<std::collections::BTreeSet<_>>().len() > 3);
        assert_eq!(of("by-dev-rootcoord-dml_3", 8), of("by-dev-rootcoord-dml_3", 8));
        assert_eq!(of("c", 1), 0);
        assert_eq!(SinkPartition::ByKey.number(8), None);
    }
}
