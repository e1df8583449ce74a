//! Counts messages and, if asked to, checks what would be wrong on a Milvus: ticks that go back,
//! rows outside of (previous tick, closing tick], and rows that come twice. Never refuses anything:
//! it records what is wrong.

use super::book::Book;
use super::wire::{Base, Head, Replicate};
use milvus_wire::proto::common::MsgType;
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// How many faults are kept as text.
const FAULTS_MAX: usize = 20;

/// What a counting target has been given.
#[derive(Clone, PartialEq, Message)]
pub struct Counts {
    /// ReplicateMessage calls.
    #[prost(uint64, tag = "1")]
    pub calls: u64,
    /// Bytes of these calls.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    /// Inserts and deletes.
    #[prost(uint64, tag = "3")]
    pub row_messages: u64,
    /// Rows inserted, those of repeated messages too.
    #[prost(uint64, tag = "4")]
    pub inserted: u64,
    /// Rows deleted, those of repeated messages too.
    #[prost(uint64, tag = "5")]
    pub deleted: u64,
    /// Ticks.
    #[prost(uint64, tag = "6")]
    pub ticks: u64,
    /// The highest tick of any channel.
    #[prost(uint64, tag = "7")]
    pub highest_tick: u64,
    /// Drops of collections and partitions, and what else there may be.
    #[prost(uint64, tag = "8")]
    pub other_messages: u64,
    /// Messages that had come before in the same window, where Milvus removes them. Only counted
    /// when checking.
    #[prost(uint64, tag = "9")]
    pub repeated_in_window: u64,
    /// Messages that had come in an earlier window: doubled rows. Only counted when checking.
    #[prost(uint64, tag = "10")]
    pub doubled: u64,
    /// How many checks failed.
    #[prost(uint64, tag = "11")]
    pub faults: u64,
    /// The first of them in words.
    #[prost(string, repeated, tag = "12")]
    pub fault_texts: Vec<String>,
}

impl Counts {
    fn fault(&mut self, text: impl FnOnce() -> String) {
        self.faults += 1;
        if self.fault_texts.len() < FAULTS_MAX {
            self.fault_texts.push(text());
        }
    }
}

/// What is remembered of a channel to check it.
#[derive(Debug, Default)]
struct Channel {
    last_tick: u64,
    highest_row: u64,
    window: HashSet<i64>,
    earlier: HashSet<i64>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    channels: HashMap<String, Channel>,
}

/// Counts messages, and checks them if it has metadata to check with.
#[derive(Debug)]
pub(super) struct Ledger {
    state: Mutex<State>,
    checking: Option<Arc<Book>>,
}

impl Ledger {
    pub(super) fn new(checking: Option<Arc<Book>>) -> Self {
        Self { state: Mutex::default(), checking }
    }

    pub(super) fn counts(&self) -> Counts {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).counts.clone()
    }

    /// Enters one call of so many bytes.
    pub(super) fn enter(&self, call: &Replicate, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { counts, channels } = &mut *state;
        counts.calls += 1;
        counts.bytes += bytes;
        if self.checking.is_some() && !channels.contains_key(&call.pchannel) {
            channels.insert(call.pchannel.clone(), Channel::default());
        }
        let checking = self.checking.as_deref();
        let mut checked = checking.zip(channels.get_mut(&call.pchannel));
        if checked.is_some() && call.messages.is_empty() {
            counts.fault(|| format!("{}: an empty call", call.pchannel));
        }
        let nothing = Base::default();
        for message in &call.messages {
            let base = message.base.as_ref().unwrap_or(&nothing);
            match MsgType::try_from(base.kind) {
                Ok(MsgType::TimeTick) => {
                    counts.ticks += 1;
                    counts.highest_tick = counts.highest_tick.max(base.timestamp);
                    if let Some((_, channel)) = &mut checked {
                        channel.tick(&call.pchannel, base.timestamp, counts);
                    }
                }
                Ok(kind @ (MsgType::Insert | MsgType::Delete)) => {
                    counts.row_messages += 1;
                    match kind {
                        MsgType::Insert => counts.inserted += message.inserted,
                        _ => counts.deleted += deleted(message),
                    }
                    if let Some((book, channel)) = &mut checked {
                        channel.rows(call, message, base, book, counts);
                    }
                }
                _ => counts.other_messages += 1,
            }
        }
    }
}

