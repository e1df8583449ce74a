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
use crate::records::checkpoint::{Flushed, ReplicatedCollection, Stage, Start};
use crate::rows::read::Channels;
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

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
            flushes.give_up();
            self.need_no_flush(&mut change);
            return Ok((None, change));
        };
        let unsure = self.go_back(&nodes, channels, &mut change).await?;
        if unsure.is_some() {
            self.written.extend(flushes.give_up().into_iter().flat_map(|covers| covers.written));
        }
        match flushes.ended() {
            Some((covers, Ok(()))) => self.mark_flushed(covers, &mut change),
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
        Ok((unsure, change))
    }

    /// The target does not forget, or not any more.
    fn need_no_flush(&mut self, change: &mut ChannelChange) {
        for collection in self.roster.all_mut().filter(|c| c.flushed.is_some()) {
            collection.flushed = None;
            change.change(collection.id);
        }
        self.written.extend(self.live());
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

    fn flush(&mut self, nodes: BTreeSet<i64>, flushes: &mut Flushes, channels: &Channels) {
        let positions = channels.positions();
        let source = &*self.context.ports.source;
        let live = || self.roster.all().filter(|collection| collection.is_live());
        let reached = live().map(|c| (c.id, (c.there, c.reached(&positions, source)))).collect();
        let written = live().filter(|c| self.written.contains(&c.id));
        let names: Vec<_> = written.map(|c| c.on_target(self.router.names())).collect();
        let covers = Covers { reached, written: std::mem::take(&mut self.written) };
        tracing::debug!(task = %self.context.task.id, collections = names.len(), "flushing");
        flushes.begin(names, nodes, covers);
    }

    fn mark_flushed(&mut self, covers: Covers, change: &mut ChannelChange) {
        for (id, (there, from)) in covers.reached {
            let Some(collection) = self.roster.get_mut(id) else { continue };
            let is_it = collection.is_live() && collection.there == there;
            if let Some(flushed) = collection.flushed.as_mut().filter(|_| is_it) {
                flushed.from = from;
                change.change(id);
            }
        }
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
        let can_be_read = self.check_places(&back).await?;
        let (done, positions) = (channels.done(), channels.positions());
        let source = self.context.ports.source.clone();
        let mut unsure = None;
        for id in back {
            change.change(id);
            let Some(mut collection) = self.roster.remove(id) else { continue };
            let reached = collection.reached(&positions, &*source);
            let Some(flushed) = &mut collection.flushed else { continue };
            flushed.nodes.clone_from(nodes);
            if !can_be_read {
                flushed.from = reached;
            }
            if collection.stage != Stage::Live || !can_be_read {
                self.roster.add(collection);
                continue;
            }
            collection.start.clone_from(&flushed.from);
            unsure = Some(done);
            self.written.insert(id);
            match &mut collection.out_of_step {
                None => change.join(collection, &mut self.roster, channels, &*source),
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

    /// Whether the queue has all that these collections need to go back.
    async fn check_places(&mut self, back: &[CollectionId]) -> Result<bool> {
        let source = self.context.ports.source.clone();
        let mut first: BTreeMap<String, Start> = BTreeMap::new();
        for flushed in back.iter().filter_map(|id| self.roster.get(*id)?.flushed.as_ref()) {
            for (channel, start) in &flushed.from {
                let lowest = first.entry(channel.clone()).or_insert_with(|| start.clone());
                if source.compare(&start.id, &lowest.id).is_lt() {
                    *lowest = start.clone();
                }
            }
        }
        match self.apart().check_starts(&first).await {
            Ok(()) => Ok(true),
            Err(Error { kind: Kind::OneCollection, what, .. }) => {
                tracing::error!(
                    task = %self.context.task.id, reason = what,
                    "the target was restarted, and may have forgotten what it had not flushed, \
                     which can't be read again: compare both sides"
                );
                self.context.count(Noted::Forgotten);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
