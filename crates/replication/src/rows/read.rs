//! Step 1 of the way of a row: reads the source's channels of a task, always the one that is
//! furthest behind, until a tick covers them all.
//! Decodes headers only; never decides what becomes of a message.

use crate::error::{Error, Result};
use crate::message::Entry;
use crate::message::Read;
use crate::observer::{Event, Noted, Observer};
use crate::ports::{ChannelReader, Record, Source};
use crate::progress::Progress;
use crate::records::position::{Position, Seen};
use crate::rows::reorder::ReorderBuffer;
use crate::rows::resumed::{self, Resumed};
use crate::rows::roster::Roster;
use bytes::Bytes;
use milvus_wire::message::{Message, RowKind, decode};
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The open channels of a task.
pub(crate) struct Channels {
    source: Arc<dyn Source>,
    observer: Arc<dyn Observer>,
    open: BTreeMap<Arc<str>, Channel>,
    /// A round closes when it has this size.
    round_bytes: usize,
    held_bytes_max: usize,
    held_bytes: usize,
    /// The tick that covers all channels, and how many bytes it covers; `None`: to be counted
    /// again.
    covered: Option<(Timestamp, usize)>,
    /// Up to where all is done but what a channel that went back has for a collection that joined.
    done: Timestamp,
    /// The end of the last round; below `done` while a channel that went back is behind it.
    last: Timestamp,
    behind: bool,
}

/// How long a task that is behind waits for more before it closes a small round: a window costs two
/// writes to the store, however small it is.
const LINGER: Duration = Duration::from_millis(20);

/// After what silence a channel that went back may be at its end: it has no more ticks if the
/// source has dropped its last collection meanwhile.
const ENDED_AFTER: Duration = Duration::from_secs(1);

/// How long it waits at a time for one channel while the others may have something.
const BRIEFLY: Duration = Duration::from_millis(2);

/// How many rounds are kept in memory. More is left in the client's queues.
const AHEAD_ROUNDS: usize = 2;

struct Channel {
    reader: Box<dyn ChannelReader>,
    buffer: ReorderBuffer,
    /// Up to which all is acknowledged, and where to resume.
    position: Position,
    /// The newest message read.
    read: Option<MessageId>,
    read_bytes: [u64; 3],
}

impl Channels {
    /// No channel yet. A round closes above `round_bytes`; more than `held_bytes_max` is a fault.
    pub(crate) fn new(
        source: Arc<dyn Source>,
        observer: Arc<dyn Observer>,
        round_bytes: usize,
        held_bytes_max: usize,
    ) -> Self {
        Self {
            source,
            observer,
            open: BTreeMap::new(),
            round_bytes,
            held_bytes_max,
            held_bytes: 0,
            covered: None,
            done: Timestamp::ZERO,
            last: Timestamp::ZERO,
            behind: false,
        }
    }

    /// Opens a channel at a position, or opens it again there.
    pub(crate) async fn open(&mut self, channel: &str, position: Position) -> Result<()> {
        self.covered = None;
        if let Some(old) = self.open.remove(channel) {
            self.held_bytes -= old.buffer.held_bytes();
        }
        self.done = self.done.max(position.tick);
        self.last = self.last.min(position.tick);
        let reader = self.reader(channel, &position).await?;
        let buffer = ReorderBuffer::new(&position);
        let (read, read_bytes) = (position.done().map(|_| position.id.clone()), [0; 3]);
        let state = Channel { reader, buffer, position, read, read_bytes };
        self.open.insert(channel.into(), state);
        self.observer.event(Event::Joined(channel));
        Ok(())
    }

    async fn reader(&self, channel: &str, position: &Position) -> Result<Box<dyn ChannelReader>> {
        let id = position.id.clone();
        let Some(Seen { at, is_done }) = position.seen else {
            return self.source.open(channel, &id).await;
        };
        let is_it = move |payload: &Bytes| {
            decode(payload.clone()).is_ok_and(|message| match message {
                Message::Tick(tick) => tick == at,
                message => !is_done && message.timestamp() == at,
            })
        };
        let from = resumed::Entry { id, is_done, is_it: Box::new(is_it) };
        Ok(Box::new(Resumed::open(self.source.clone(), channel, from).await?))
    }

    /// Stops reading a channel, and forgets its messages.
    pub(crate) fn close(&mut self, channel: &str) {
        self.covered = None;
        if let Some(old) = self.open.remove(channel) {
            self.held_bytes -= old.buffer.held_bytes();
            self.observer.event(Event::Left(channel));
        }
    }

    /// The position of a channel, if it is open.
    pub(crate) fn position(&self, channel: &str) -> Option<&Position> {
        self.open.get(channel).map(|c| &c.position)
    }

    /// The positions of all channels.
    pub(crate) fn positions(&self) -> BTreeMap<String, Position> {
        self.open.iter().map(|(name, c)| (name.to_string(), c.position.clone())).collect()
    }

