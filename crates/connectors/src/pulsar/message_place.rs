//! The place of a message in a Pulsar topic. Never asks a broker: the order is in the id.

use bytes::Bytes;
use milvus_wire::position::MessageId;
use prost::Message as _;
use pulsar::message::proto::MessageIdData;
use replication::error::{Error, Result};
use std::fmt;

/// Stands for "no entry" and "no batch" in Pulsar's ids.
const NONE: i64 = -1;

/// The place of a message. The entries of a ledger are numbered from 0 without a gap; the numbers
/// of ledgers grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MessagePlace {
    ledger: i64,
    /// −1: before the first entry of the ledger.
    entry: i64,
    /// The index inside a batch; 0 for a message that is not in a batch.
    index: i32,
}

impl MessagePlace {
    /// The place before all messages of any topic.
    pub(super) const FIRST: Self = Self { ledger: 0, entry: NONE, index: 0 };

    /// The place of an entry's first message.
    pub(super) fn of_entry(id: &MessageIdData) -> Self {
        // Pulsar writes −1 into its unsigned fields.
        Self { ledger: id.ledger_id as i64, entry: id.entry_id as i64, index: 0 }
    }

    /// The message at this index of the same entry.
    pub(super) fn at(self, index: i32) -> Self {
        Self { index, ..self }
    }

    /// The entry after this one, if the ledger continues; otherwise the next message is above it.
    pub(super) fn next_entry(self) -> Self {
        Self { entry: self.entry.saturating_add(1), index: 0, ..self }
    }

    /// The place before all messages of later ledgers.
    pub(super) fn next_ledger(self) -> Self {
        Self { ledger: self.ledger.saturating_add(1), entry: NONE, index: 0 }
    }

    /// This many entries earlier, at most to the start of the ledger.
    pub(super) fn back(self, entries: i64) -> Self {
        Self { entry: self.entry.saturating_sub(entries).max(0), index: 0, ..self }
    }

    /// Whether it names an entry: one that exists, existed, or follows one that existed.
    pub(super) fn is_anchored(self) -> bool {
        self.ledger >= 0 && self.entry >= 0
    }

    /// Whether it names the beginning of a ledger that had no entry: nothing of it was read, so
    /// nothing can show whether all behind it is still there.
    pub(super) fn is_of_an_empty_topic(self) -> bool {
        self.ledger > 0 && self.entry == NONE
    }

    /// Whether both are in one ledger, whose entries have no gaps.
    pub(super) fn shares_ledger(self, other: Self) -> bool {
        self.ledger == other.ledger
    }

    /// Whether a reader that began at this place and gets `first` has missed nothing: `first` is
    /// this entry or an earlier one of the same ledger.
    pub(super) fn continues_at(self, first: Self) -> bool {
        first.ledger == self.ledger && first.entry <= self.entry
    }

    /// Where a broker has to begin so that the first entry proves that nothing is missing: two
    /// entries earlier, since some brokers begin after the given id.
    pub(super) fn to_begin(self) -> MessageIdData {
        let entry = if self.is_anchored() { (self.entry - 2).max(NONE) } else { NONE };
        MessageIdData {
            ledger_id: self.ledger as u64,
            entry_id: entry as u64,
            ..MessageIdData::default()
        }
    }

    /// The id that Milvus stores. `index` is `None` for a message that is not in a batch.
    pub(super) fn id(self, index: Option<i32>) -> MessageId {
        let id = MessageIdData {
            ledger_id: self.ledger as u64,
            entry_id: self.entry as u64,
            partition: Some(-1),
            batch_index: Some(index.unwrap_or(-1)),
            ..MessageIdData::default()
        };
        MessageId(Bytes::from(id.encode_to_vec()))
    }

    /// Reads an id that Milvus stores.
    pub(super) fn parse(id: &MessageId) -> Option<Self> {
        // An empty id would decode as the very first place.
        let data = MessageIdData::decode(id.0.as_ref()).ok().filter(|_| !id.0.is_empty())?;
        Some(Self::of_entry(&data).at(data.batch_index.unwrap_or_default().max(0)))
    }

