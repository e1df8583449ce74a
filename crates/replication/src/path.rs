//! The way of a row, step by step. Each numbered step is a call into the file of that name, and
//! what comes back is a returned value. `run` begins or resumes a task and then calls [`Path::go`].
//! Never holds a client: it sees the outside through [`crate::ports`].

use crate::collections::channel_change::ChannelChange;
use crate::collections::replicated::Collections;
use crate::context::Context;
use crate::destination::delivery::Delivery;
use crate::error::{Error, Result};
use crate::message::Entry;
use crate::ports::{CatalogEvent, Transaction, next_event};
use crate::progress::Progress;
use crate::records::checkpoint::{Checkpoint, PendingDrop};
use crate::records::position::Position;
use crate::replay::Replay;
use crate::rows::merge::{Step, Then, merge};
use crate::rows::read::Channels;
use crate::stop::Stop;
use crate::sync::join;
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};
use tokio::time::{Duration, Instant};

/// How often positions are saved while there are no rows.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// A task on its way.
pub(crate) struct Path {
    pub(crate) context: Context,
    pub(crate) collections: Collections,
    pub(crate) channels: Channels,
    pub(crate) delivery: Box<dyn Delivery>,
    pub(crate) replay: Replay,
    pub(crate) stop: Stop,
    pub(crate) saved: Instant,
}

impl Path {
    /// Goes round by round until the task is stopped.
    pub(crate) async fn go(
        mut self,
        mut changes: broadcast::Receiver<CatalogEvent>,
        progress: watch::Sender<Progress>,
    ) -> Result<()> {
        let stop = self.stop.clone();
        loop {
            let (done, idle) = (self.channels.done(), self.channels.is_empty());
            progress.send_replace(Progress { done, idle });
            let upto = tokio::select! {
                biased;
                () = stop.token.cancelled() => {
                    return stop.bounded(self.save(Transaction::default())).await?
                        .and(Err(Error::stopped()));
                }
                event = next_event(&mut changes) => {
                    stop.until(self.look(event)).await??;
                    continue;
                }
                // 1 read: until a tick covers all channels
                upto = self.channels.round(self.collections.roster(), self.replay.end()) => upto?,
            };
            let joined =
                stop.until(self.collections.join_announced(upto, &self.channels)).await??;
            if !joined.is_empty() {
                stop.until(self.carry(joined)).await??;
                continue; // the round is read again, with what has joined
            }
            // 2 collections: what the rows need exists
            let prepared = self.collections.prepare(upto, &mut self.channels);
            let round = stop.until(prepared).await??;
            // 3 merge: one order over all channels, cut at each DDL
            for (step, ahead) in merge(round, upto) {
                self.step(step, &ahead).await?;
            }
            self.end_round(upto).await?; // 8 delivery: ticks and lag
        }
    }

    /// One stretch of a round: its rows, then its DDL. `ahead` is what comes after it.
    async fn step(&mut self, step: Step, ahead: &BTreeMap<Arc<str>, Entry>) -> Result<()> {
        let stop = self.stop.clone();
        let Step { messages, upto, then } = step;
        let pending = then.as_ref().and_then(|then| self.collections.pending(then));
        let begins = then.as_ref().and_then(Then::begins);
        let batch = self.collections.route(self.replay.take_carried(), messages)?; // 4 route
        let Some(batch) = self.replay.carry(batch, upto) else {
            return stop.bounded(self.carry_out(None, begins)).await?;
        };
        self.channels.advance(upto, ahead);
        if !batch.is_empty() || pending.is_some() || self.replay.is_due() {
            let stored = self.checkpoint(pending.clone()); // 5 checkpoint: where to resume
            let delivered = self.delivery.deliver(&batch, upto, stored); // 6 deliver
            join(delivered, self.channels.read_ahead(self.collections.roster())).await?;
            self.replay = Replay::None;
        }
        // 7 create and drop: the DDL that ends the step
        stop.bounded(self.carry_out(pending, begins)).await?
    }

    pub(crate) async fn look(&mut self, event: CatalogEvent) -> Result<()> {
        let change = self.collections.look(event, &self.channels).await?;
        self.carry(change).await?;
        self.collections.follow_names(self.channels.done()).await
    }

    pub(crate) async fn carry_out(
        &mut self,
        pending: Option<PendingDrop>,
        announced: Option<CollectionId>,
    ) -> Result<()> {
        if let Some(pending) = pending {
            let change = self.collections.drop(&pending).await?;
            self.carry(change).await?;
            self.collections.dropped(&pending).await?;
        }
        if let Some(id) = announced {
            let change = self.collections.announced(id, self.channels.done()).await?;
            self.carry(change).await?;
        }
        Ok(())
    }

    /// Opens and closes channels for a change of the collections, stores that change together with
    /// the positions, and lets the target follow the names that it has made free.
    pub(crate) async fn carry(&mut self, change: ChannelChange) -> Result<()> {
        if change.is_empty() {
            return Ok(());
        }
        for (channel, id) in &change.open {
            let position = Position { id: id.clone(), tick: Timestamp::ZERO };
            self.channels.open(channel, position).await?;
        }
        for channel in &change.close {
            self.channels.close(channel);
        }
        self.save(self.collections.records_of(&change)).await?;
        self.collections.follow_names(self.channels.done()).await
    }

    async fn end_round(&mut self, upto: Timestamp) -> Result<()> {
        let channels = self.channels.names();
        let ended = self.delivery.end_round(upto, &channels);
        let keeps_up = self.stop.until(ended).await??;
        self.channels.set_behind(!keeps_up);
        self.channels.acknowledge(upto);
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save(Transaction::default()).await?;
        }
        Ok(())
    }

    fn checkpoint(&self, pending: Option<PendingDrop>) -> Transaction {
        Checkpoint::new(self.channels.positions(), pending).record(&self.context.task.id)
    }

    /// Stores the positions, and records with them.
    async fn save(&mut self, records: Transaction) -> Result<()> {
        self.saved = Instant::now();
        let mut stored = self.checkpoint(None);
        stored.puts.extend(records.puts);
        stored.deletes.extend(records.deletes);
        self.context.records().commit(stored).await
    }
}
