//! Where collections are read again if the target has forgotten what it had not flushed. Some
//! versions of Milvus do that when a data node restarts (milvus-io/milvus#34255). So the record of
//! each collection says from where it is surely stored, and which data nodes the target had then.
//! If it has others, the collection goes back to that place, and what it has sent since is sent
//! again behind a fence. Never asks which nodes there are.

use crate::collections::channel_change::ChannelChange;
use crate::collections::flushes::{Covers, Flushes};
use crate::collections::replicated::Collections;
use crate::error::{Error, Kind, Result};
use crate::observer::Noted;
use crate::records::checkpoint::{Flushed, ReplicatedCollection, Stage};
use crate::rows::read::Channels;
use milvus_wire::ids::CollectionId;
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

impl Collections {
    /// Sees to it that the target stores what it has got, and lets collections go back whose rows
    /// it may have forgotten. Returns up to where their rows may be there all the same.
    pub(crate) async fn keep_flushed(
        &mut self,
        flushes: &mut Flushes,
        channels: &Channels,
    ) -> Result<(Option<Timestamp>, ChannelChange)> {
        let mut change = self.begin_to_keep(flushes, channels);
        let Some(nodes) = flushes.nodes() else {
            // What is stored of earlier flushes stays: an upgrade may be taken back.
            if flushes.are_off() {
                self.need_no_flush(&mut change);
            }
            flushes.give_up();
            self.written = self.live().into_iter().collect();
            return Ok((None, change));
        };
        if nodes.is_empty() {
            return Ok((None, change));
        }
        let unsure = self.go_back(&nodes, channels, &mut change).await?;
        if unsure.is_some() {
            // The channels are not where these collections are now: nothing is flushed at once.
            self.written.extend(flushes.give_up().into_iter().flat_map(|covers| covers.written));
            return Ok((unsure, change));
        }
        match flushes.ended() {
            Some((covers, Ok(flushed))) => self.mark_flushed(covers, &flushed, &mut change),
            Some((covers, Err(error))) => {
                tracing::warn!(task = %self.context.task.id, error = ?error, "target not flushed");
                self.context.count(Noted::NotFlushed);
                self.written.extend(covers.written);
            }
            None => {}
        }
        if flushes.is_due() {
            self.flush(nodes, flushes, channels);
        }
        Ok((None, change))
    }

    /// Begins with collections of which it is not known what is stored: those that have just
    /// joined, which are where they start, and those of an earlier version, which are kept from
    /// here on.
    pub(crate) fn begin_to_keep(
        &mut self,
        flushes: &mut Flushes,
        channels: &Channels,
    ) -> ChannelChange {
        let mut change = ChannelChange::default();
        let Some(nodes) = flushes.nodes() else { return change };
        let positions = channels.positions();
        for collection in self.roster.all_mut().filter(|c| c.flushed.is_none()) {
            let from = collection.reached(&positions, &*self.context.ports.source);
            collection.flushed = Some(Flushed { from, nodes: nodes.clone() });
            change.change(collection.id);
        }
        change
    }

    fn need_no_flush(&mut self, change: &mut ChannelChange) {
        for collection in self.roster.all_mut().filter(|c| c.flushed.is_some()) {
            collection.flushed = None;
            change.change(collection.id);
        }
    }

    fn flush(&mut self, nodes: BTreeSet<i64>, flushes: &mut Flushes, channels: &Channels) {
        let positions = channels.positions();
        let source = &*self.context.ports.source;
        let live = || self.roster.all().filter(|collection| collection.is_live());
        let reached = live().map(|c| (c.id, (c.there, c.reached(&positions, source)))).collect();
        let written = live().filter(|c| self.written.contains(&c.id));
        let names: Vec<_> = written.map(|c| (c.id, c.on_target(self.router.names()))).collect();
        // Those that are out of step now are flushed when they are not.
        let written: BTreeSet<_> = names.iter().map(|(id, _)| *id).collect();
        self.written.retain(|id| !written.contains(id));
        let covers = Covers { reached, written };
        tracing::debug!(task = %self.context.task.id, collections = names.len(), "flushing");
        flushes.begin(names, nodes, covers);
    }