    /// The place of a channel's position.
    pub(super) fn of(channel: &str, id: &MessageId) -> Result<Self> {
        Self::parse(id).ok_or_else(|| {
            Error::permanent(format!(
                "the position {id:?} of channel {channel} is not one of Pulsar (a MessageIdData): \
                 give a position of this source's queue"
            ))
        })
    }
}

impl fmt::Display for MessagePlace {
    /// The form of Pulsar's own tools.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ledger, self.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(ledger: i64, entry: i64, index: i32) -> MessagePlace {
        MessagePlace { ledger, entry, index }
    }

    fn data(ledger_id: u64, entry_id: u64, batch_index: Option<i32>) -> MessageId {
        let data = MessageIdData { ledger_id, entry_id, batch_index, ..MessageIdData::default() };
        MessageId(Bytes::from(data.encode_to_vec()))
    }

    /// A position comes from a user.
    #[test]
    fn the_last_entry_and_ledger_that_can_be_written_have_none_behind_them() {
        for end in [i64::MAX, i64::MIN] {
            let id = MessageIdData {
                ledger_id: end.cast_unsigned(),
                entry_id: end.cast_unsigned(),
                ..MessageIdData::default()
            };
            let place = MessagePlace::of_entry(&id);
            assert!(place.next_entry() >= place);
            assert!(place.next_ledger().ledger >= place.ledger);
            assert!(place.back(1).entry >= 0);
        }
    }

    #[test]
    fn ids_are_ordered_by_ledger_entry_and_index() {
        let sorted = [
            place(3, NONE, 0),
            place(3, 0, 0),
            place(3, 9, 0),
            place(3, 9, 1),
            place(3, 10, 0),
            place(4, NONE, 0),
        ];
        assert!(sorted.is_sorted());
        assert!(place(3, 10, 0) < place(3, 10, 0).next_entry());
        assert!(place(3, 10, 5) < place(3, 10, 0).next_ledger());
        assert!(place(3, 10, 0).next_ledger() < place(4, 0, 0));
    }

    #[test]
    fn an_id_survives_being_written_and_a_message_that_came_alone_has_index_0() {
        assert_eq!(MessagePlace::parse(&place(7, 8, 2).id(Some(2))), Some(place(7, 8, 2)));
        assert_eq!(MessagePlace::parse(&place(7, NONE, 0).id(None)), Some(place(7, NONE, 0)));
        for index in [None, Some(-1), Some(0)] {
            assert_eq!(MessagePlace::parse(&data(7, 8, index)), Some(place(7, 8, 0)));
        }
    }

    #[test]
    fn the_beginning_of_a_ledger_is_told_from_that_of_all_topics() {
        assert!(place(7, NONE, 0).is_of_an_empty_topic());
        for other in [MessagePlace::FIRST, place(NONE, NONE, 0), place(7, 0, 0)] {
            assert!(!other.is_of_an_empty_topic(), "{other}");
        }
    }

    #[test]
    fn a_position_of_another_queue_is_refused_with_its_channel() {
        for kafka in [&[][..], &[0; 8], &[8, 0, 0, 0, 0, 0, 0, 0]] {
            let id = MessageId(Bytes::copy_from_slice(kafka));
            let error = MessagePlace::of("by-dev-rootcoord-dml_0", &id).unwrap_err();
            assert!(error.what.contains("by-dev-rootcoord-dml_0"), "{error}");
        }
    }

    #[test]
    fn only_the_entry_asked_for_or_an_earlier_one_of_its_ledger_proves_that_nothing_is_lost() {
        let from = place(7, 8, 1);
        assert!(from.continues_at(place(7, 8, 0)) && from.continues_at(place(7, 6, 0)));
        assert!(!from.continues_at(place(7, 9, 0)) && !from.continues_at(place(8, 0, 0)));
        assert_eq!(from.to_begin().entry_id, 6);
        assert_eq!(place(7, 1, 0).to_begin().entry_id as i64, NONE);
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;

    /// A position may come from a user.
    #[test]
    fn any_bytes_are_a_place_to_begin_at_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let id = MessageId(Bytes::copy_from_slice(bytes));
            let Some(place) = MessagePlace::parse(&id) else { return };
            assert_eq!(MessagePlace::parse(&place.id(Some(place.index))), Some(place));
            let _ = (place.to_begin(), place.back(1), place.next_entry(), place.next_ledger());
        });
    }
}