    /// Whether a message of an open channel has been read already.
    pub(crate) fn has_passed(&self, channel: &str, id: &MessageId) -> bool {
        let Some(channel) = self.open.get(channel) else {
            return false;
        };
        let read = channel.read.as_ref();
        let at_or_behind = |read| self.source.compare(id, read) != Ordering::Greater;
        self.source.compare(id, &channel.position.id) == Ordering::Less
            || read.is_some_and(at_or_behind)
    }

    /// Reads until all channels are covered by a tick above all that is done, and returns it. If
    /// more is at hand the round grows to its limit in bytes. A channel that went back is read in
    /// rounds of that size until it is where the others are, or ends. With `end` the round ends
    /// there and nowhere else. Without channels it waits for ever. Safe to cancel.
    pub(crate) async fn round(
        &mut self,
        roster: &Roster,
        end: Option<Timestamp>,
    ) -> Result<Timestamp> {
        let mut waits: Option<Instant> = None;
        loop {
            let is_large = self.is_large();
            let Some((name, channel)) = furthest_behind(&mut self.open) else {
                return std::future::pending().await;
            };
            let covered = channel.buffer.last_tick();
            match end {
                Some(end) if covered >= end => return Ok(end),
                None if is_large => return Ok(covered),
                _ => {}
            }
            if let Some(record) = channel.reader.try_next()? {
                waits = None;
                self.accept(&name, record, roster)?;
                continue;
            }
            let lingers = self.behind && waits.get_or_insert_with(Instant::now).elapsed() < LINGER;
            if end.is_none() && covered > self.done && !lingers {
                return Ok(covered);
            }
            let may_be_all = end.is_none() && covered > self.last && covered <= self.done;
            if may_be_all && waits.get_or_insert_with(Instant::now).elapsed() >= ENDED_AFTER {
                return Ok(covered);
            }
            self.wait(roster, lingers || may_be_all).await?;
        }
    }

    /// Waits for the channel that is furthest behind, `briefly` or until it has something. Takes in
    /// meanwhile what the other channels have: a client whose queues are full does not fetch.
    async fn wait(&mut self, roster: &Roster, briefly: bool) -> Result<()> {
        if briefly && self.take_in_others(roster)? {
            return Ok(());
        }
        let Some((name, channel)) = furthest_behind(&mut self.open) else {
            return std::future::pending().await;
        };
        let record = match briefly {
            true => timeout(BRIEFLY, channel.reader.next()).await.ok().transpose()?,
            false => Some(channel.reader.next().await?),
        };
        record.map_or(Ok(()), |record| self.accept(&name, record, roster))
    }

    fn take_in_others(&mut self, roster: &Roster) -> Result<bool> {
        let mut is_any = false;
        for name in self.names() {
            if self.held_bytes >= AHEAD_ROUNDS * self.round_bytes {
                break;
            }
            let record = self.open.get_mut(&name).map(|c| c.reader.try_next()).transpose()?;
            if let Some(record) = record.flatten() {
                self.accept(&name, record, roster)?;
                is_any = true;
            }
        }
        Ok(is_any)
    }

