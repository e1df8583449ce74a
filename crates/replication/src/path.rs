//! The way of a row: read, window, merge, route, lane, checkpoint. This file is the map; each step
//! is a call into the file of that name, and nothing calls back.
//! Never holds a client: it sees the outside through [`crate::ports`].

use crate::collections::cover::Cover;
use crate::destination::delivery::Delivery;
use crate::error::{Error, Result};
use crate::message::Entry;
use crate::message::Routed;
use crate::ports::next_event;
use crate::ports::{CatalogEvent, Transaction};
use crate::progress::Progress;
use crate::rows::merge::{Step, Then, merge, with_pending};
use crate::stop::Stop;
use crate::unsupported::take_out;
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
    cover: Cover,
    delivery: Box<dyn Delivery>,
    stop: Stop,
    saved: Instant,
    /// Where the round has to end that sends an open window again.
    exactly: Option<Timestamp>,
    /// What belongs to that window and was cut off by a DDL inside it.
    carried: Vec<Routed>,
}

impl Path {
    /// A task that has begun. With `exactly` its first round ends there.
    pub(crate) fn new(
        cover: Cover,
        delivery: Box<dyn Delivery>,
        stop: Stop,
        exactly: Option<Timestamp>,
    ) -> Self {
        Self { cover, delivery, stop, saved: Instant::now(), exactly, carried: Vec::new() }
    }

    /// Round by round, until the task is told to stop.
    pub(crate) async fn go(
        mut self,
        mut changes: broadcast::Receiver<CatalogEvent>,
        progress: watch::Sender<Progress>,
    ) -> Result<()> {
        loop {
            let (cover, stop) = (&mut self.cover, self.stop.clone());
            let (done, idle) = (cover.channels.done(), cover.channels.is_empty());
            progress.send_replace(Progress { done, idle });
            let upto = tokio::select! {
                biased;
                () = stop.token.cancelled() => {
                    return stop.bounded(self.save()).await?.and(Err(Error::stopped()));
                }
                event = next_event(&mut changes) => {
                    stop.until(cover.look(event)).await??;
                    continue;
                }
                // 1 read, 2 window
                upto = cover.channels.round(&cover.roster, self.exactly) => upto?,
            };
            if stop.until(cover.join_announced(upto)).await?? {
                continue;
            }
            let displaced = stop.until(cover.meet_partitions(upto)).await??;
            let mut round = cover.channels.take(upto);
            for missed in take_out(&mut round) {
                stop.until(missed.note(&cover.task, &cover.ports)).await??;
            }
            round.extend(cover.drop_displaced(&displaced, &round));
            for (step, ahead) in with_pending(merge(round, upto)) {
                self.step(step, &ahead).await?; // 3 merge
            }
            self.exactly = None;
            self.tick(upto).await?;
        }
    }

    /// One stretch of a round: its rows, then its DDL. `ahead` is what comes after it.
    async fn step(&mut self, step: Step, ahead: &BTreeMap<Arc<str>, Entry>) -> Result<()> {
        let Step { messages, upto, then } = step;
        let stop = self.stop.clone();
        let pending = then.as_ref().and_then(|then| self.cover.pending(then));
        let begins = then.as_ref().and_then(Then::begins);
        let routed = self.cover.router.route(messages, &self.cover.roster)?; // 4 route
        if self.is_cut_replay(upto) {
            self.carried.extend(routed);
            return self.begin(begins).await;
        }
        let mut window = self.cover.router.again(std::mem::take(&mut self.carried));
        window.extend(routed);
        self.cover.channels.advance(upto, ahead);
        if !window.is_empty() || pending.is_some() || self.delivery.is_replaying() {
            let mut stored = Transaction::default(); // 6 checkpoint
            self.cover.checkpoint(pending.clone()).put(&self.cover.task.id, &mut stored);
            let delivered = self.delivery.deliver(&window, upto, stored); // 5 lane
            self.cover.channels.read_during(&self.cover.roster, delivered).await?;
        }
        if let Some(pending) = pending {
            stop.bounded(self.cover.drop(&pending)).await??;
        }
        self.begin(begins).await
    }

    /// Creates the collection that the log has announced.
    async fn begin(&mut self, announced: Option<CollectionId>) -> Result<()> {
        match announced {
            Some(id) => self.stop.bounded(self.cover.announced(id)).await?,
            None => Ok(()),
        }
    }

    /// Whether a step ends before the window that is being sent again: its lanes must not be closed
    /// before all of that window is in them.
    fn is_cut_replay(&self, upto: Timestamp) -> bool {
        self.delivery.is_replaying() && self.exactly.is_some_and(|exactly| upto < exactly)
    }

    /// The end of a round: what no window has ticked is ticked, and the lag is known.
    async fn tick(&mut self, upto: Timestamp) -> Result<()> {
        let channels = self.cover.channels.names();
        let ended = self.delivery.end_round(upto, &channels);
        let keeps_up = self.stop.until(ended).await??;
        self.cover.channels.set_behind(!keeps_up);
        self.cover.channels.acknowledge(upto);
        if self.saved.elapsed() >= SAVE_EVERY {
            self.save().await?;
        }
        Ok(())
    }

    /// Saves the positions when there was nothing to deliver.
    async fn save(&mut self) -> Result<()> {
        self.saved = Instant::now();
        self.cover.save(Transaction::default()).await
    }
}