fn deleted(message: &Head) -> u64 {
    message.ids_or_deleted.first().and_then(|rows| u64::try_from(*rows).ok()).unwrap_or(0)
}

impl Channel {
    fn tick(&mut self, name: &str, tick: u64, counts: &mut Counts) {
        if tick < self.last_tick {
            return counts.fault(|| format!("{name}: tick {tick} after {}", self.last_tick));
        }
        if tick < self.highest_row {
            counts.fault(|| format!("{name}: tick {tick} below its row {}", self.highest_row));
        }
        // Only a tick that advances closes the window.
        if tick > self.last_tick {
            self.last_tick = tick;
            self.highest_row = 0;
            self.earlier.extend(self.window.drain());
        }
    }

    fn rows(
        &mut self,
        call: &Replicate,
        message: &Head,
        base: &Base,
        book: &Book,
        counts: &mut Counts,
    ) {
        let name = &call.pchannel;
        if self.earlier.contains(&base.id) {
            counts.doubled += 1;
            counts.fault(|| format!("{name}: message {} again after its tick", base.id));
        } else if !self.window.insert(base.id) {
            counts.repeated_in_window += 1;
        }
        for stamp in message.timestamps.iter().chain([&base.timestamp]) {
            if *stamp <= self.last_tick {
                counts.fault(|| format!("{name}: row {stamp} at or below tick {}", self.last_tick));
            }
            if *stamp > call.end {
                counts.fault(|| format!("{name}: row {stamp} above its call's end {}", call.end));
            }
            self.highest_row = self.highest_row.max(*stamp);
        }
        if !message.shard.starts_with(name.as_str())
            || !book.knows(message.collection, &message.shard)
        {
            counts.fault(|| {
                format!("{name}: collection {} is not on {}", message.collection, message.shard)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use milvus_wire::proto::milvus::CreateCollectionRequest;

    fn message(kind: MsgType, id: i64, timestamp: u64, target: (i64, &str)) -> Head {
        Head {
            base: Some(Base { kind: kind as i32, id, timestamp }),
            shard: target.1.to_owned(),
            collection: target.0,
            inserted: 10,
            ..Default::default()
        }
    }

    fn counts_of(calls: &[&[(MsgType, i64, u64)]]) -> Counts {
        let book = Arc::new(Book::new("t", 1));
        let request = CreateCollectionRequest { collection_name: "c".into(), ..Default::default() };
        book.create_collection("default".into(), &request);
        let described = book.describe("default".into(), "c".into());
        let target = (described.collection_id, described.virtual_channel_names[0].as_str());
        let ledger = Ledger::new(Some(book));
        for call in calls {
            let messages =
                call.iter().map(|&(kind, id, stamp)| message(kind, id, stamp, target)).collect();
            let pchannel = described.physical_channel_names[0].clone();
            ledger.enter(&Replicate { pchannel, begin: 0, end: 1000, messages }, 1);
        }
        ledger.counts()
    }

    #[test]
    fn rows_between_ticks_are_in_order() {
        let counts = counts_of(&[
            &[(MsgType::Insert, 1, 5), (MsgType::Insert, 1, 5), (MsgType::TimeTick, 0, 5)],
            &[(MsgType::TimeTick, 0, 5), (MsgType::Insert, 2, 6), (MsgType::TimeTick, 0, 9)],
        ]);
        assert_eq!((counts.faults, counts.repeated_in_window), (0, 1), "{counts:?}");
        assert_eq!((counts.calls, counts.inserted, counts.ticks), (2, 30, 3));
    }

    #[test]
    fn each_kind_of_fault_is_found() {
        let tick = |at| (MsgType::TimeTick, 0, at);
        let row = |id, at| (MsgType::Insert, id, at);
        for (calls, expected) in [
            (vec![tick(5), tick(4)], "tick 4 after 5"),
            (vec![tick(5), row(1, 5)], "at or below tick 5"),
            (vec![row(1, 7), tick(6)], "tick 6 below its row 7"),
            (vec![row(1, 5), tick(6), row(1, 7)], "again after its tick"),
            (vec![row(1, 1001)], "above its call's end"),
            (vec![], "an empty call"),
        ] {
            let counts = counts_of(&[&calls]);
            assert!(counts.faults > 0, "{expected}");
            assert!(counts.fault_texts[0].contains(expected), "{:?}", counts.fault_texts);
        }
    }
}
