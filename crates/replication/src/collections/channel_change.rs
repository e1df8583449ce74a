//! What a change of a task's collections asks of its channels: which to open and where, which to
//! close, and whose records are stored with the new positions. Never opens or closes one.

use crate::ports::{Source, Transaction};
use crate::records::checkpoint::ReplicatedCollection;
use crate::records::keys::{collection_key, serving_key};
use crate::records::position::Position;
use crate::rows::read::Channels;
use crate::rows::roster::Roster;
use milvus_wire::ids::CollectionId;
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What is to be done with channels and records.
#[derive(Debug, Default)]
pub(crate) struct ChannelChange {
    /// To be opened here, or to be opened again.
    open: BTreeMap<String, MessageId>,
    /// To be closed.
    close: BTreeSet<String>,
    changed: BTreeSet<CollectionId>,
    gone: BTreeSet<CollectionId>,
}

/// Where a collection stops.
#[derive(Clone, Copy)]
pub(crate) struct Stopped<'a> {
    /// How far each channel is.
    pub(crate) channels: &'a BTreeMap<String, Position>,
    /// How far the task is.
    pub(crate) done: Timestamp,
}

impl ChannelChange {
    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }

    /// The channels to be opened, and where.
    pub(crate) fn opened(&self) -> impl Iterator<Item = (&str, Position)> {
        let position = |id: &MessageId| Position::new(id.clone(), Timestamp::ZERO);
        self.open.iter().map(move |(channel, id)| (&**channel, position(id)))
    }

    /// The channels to be closed.
    pub(crate) fn closed(&self) -> impl Iterator<Item = &str> {
        self.close.iter().map(|channel| &**channel)
    }

    /// The records that are stored together with the positions.
    pub(super) fn records(&self, roster: &Roster, task: &str) -> Transaction {
        let mut stored = Transaction::default();
        for collection in self.changed.iter().filter_map(|id| roster.get(*id)) {
            collection.put(task, &mut stored);
        }
        for id in &self.gone {
            stored.deletes.extend([collection_key(task, *id), serving_key(task, *id)]);
        }
        stored
    }

    /// What the beginning of a task asks for: each channel is read from the first message that any
    /// of its collections needs.
    pub(super) fn begin(roster: &Roster, source: &dyn Source) -> Self {
        let mut begin = Self::default();
        for collection in roster.all() {
            begin.changed.insert(collection.id);
            for (channel, start) in &collection.start {
                let first = begin.open.entry(channel.clone()).or_insert_with(|| start.id.clone());
                if source.compare(&start.id, first).is_lt() {
                    *first = start.id.clone();
                }
            }
        }
        begin
    }

    /// The record of a collection has changed.
    pub(super) fn change(&mut self, id: CollectionId) {
        self.changed.insert(id);
    }

    /// A collection joins. A channel that was read past its first message already goes back to it,
    /// and the other collections on that channel skip what they have done.
    pub(super) fn join(
        &mut self,
        joined: ReplicatedCollection,
        roster: &mut Roster,
        channels: &Channels,
        source: &dyn Source,
    ) {
        for (channel, start) in &joined.start {
            self.close.remove(channel);
            let asked = self.open.get(channel);
            let (done, has_passed) = match asked {
                Some(id) => {
                    let position = Position::new(id.clone(), Timestamp::ZERO);
                    (Some(position), source.compare(&start.id, id).is_lt())
                }
                None => {
                    let position = channels.position(channel).cloned();
                    (position, channels.has_passed(channel, &start.id))
                }
            };
            let first = match done {
                None => start.id.clone(),
                Some(_) if !has_passed => continue,
                Some(done) => {
                    for other in roster.on_mut(channel) {
                        if let Some(start) = other.start.get_mut(channel) {
                            start.after = start.after.max(done.tick);
                            self.changed.insert(other.id);
                        }
                    }
                    let is_before = source.compare(&start.id, &done.id).is_lt();
                    if is_before { start.id.clone() } else { done.id }
                }
            };
            self.open.insert(channel.clone(), first);
        }
        self.changed.insert(joined.id);
        roster.add(joined);
    }

    /// A collection has left the roster. Its channels close unless another collection needs them.
    pub(super) fn leave(&mut self, gone: &ReplicatedCollection, roster: &Roster) {
        self.gone.insert(gone.id);
        self.close_unneeded(gone, roster);
    }

    /// A collection of the roster is out of step from now on. The same becomes of its channels.
    pub(super) fn stop(&mut self, stopped: &ReplicatedCollection, roster: &Roster) {
        self.changed.insert(stopped.id);
        self.close_unneeded(stopped, roster);
    }

    fn close_unneeded(&mut self, of: &ReplicatedCollection, roster: &Roster) {
        let unneeded = of.start.keys().filter(|channel| !roster.needs(channel));
        self.close.extend(unneeded.cloned());
    }
}