    /// Reads what makes the next round, until that is a large one. Safe to cancel.
    pub(crate) async fn read_ahead(&mut self, roster: &Roster) -> Result<()> {
        while !self.is_large() {
            let Some((name, channel)) = furthest_behind(&mut self.open) else {
                break;
            };
            match channel.reader.try_next()? {
                Some(record) => self.accept(&name, record, roster)?,
                None => self.wait(roster, self.behind).await?,
            }
            // Reading without a pause must not keep the delivery from going on.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Whether the messages that a tick covers on all channels are enough for a round. No message
    /// at or below such a tick comes any more, so they are counted once.
    fn is_large(&mut self) -> bool {
        let covered = self.open.values().map(|c| c.buffer.last_tick()).min();
        let Some(covered) = covered.filter(|covered| *covered > self.last) else {
            return false;
        };
        let bytes = match self.covered {
            Some((at, bytes)) if at == covered => bytes,
            _ => self.open.values().map(|c| c.buffer.bytes_upto(covered)).sum(),
        };
        self.covered = Some((covered, bytes));
        bytes >= self.round_bytes
    }

    fn accept(&mut self, name: &str, record: Record, roster: &Roster) -> Result<()> {
        let Some(channel) = self.open.get_mut(name) else {
            return Ok(());
        };
        self.held_bytes += channel.accept(name, record, roster, &*self.source)?;
        if self.held_bytes > self.held_bytes_max {
            return Err(Error::permanent(format!(
                "more than {} MiB were read without a tick that covers {name}; raise \
                 packer.memoryLimit, or see why the source's time tick is stuck",
                self.held_bytes_max >> 20
            )));
        }
        Ok(())
    }

    /// The messages of a round up to `upto`.
    pub(crate) fn held(&self, upto: Timestamp) -> impl Iterator<Item = &Message> {
        let held = self.open.values().flat_map(|c| c.buffer.held());
        held.filter(move |e| e.order <= upto).map(|e| &e.message)
    }

    /// Takes out the messages of a round up to `upto`.
    pub(crate) fn take(&mut self, upto: Timestamp) -> Vec<Read> {
        let mut round = Vec::new();
        self.covered = None;
        self.last = upto;
        for (name, channel) in &mut self.open {
            round.extend(
                channel
                    .buffer
                    .take(upto)
                    .into_iter()
                    .map(|entry| Read { channel: name.clone(), entry }),
            );
            for (kind, bytes) in KINDS.iter().zip(&mut channel.read_bytes) {
                let bytes = std::mem::take(bytes);
                if bytes > 0 {
                    let event = Event::Read { channel: name, tick: upto, kind, bytes };
                    self.observer.event(event);
                }
            }
        }
        self.held_bytes = self.open.values().map(|c| c.buffer.held_bytes()).sum();
        for read in &round {
            if let Message::Row(row) = &read.entry.message {
                self.observer.event(Event::RowsRead {
                    collection_id: row.collection_id,
                    collection: &row.collection,
                    kind: KINDS[usize::from(row.kind == RowKind::Delete)],
                    rows: row.rows,
                });
                if read.entry.order > row.timestamp {
                    self.observer.event(Event::Counted(Noted::Late, 1));
                }
            }
        }
        round
    }

    /// Moves all positions: everything up to `upto` is done except `pending`, the first message of
    /// each channel that was taken and is not done yet.
    pub(crate) fn advance(&mut self, upto: Timestamp, pending: &BTreeMap<Arc<str>, Entry>) {
        self.done = self.done.max(upto);
        for (name, channel) in &mut self.open {
            if upto > channel.position.tick
                && let Some(position) = channel.buffer.position(upto, pending.get(name))
            {
                channel.position = position;
            }
        }
    }

    /// Reports that the target has everything up to `upto`, ticked.
    pub(crate) fn acknowledge(&self, upto: Timestamp) {
        for (name, channel) in &self.open {
            let tick = upto.max(channel.position.tick);
            self.observer.event(Event::Acknowledged { channel: name, tick });
        }
    }

    /// Whether the task is catching up: then rounds are made large rather than soon.
    pub(crate) fn set_behind(&mut self, behind: bool) {
        self.behind = behind;
    }

    /// Up to where all channels are done, but for what a channel that went back has for a
    /// collection that joined.
    pub(crate) fn done(&self) -> Timestamp {
        self.done
    }

    /// The same, if no channel's position tells of it; otherwise zero.
    pub(crate) fn done_beyond_all(&self) -> Timestamp {
        let is_told = self.open.values().any(|channel| channel.position.tick >= self.done);
        if is_told { Timestamp::ZERO } else { self.done }
    }

    /// Takes up where an earlier run was.
    pub(crate) fn resume_behind(&mut self, done: Timestamp) {
        self.done = self.done.max(done);
    }

    /// How far the task is.
    pub(crate) fn progress(&self) -> Progress {
        Progress { done: self.done, idle: self.open.is_empty() }
    }

    /// The names of the open channels.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.open.keys().cloned().collect()
    }
}

fn furthest_behind(open: &mut BTreeMap<Arc<str>, Channel>) -> Option<(Arc<str>, &mut Channel)> {
    let behind = open.iter_mut().min_by_key(|(_, c)| c.buffer.last_tick());
    behind.map(|(name, channel)| (name.clone(), channel))
}

const KINDS: [&str; 3] = ["insert", "delete", "timetick"];

impl Channel {
    /// Takes a record in. Returns how many bytes more are kept.
    fn accept(
        &mut self,
        name: &str,
        record: Record,
        roster: &Roster,
        source: &dyn Source,
    ) -> Result<usize> {
        let Record { id, payload } = record;
        let bytes = payload.len();
        self.read = Some(id.clone());
        let message = decode(payload).map_err(|e| {
            Error::permanent(format!(
                "a message of {name} at position {id:?} can't be read; nothing after it was \
                 replicated, so nothing is lost: report it with this position"
            ))
            .because(e)
        })?;
        let kind = match &message {
            Message::Row(row) if row.kind == RowKind::Insert => 0,
            Message::Row(_) => 1,
            _ => 2,
        };
        self.read_bytes[kind] += bytes as u64;
        if let Message::Tick(at) = message {
            self.buffer.tick(id, at);
            return Ok(0);
        }
        let Some(order) = self.buffer.order(message.timestamp()) else {
            return Ok(0);
        };
        if !roster.admits(&message, name, &id, order, source) {
            return Ok(0);
        }
        let held = message.size();
        self.buffer.hold(id, order, held, message);
        Ok(held)
    }
}
