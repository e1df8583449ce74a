//! The way of a row, step by step. Each numbered step is a call into the file of that name, and
//! what comes back is a returned value. `run` begins or resumes a task and then calls [`Path::go`].
//! Never holds a client: it sees the outside through [`crate::ports`].

use crate::collections::channel_change::{ChannelChange, Stopped};
use crate::collections::flushes::Flushes;
use crate::collections::replicated::{Collections, Ending};
use crate::context::Context;
use crate::destination::delivery::Delivery;
use crate::error::{Error, Result};
use crate::observer::{Event, Noted};
use crate::ports::{CatalogEvent, Transaction, next_event};
use crate::progress::Progress;
use crate::records::checkpoint::{Checkpoint, PendingDrop};
use crate::replay::Replay;
use crate::rows::merge::{Ahead, Step, merge};
use crate::rows::read::Channels;
use crate::stop::Stop;
use crate::sync::join;
use milvus_wire::timestamp::Timestamp;
use tokio::sync::{broadcast, watch};
use tokio::time::{Duration, Instant};

/// How often it is looked again what keeps collections out of step.
const TRY_EVERY: Duration = Duration::from_secs(10);

/// After how long without a tick of the source that is told, and how often it is said again. A
/// source ticks several times a second.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// What is told then.
const SILENT: &str = "nothing has come from the source for more than 10 s: its queue does not \
                      answer, or the source itself stands still";

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
    /// Whether the positions have moved since they were saved.
    pub(crate) has_moved: bool,
    /// When the source was heard last, or its silence was told.
    pub(crate) heard: Instant,
    pub(crate) is_silent: bool,
    /// When collections that are out of step were looked at last.
    pub(crate) tried: Instant,
    /// For a target that forgets what it has not flushed.
    pub(crate) flushes: Flushes,
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
            progress.send_replace(self.channels.progress());
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
                () = self.flushes.wake(self.replay.is_due()) => {
                    stop.until(self.keep_flushed()).await??;
                    continue;
                }
                // A source may stand still for longer than its queue keeps what is done.
                () = tokio::time::sleep_until(self.saved + SAVE_EVERY), if self.has_moved => {
                    stop.until(self.save(Transaction::default())).await??;
                    continue;
                }
                () = tokio::time::sleep_until(self.tried + TRY_EVERY), if self.may_try() => {
                    stop.until(self.join_again()).await??;
                    continue;
                }
                // 1 read: until a tick covers all channels
                upto = self.channels.round(self.collections.roster(), self.replay.end()) => upto?,
                () = tokio::time::sleep_until(self.heard + SILENT_AFTER), if self.reads() => {
                    self.tell_silence();
                    continue;
                }
            };
            self.hear();
            let is_new = !self.replay.is_due();
            if is_new && stop.until(self.join_announced(upto)).await?? {
                continue; // the round is read again, with what has joined
            }
            // 2 collections: what the rows need exists
            let round = self.collections.prepare(upto, &mut self.channels);
            let round = stop.until(round).await??;
            // 3 merge: one order over all channels, cut at each DDL
            for (step, ahead) in merge(round, upto) {
                self.step(step, &ahead).await?;
            }
            self.end_round(upto).await?; // 8 delivery: ticks and lag
            if !is_new {
                // What would have joined meanwhile, and what nobody needs any more.
                self.close_unneeded();
                self.flushes.look();
                stop.until(self.look(CatalogEvent::Resync)).await??;
            }
        }
    }

    fn reads(&self) -> bool {
        !self.channels.names().is_empty()
    }

    fn tell_silence(&mut self) {
        if !self.is_silent {
            tracing::warn!(task = %self.context.task.id, "{SILENT}");
            self.context.count(Noted::Overdue);
        }
        // What is done beside the rows may have ended another wait, and with it this reason.
        self.context.ports.observer.event(Event::Waiting(Some(SILENT)));
        (self.is_silent, self.heard) = (true, Instant::now());
    }

    fn hear(&mut self) {
        self.heard = Instant::now();
        if std::mem::take(&mut self.is_silent) {
            self.context.ports.observer.event(Event::Waiting(None));
        }
    }

    /// Nothing joins while a window is delivered again: that one has no rows of it.
    fn may_try(&self) -> bool {
        !self.replay.is_due() && self.collections.are_any_out_of_step()
    }

    /// Lets what was out of step join again.
    async fn join_again(&mut self) -> Result<()> {
        let (mut change, done) = (ChannelChange::default(), self.channels.done());
        let unsure = self.collections.join_again(&self.channels, done, &mut change).await;
        // However long that took.
        self.tried = Instant::now();
        self.carry_fenced(unsure?, change).await
    }

    /// Has the target store what it has got, or sends again what it may have forgotten.
    async fn keep_flushed(&mut self) -> Result<()> {
        if self.replay.is_due() {
            let change = self.collections.begin_to_keep(&mut self.flushes, &self.channels);
            return self.carry(change).await;
        }
        let kept = self.collections.keep_flushed(&mut self.flushes, &self.channels).await?;
        let (unsure, change) = kept;
        self.carry_fenced(unsure, change).await
    }

    /// Carries out a change of channels that go back. Rows `unsure` and before may be on the target
    /// already: the fence is stored before any of them is sent again.
    async fn carry_fenced(
        &mut self,
        unsure: Option<Timestamp>,
        change: ChannelChange,
    ) -> Result<()> {
        if let Some(unsure) = unsure {
            self.collections.raise_unsure(unsure);
            self.delivery.raise_fence(unsure);
            let fence = self.context.records().fence(unsure).await?;
            let fence = Transaction { puts: vec![fence], ..Transaction::default() };
            self.context.records().commit(fence).await?;
        }
        self.carry(change).await
    }

    async fn join_announced(&mut self, upto: Timestamp) -> Result<bool> {
        let joined = self.collections.join_announced(upto, &self.channels).await?;
        let is_any = !joined.is_empty();
        self.carry(joined).await?;
        Ok(is_any)
    }

    /// One stretch of a round: its rows, then its DDL. `ahead` is what comes after it.
    async fn step(&mut self, Step { messages, upto, then }: Step, ahead: &Ahead) -> Result<()> {
        let stop = self.stop.clone();
        let ending = self.collections.ending(then);
        let batch = self.collections.route(self.replay.take_carried(), messages)?; // 4 route
        let Some(batch) = self.replay.carry(batch, upto) else {
            return stop.bounded(self.carry_out(ending.filter(Ending::is_creation))).await?;
        };
        self.channels.advance(upto, ahead);
        let pending = ending.as_ref().and_then(Ending::pending);
        if !batch.is_empty() || pending.is_some() || self.replay.is_due() {
            let stored = self.checkpoint(pending); // 5 checkpoint: where to resume
            let done = self.channels.done();
            let delivered = self.delivery.deliver(&batch, upto, done, stored); // 6 deliver
            join(delivered, self.channels.read_ahead(self.collections.roster())).await?;
            self.replay = Replay::None;
        }
        stop.bounded(self.carry_out(ending)).await? // 7 create and drop
    }

    /// Looks at what the catalog announced. Nothing joins while a window is delivered again: that
    /// one has no rows of it.
    pub(crate) async fn look(&mut self, event: CatalogEvent) -> Result<()> {
        let joining = Some(&self.channels).filter(|_| !self.replay.is_due());
        let change = self.collections.look(event, joining).await?;
        self.carry(change).await?;
        self.follow_names().await
    }

    async fn follow_names(&mut self) -> Result<()> {
        let (channels, done) = (self.channels.positions(), self.channels.done());
        let stopped = Stopped { channels: &channels, done };
        let change = self.collections.follow_names(&stopped).await?;
        if change.is_empty() {
            return Ok(());
        }
        self.save(self.collections.records_of(&change)).await
    }

    /// Carries out the DDL that ends a step, when the rows before it are acknowledged.
    pub(crate) async fn carry_out(&mut self, ending: Option<Ending>) -> Result<()> {
        let Some(ending) = ending else { return Ok(()) };
        let change = self.collections.carry_out(&ending, self.channels.done()).await?;
        self.carry(change).await?;
        self.collections.carried_out(&ending).await
    }

    pub(crate) async fn carry(&mut self, change: ChannelChange) -> Result<()> {
        if change.is_empty() { Ok(()) } else { self.store(change).await }
    }

    /// Opens and closes channels for a change of the collections, stores that change together with
    /// the positions, and lets the target follow the names that it has made free.
    pub(crate) async fn store(&mut self, change: ChannelChange) -> Result<()> {
        for (channel, position) in change.opened() {
            self.channels.open(channel, position).await?;
        }
        // A window that is delivered again ends where its channels say.
        if !self.replay.is_due() {
            change.closed().for_each(|channel| self.channels.close(channel));
        }
        self.save(self.collections.records_of(&change)).await?;
        self.flushes.look();
        self.follow_names().await
    }

    fn close_unneeded(&mut self) {
        let roster = self.collections.roster();
        for channel in self.channels.names().iter().filter(|channel| !roster.needs(channel)) {
            self.channels.close(channel);
        }
    }

    async fn end_round(&mut self, upto: Timestamp) -> Result<()> {
        let channels = self.channels.names();
        let ended = self.delivery.end_round(self.channels.done(), &channels);
        let keeps_up = self.stop.until(ended).await??;
        self.channels.set_behind(!keeps_up);
        self.channels.acknowledge(upto);
        self.collections.tell_returned(upto);
        self.has_moved = true;
        if self.saved.elapsed() < SAVE_EVERY {
            return Ok(());
        }
        self.save(Transaction::default()).await
    }

    fn checkpoint(&self, pending: Option<PendingDrop>) -> Transaction {
        let checkpoint = Checkpoint::new(self.channels.positions(), pending);
        let checkpoint = Checkpoint { done: self.channels.done_beyond_all(), ..checkpoint };
        checkpoint.record(&self.context.task.id)
    }

    /// Stores the positions together with these records.
    async fn save(&mut self, records: Transaction) -> Result<()> {
        (self.saved, self.has_moved) = (Instant::now(), false);
        let stored = self.checkpoint(None).and(records);
        self.context.records().commit(stored).await
    }
}