    fn mark_flushed(
        &mut self,
        covers: Covers,
        done: &BTreeSet<CollectionId>,
        change: &mut ChannelChange,
    ) {
        let failed: BTreeSet<_> = covers.written.difference(done).copied().collect();
        if !failed.is_empty() {
            self.context.count(Noted::NotFlushed);
        }
        for (id, (there, from)) in covers.reached {
            let Some(collection) = self.roster.get_mut(id) else { continue };
            let is_it = collection.is_live() && collection.there == there && !failed.contains(&id);
            if let Some(flushed) = collection.flushed.as_mut().filter(|_| is_it) {
                flushed.from = from;
                change.change(id);
            }
        }
        self.written.extend(failed);
    }

    async fn go_back(
        &mut self,
        nodes: &BTreeSet<i64>,
        channels: &Channels,
        change: &mut ChannelChange,
    ) -> Result<Option<Timestamp>> {
        let has_others =
            |c: &&ReplicatedCollection| c.flushed.as_ref().is_some_and(|f| f.nodes != *nodes);
        let back: Vec<_> = self.roster.all().filter(has_others).map(|c| c.id).collect();
        if back.is_empty() {
            return Ok(None);
        }
        let (done, positions) = (channels.done(), channels.positions());
        let source = self.context.ports.source.clone();
        let (mut unsure, mut seen) = (None, HashMap::new());
        for id in back {
            let can_be_read = self.can_be_read(id, &mut seen).await?;
            let Some(mut collection) = self.roster.get(id).cloned() else { continue };
            let reached = collection.reached(&positions, &*source);
            let has_rows = collection.stage == Stage::Live;
            let from = collection.flushed.take().map(|flushed| flushed.from);
            let from = from.filter(|_| can_be_read || !has_rows).unwrap_or(reached);
            collection.flushed = Some(Flushed { from: from.clone(), nodes: nodes.clone() });
            change.change(id);
            if !has_rows || !can_be_read {
                self.roster.add(collection);
                continue;
            }
            collection.start = from;
            unsure = Some(done);
            self.written.insert(id);
            match &mut collection.out_of_step {
                None => {
                    self.roster.remove(id);
                    change.join(collection, &mut self.roster, channels, &*source);
                }
                // It goes back when it is in step again.
                Some(out) => {
                    out.unsure = out.unsure.max(done);
                    self.roster.add(collection);
                }
            }
        }
        if unsure.is_some() {
            tracing::warn!(
                task = %self.context.task.id, upto = %done,
                "the target was restarted, and may have forgotten what it had not flushed: that is \
                 read again, and sent again behind a fence (milvus-io/milvus#34255)"
            );
            self.context.count(Noted::ReadAgain);
        }
        Ok(unsure)
    }

    /// Whether the queue has all that a collection needs to go back. `seen`: what is known of
    /// places.
    async fn can_be_read(
        &mut self,
        id: CollectionId,
        seen: &mut HashMap<(String, MessageId), bool>,
    ) -> Result<bool> {
        let Some(collection) = self.roster.get(id).cloned() else { return Ok(true) };
        let from = collection.flushed.map(|flushed| flushed.from).unwrap_or_default();
        let is_live = collection.stage == Stage::Live;
        for (channel, start) in from.into_iter().filter(|_| is_live) {
            let place = (channel.clone(), start.id.clone());
            if let Some(is_there) = seen.get(&place) {
                if *is_there { continue } else { return Ok(false) }
            }
            let checked = self.apart().check_starts(&BTreeMap::from([(channel, start)])).await;
            let lost = match checked {
                Ok(()) => None,
                Err(Error { kind: Kind::OneCollection, what, .. }) => Some(what),
                Err(error) => return Err(error),
            };
            seen.insert(place, lost.is_none());
            if let Some(reason) = lost {
                tracing::error!(
                    task = %self.context.task.id, collection = collection.name, reason,
                    "the target was restarted, and may have forgotten what it had not flushed, \
                     which can't be read again: compare both sides"
                );
                self.context.count(Noted::Forgotten);
                return Ok(false);
            }
        }
        Ok(true)
    }
}
