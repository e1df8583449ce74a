//! The way of a row: read, window, merge, route, lane, checkpoint. This file is the map; each step
//! is a call into the file of that name, and nothing calls back.
//! Never holds a client: it sees the outside through [`crate::ports`].

use crate::checkpoint::{self, Checkpoint};
use crate::cover::{Cover, next_event};
use crate::delivery::Delivery;
use crate::error::{Error, Kind, Result};
use crate::link::Link;
use crate::merge::{Step, Then, merge, with_pending};
use crate::observer::Observer;
use crate::ops;
use crate::ports::{Catalog, CatalogEvent, Source, Store, Transaction};
use crate::route::Routed;
use crate::stop::{Backoff, Stop};
use crate::task::Task;
use crate::window::Entry;
use futures::future::{Either, select};
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often positions are saved while there are no rows.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// How often lanes without rows are ticked while the task catches up: as often as a source ticks.
const TICK_EVERY: Duration = Duration::from_millis(200);

/// All that a task needs of the world.
#[derive(Clone)]
pub struct Ports {
    /// The queue.
    pub source: Arc<dyn Source>,
    /// The metadata.
    pub catalog: Arc<dyn Catalog>,
    /// The records.
    pub store: Arc<dyn Store>,
    /// The target.
    pub link: Arc<Link>,
    /// Who listens.
    pub observer: Arc<dyn Observer>,
}

/// Replicates until `stop` (then the error's kind is `Stopped`, and an open window has been
/// finished if that was possible in time) or until a fault. A transient fault means: call again
/// after a pause, it resumes from its checkpoint. A permanent one means: pause the task with this
/// reason.
pub async fn run(task: Task, ports: Ports, stop: CancellationToken) -> Error {
    let task = Arc::new(task);
    let stop = Stop { token: stop, finish_max: task.limits.finish_max };
    let (progress, seen) = watch::channel(ops::Progress::default());
    let inner = Stop { token: stop.token.child_token(), ..stop.clone() };
    let rows = pin!(replicate(task.clone(), ports.clone(), inner.clone(), progress));
    let ops = pin!(ops::replicate(task.clone(), ports.clone(), inner.clone(), seen));
    let result = match select(rows, ops).await {
        Either::Left((result, _)) => result,
        Either::Right((result, rows)) => {
            // A window in flight is finished, not cut off.
            inner.token.cancel();
            let _ = rows.await;
            result
        }
    };
    ports.link.leave(&task.id);
    result.err().unwrap_or_else(Error::stopped)
}

async fn replicate(
    task: Arc<Task>,
    ports: Ports,
    stop: Stop,
    progress: watch::Sender<ops::Progress>,
) -> Result<()> {
    let mut changes = ports.catalog.changes();
    stop.until(ports.link.ready()).await??;
    let mut delivery = Delivery {
        task: task.id.clone(),
        link: ports.link.clone(),
        observer: ports.observer.clone(),
        stop: stop.clone(),
        fence: Timestamp::ZERO,
        replaying: BTreeSet::new(),
    };
    // In this order: a lane that is taken in between has left its fence when the records are read.
    let mut exactly = delivery.left_open().await?;
    let loaded = stop.until(checkpoint::load(&*ports.store, &task.id)).await??;
    if let Some(fence) = loaded.fence {
        delivery.raise_fence(fence).await?;
        exactly = None;
    }
    let cover = Cover::new(task.clone(), ports.clone(), loaded.collections);
    let (saved, ticked, carried) = (Instant::now(), Instant::now(), Vec::new());
    let mut path = Path { task, ports, stop, cover, delivery, saved, ticked, exactly, carried };
    path.take_up(loaded.checkpoint).await?;
    progress.send_replace(path.progress());
    loop {
        let cover = &mut path.cover;
        let upto = tokio::select! {
            biased;
            () = path.stop.token.cancelled() => {
                let stop = path.stop.clone();
                return stop.bounded(path.save()).await?.and(Err(Error::stopped()));
            }
            event = next_event(&mut changes) => {
                path.stop.until(cover.look(event)).await??;
                progress.send_replace(path.progress());
                continue;
            }
            // 1 read, 2 window
            upto = cover.channels.round(&cover.roster, path.exactly) => upto?,
        };
        if path.stop.until(cover.join_announced(upto)).await?? {
            continue;
        }
        let displaced = path.stop.until(cover.meet_partitions(upto)).await??;
        let mut round = cover.channels.take(upto);
        round.extend(cover.drop_displaced(&displaced, &round));
        for (step, ahead) in with_pending(merge(round, upto)) {
            path.step(step, &ahead).await?; // 3 merge
        }
        path.exactly = None;
        path.tick(upto).await?;
        progress.send_replace(path.progress());
    }
}

