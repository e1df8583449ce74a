//! Part of step 1 of the way of a row: keeps the messages of one channel until a tick covers them.
//! Never waits and never drops a message that was not acknowledged before.

use crate::message::Entry;
use crate::records::position::{Position, Seen};
use milvus_wire::message::Message;
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::collections::VecDeque;

/// The messages of one channel that no tick covers yet.
#[derive(Debug)]
pub(super) struct ReorderBuffer {
    /// Messages at or below it are done, up to the first tick at or above it.
    resume: Timestamp,
    skipping: bool,
    last_tick: Timestamp,
    next_seq: u64,
    held: VecDeque<Entry>,
    held_bytes: usize,
    /// Ticks that a position may still need, each the last before a held message.
    ticks: VecDeque<(Timestamp, u64, MessageId)>,
    held_since_tick: bool,
}

impl ReorderBuffer {
    /// For a channel that is read from a position on. A tick there that is done counts as read.
    pub(super) fn new(position: &Position) -> Self {
        let resume = position.tick;
        let mut buffer = Self {
            resume,
            skipping: resume > Timestamp::ZERO,
            last_tick: Timestamp::ZERO,
            next_seq: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            ticks: VecDeque::new(),
            held_since_tick: true,
        };
        if let Some(tick) = position.done() {
            buffer.tick(position.id.clone(), tick);
        }
        buffer
    }

    /// The newest tick read; zero before the first.
    pub(super) fn last_tick(&self) -> Timestamp {
        self.last_tick
    }

    /// Bytes of the held messages.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Bytes of the held messages with an order at or below `at`.
    pub(super) fn bytes_upto(&self, at: Timestamp) -> usize {
        self.held.iter().filter(|e| e.order <= at).map(|e| e.message.size()).sum()
    }

    /// The held messages.
    pub(super) fn held(&self) -> impl Iterator<Item = &Entry> {
        self.held.iter()
    }

    /// Takes in a tick. Ticks that repeat or go back are normal and mean nothing.
    pub(super) fn tick(&mut self, id: MessageId, at: Timestamp) {
        let seq = self.take_seq();
        if at <= self.last_tick {
            // What repeats the last tick, with nothing in between, stands for it.
            if at == self.last_tick
                && !self.held_since_tick
                && let Some(last) = self.ticks.back_mut()
            {
                *last = (at, seq, id);
            }
            return;
        }
        self.last_tick = at;
        if at >= self.resume {
            self.skipping = false;
        }
        // With nothing held in between, the newer tick serves every position the older one would.
        if !self.held_since_tick {
            self.ticks.pop_back();
        }
        self.ticks.push_back((at, seq, id));
        self.held_since_tick = false;
    }

    /// The order a message with this timestamp has at this place of the log; `None`: it was done
    /// before the position that reading resumed from.
    pub(super) fn order(&self, timestamp: Timestamp) -> Option<Timestamp> {
        if self.skipping && timestamp <= self.resume {
            return None;
        }
        Some(timestamp.max(self.last_tick.next()))
    }

    /// Keeps a message with the order that [`ReorderBuffer::order`] gave it.
    pub(super) fn hold(&mut self, id: MessageId, order: Timestamp, bytes: usize, message: Message) {
        let seq = self.take_seq();
        self.held_bytes += bytes;
        self.held_since_tick = true;
        self.held.push_back(Entry { seq, id, order, message });
    }

    /// Takes out the messages that a tick at or above `upto` covers, in the order of the log.
    pub(super) fn take(&mut self, upto: Timestamp) -> Vec<Entry> {
        let (taken, kept) =
            std::mem::take(&mut self.held).into_iter().partition(|e: &Entry| e.order <= upto);
        self.held = kept;
        self.held_bytes = self.bytes_upto(Timestamp(u64::MAX));
        taken.into()
    }

    /// Where to resume when everything up to `upto` is done, given what was taken but is not done
    /// yet; `None` if no tick at or above it was read.
    ///
    /// It is the first such tick, or an earlier message that is still to be done: then whatever
    /// lies behind that tick is read again even if its timestamp is lower, and whatever lies
    /// before it and is done is skipped by its timestamp.
    pub(super) fn position(
        &mut self,
        upto: Timestamp,
        pending: Option<&Entry>,
    ) -> Option<Position> {
        while self.ticks.len() > 1 && self.ticks.front().is_some_and(|(at, ..)| *at < upto) {
            self.ticks.pop_front();
        }
        let (at, seq, id) = self.ticks.front().filter(|(at, ..)| *at >= upto)?;
        let first = self.held.iter().chain(pending).min_by_key(|e| e.seq);
        let (id, seen) = match first.filter(|e| e.seq < *seq) {
            Some(e) => (&e.id, Seen { at: e.message.timestamp(), is_done: false }),
            None => (id, Seen { at: *at, is_done: true }),
        };
        Some(Position { id: id.clone(), tick: upto, seen: Some(seen) })
    }

    fn take_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn id(n: u64) -> MessageId {
        MessageId(Bytes::copy_from_slice(&n.to_le_bytes()))
    }

    fn start() -> Position {
        Position::new(id(0), Timestamp::ZERO)
    }

    /// Reads a log of `(is_tick, timestamp)` from a place on and returns the held timestamps.
    fn read(log: &[(bool, u64)], from: usize, position: &Position) -> ReorderBuffer {
        let mut buffer = ReorderBuffer::new(position);
        for (n, (is_tick, at)) in log.iter().enumerate().skip(from) {
            if *is_tick {
                buffer.tick(id(n as u64), Timestamp(*at));
            } else if let Some(order) = buffer.order(Timestamp(*at)) {
                buffer.hold(id(n as u64), order, 0, Message::Other(0, Timestamp(*at)));
            }
        }
        buffer
    }

    fn place(id: &MessageId) -> usize {
        usize::from(id.0[0])
    }

    proptest::proptest! {
        /// Whatever the log looks like, late messages included: what a reader has taken up to a
        /// tick and what it takes after resuming there are together the log, each once.
        #[test]
        fn resuming_loses_nothing_and_repeats_nothing(
            log in proptest::collection::vec((proptest::bool::weighted(0.4), 1u64..30), 1..40),
            upto in 1u64..30,
        ) {
            let mut first = read(&log, 0, &start());
            let covered = Timestamp(upto).min(first.last_tick());
            let seen: Vec<usize> = first.take(covered).iter().map(|e| place(&e.id)).collect();
            let Some(position) = first.position(covered, None) else { return Ok(()) };
            let all: Vec<usize> =
                log.iter().enumerate().filter(|(_, (tick, _))| !tick).map(|(n, _)| n).collect();
            // As an earlier version has stored it, and again behind a tick that is done.
            let earlier = Position::new(position.id.clone(), position.tick);
            let behind = place(&position.id) + usize::from(position.done().is_some());
            let at = place(&position.id);
            for (from, position) in [(at, &earlier), (at, &position), (behind, &position)] {
                let mut second = read(&log, from, position);
                let rest = second.take(Timestamp(u64::MAX));
                let mut seen = seen.clone();
                seen.extend(rest.iter().map(|e| place(&e.id)));
                seen.sort_unstable();
                proptest::prop_assert_eq!(&seen, &all);
            }
        }
    }

    #[test]
    fn ticks_without_messages_take_no_memory() {
        let mut buffer = ReorderBuffer::new(&start());
        for n in 1..10_000 {
            buffer.tick(id(n), Timestamp(n));
        }
        assert_eq!(buffer.ticks.len(), 1);
    }
}