/// A task on its way.
struct Path {
    task: Arc<Task>,
    ports: Ports,
    stop: Stop,
    cover: Cover,
    delivery: Delivery,
    saved: Instant,
    /// When the lanes without rows were ticked last.
    ticked: Instant,
    /// Where the round has to end that sends an open window again.
    exactly: Option<Timestamp>,
    /// What belongs to that window and was cut off by a DDL inside it.
    carried: Vec<Routed>,
}

impl Path {
    /// Begins, or takes up what an earlier life left.
    async fn take_up(&mut self, stored: Option<Checkpoint>) -> Result<()> {
        let stop = self.stop.clone();
        match stored {
            Some(checkpoint) => {
                stop.until(self.cover.resume(&checkpoint)).await??;
                if let Some(pending) = checkpoint.pending {
                    stop.bounded(self.cover.drop(&pending)).await??;
                }
                stop.until(self.cover.look(CatalogEvent::Resync)).await??;
            }
            None => stop.until(self.cover.begin()).await??,
        }
        Ok(())
    }

    /// One stretch of a round: its rows, then its DDL. `ahead` is what comes after it.
    async fn step(&mut self, step: Step, ahead: &BTreeMap<Arc<str>, Entry>) -> Result<()> {
        let Step { mut messages, upto, then } = step;
        let stop = self.stop.clone();
        let mut pending = then.as_ref().and_then(|then| self.cover.pending(then));
        if let Some(Then::Create(id, _)) = &then
            && let Some(drop) = stop.bounded(self.cover.displaced(*id, upto)).await??
        {
            pending = drop.first().and_then(|read| self.cover.pending_of(read));
            messages.extend(drop);
        }
        let routed = self.cover.router.route(messages, &self.cover.roster)?; // 4 route
        if self.is_cut_replay(upto) {
            self.carried.extend(routed);
            return match then {
                Some(Then::Create(id, _)) => stop.bounded(self.cover.announced(id)).await?,
                _ => Ok(()),
            };
        }
        let routed = [std::mem::take(&mut self.carried), routed].concat();
        self.cover.channels.advance(upto, ahead);
        if !routed.is_empty() || pending.is_some() || !self.delivery.replaying.is_empty() {
            let mut stored = Transaction::default(); // 6 checkpoint
            self.cover.checkpoint(pending.clone()).put(&self.task.id, &mut stored);
            self.delivery.lift_fence(upto, &mut stored);
            let delivered = self.delivery.deliver(&routed, upto, stored); // 5 lane
            self.cover.channels.read_during(&self.cover.roster, delivered).await?;
        }
        if let Some(pending) = pending {
            stop.bounded(self.cover.drop(&pending)).await??;
        }
        match then {
            Some(Then::Create(id, _)) => stop.bounded(self.cover.announced(id)).await?,
            _ => Ok(()),
        }
    }

    /// Whether a step ends before the window that is being sent again: its lanes must not be closed
    /// before all of that window is in them.
    fn is_cut_replay(&self, upto: Timestamp) -> bool {
        !self.delivery.replaying.is_empty() && self.exactly.is_some_and(|exactly| upto < exactly)
    }

    async fn wait_after(&self, backoff: &mut Backoff<'_>, e: Error) -> Result<()> {
        if e.kind != Kind::Transient {
            return Err(e);
        }
        self.stop.until(backoff.pause(&e)).await
    }

    /// The end of a round: what no window has ticked is ticked, and the lag is known.
    async fn tick(&mut self, upto: Timestamp) -> Result<()> {
        let (link, observer) = (self.ports.link.clone(), self.ports.observer.clone());
        let mut backoff = Backoff::new(&*observer, self.task.limits.backoff_max);
        let is_due = self.ticked.elapsed() >= TICK_EVERY;
        let tick = || async {
            let at = link.close_at(&self.task.id, upto).await?;
            if at == upto || is_due {
                link.tick_idle(at, &*observer).await?;
            }
            Ok(at)
        };
        let at = loop {
            match self.stop.bounded(tick()).await? {
                Ok(at) => break at,
                Err(e) => self.wait_after(&mut backoff, e).await?,
            }
        };
        if at == upto || is_due {
            self.ticked = Instant::now();
        }
        self.cover.channels.set_behind(at > upto);
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

    fn progress(&self) -> ops::Progress {
        ops::Progress { done: self.cover.channels.done(), idle: self.cover.channels.is_empty() }
    }
}
