//! What a process holds per target, shared by every task on it: the client, the lanes, the target's
//! clock, the lease. It ticks whatever no window is ticking.
//! Never touches rows; those go through a [`crate::delivery`].

use crate::destination::milvus::claims::Claims;
use crate::destination::milvus::lane::{Held, Lane, LaneRecord};
use crate::error::Result;
use crate::observer::{Event, Observer, Silent};
use crate::ports::{CallError, Store, Target, Transaction};
use crate::records::checkpoint;
use crate::records::codec::decode;
use crate::records::keys::fence_key;
use crate::records::keys::task_key;
use crate::records::lease;
use crate::records::lease::Lease;
use crate::stop::{Backoff, Stop};
use crate::sync::lock;
use crate::task::Limits;
use futures::{FutureExt, StreamExt, stream};
use milvus_wire::ids::CollectionId;
use milvus_wire::replicate::{ReplicateCall, tick};
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A task further behind the target's clock than this is stamped and ticked by that clock until it
/// has caught up; segments of a target whose ticks lie far back are neither flushed nor indexed.
const BEHIND_MS: u64 = 5000;

/// How old a sample of the target's clock may be.
const CLOCK_LIFE: Duration = Duration::from_secs(1);

/// How often the channels of the target are listed again.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// How often lanes without rows are ticked while a task catches up: as often as a source ticks.
const TICK_EVERY: Duration = Duration::from_millis(200);

/// In how many steps a settle time passes, each with a sign of life of the target.
const SETTLE_STEPS: u32 = 10;

/// How many ticks are on their way at once.
const TICKS_AT_ONCE: usize = 8;

/// One target.
pub struct Link {
    pub(crate) target: Arc<dyn Target>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) limits: Limits,
    pub(crate) lease: Lease,
    address: String,
    ready: OnceCell<()>,
    lanes: Mutex<BTreeMap<Arc<str>, Arc<Lane>>>,
    clock: Mutex<Option<(Timestamp, Instant)>>,
    /// How far each task is that keeps up with the source.
    progress: Mutex<BTreeMap<String, Timestamp>>,
    /// When lanes without rows were ticked last by a task that catches up.
    ticked: Mutex<Option<Instant>>,
    claims: Claims,
}

impl Link {
    /// A link to the target that `address` names (normalised, without secrets). Opens nothing.
    pub fn new(
        address: &str,
        target: Arc<dyn Target>,
        store: Arc<dyn Store>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            target,
            store,
            limits,
            lease: Lease::new(address),
            address: address.to_owned(),
            ready: OnceCell::new(),
            lanes: Mutex::default(),
            clock: Mutex::default(),
            progress: Mutex::default(),
            ticked: Mutex::default(),
            claims: Claims::default(),
        })
    }

    /// Whether a collection of the source may be the task's here.
    pub(crate) async fn claim(&self, task: &str, id: CollectionId) -> Result<bool> {
        self.claims.take(&*self.store, &self.address, (task, id)).await
    }

    /// Whether another task has a collection of the source here.
    pub(crate) async fn is_anothers(&self, task: &str, id: CollectionId) -> Result<bool> {
        self.claims.is_anothers(&*self.store, &self.address, (task, id)).await
    }

    /// What names the target.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Takes the lease and takes the lanes up where an earlier life left them. Done once: a link that
    /// has lost its lease is never ready again, since what it knows of the lanes is no longer so.
    pub async fn ready(&self) -> Result<()> {
        if self.lease.is_lost() {
            return Err(lease::lost());
        }
        self.ready.get_or_try_init(|| self.take_up()).await.map(|_| ())
    }

    async fn take_up(&self) -> Result<()> {
        self.lease.acquire(&*self.store).await?;
        // What an earlier life sent last may be under way until the target answers.
        self.target.clock().await?;
        let prefix = self.lane_key("");
        for (key, stored) in self.store.list(&prefix).await? {
            let record: LaneRecord = decode(&key, &stored.value)?;
            let name: Arc<str> = key[prefix.len()..].into();
            lock(&self.lanes).insert(name.clone(), Arc::new(Lane::stored(name, &record)));
        }
        self.list_lanes().await?;
        // A window may have been committed without its tick: repeating one is harmless.
        for lane in self.lanes() {
            let held = lane.hold().await;
            if !held.is_replay() && held.state.committed > Timestamp::ZERO {
                self.try_tick(&held.name, held.state.committed).await?;
            }
        }
        Ok(())
    }

    /// Makes a lane of every channel that carries a collection of the target.
    pub async fn list_lanes(&self) -> Result<()> {
        for pchannel in self.target.pchannels().await? {
            let name: Arc<str> = pchannel.as_str().into();
            if !lock(&self.lanes).contains_key(&name) {
                // Somebody may have ticked it: only the target's own clock is surely above that.
                let lane = Lane::new(name.clone(), self.target.clock().await?);
                lock(&self.lanes).entry(name).or_insert_with(|| Arc::new(lane));
            }
        }
        Ok(())
    }

    /// The lane of a channel; one that carries no collection yet begins at zero.
    pub(crate) fn lane(&self, name: &Arc<str>) -> Arc<Lane> {
        let new = || Arc::new(Lane::new(name.clone(), Timestamp::ZERO));
        lock(&self.lanes).entry(name.clone()).or_insert_with(new).clone()
    }

    /// All lanes.
    pub(crate) fn lanes(&self) -> Vec<Arc<Lane>> {
        lock(&self.lanes).values().cloned().collect()
    }

    /// Where a lane is stored.
    pub(crate) fn lane_key(&self, lane: &str) -> String {
        format!("lane/{}/{lane}", self.address)
    }

    /// Last ticks by lane, for showing. Lanes in use right now are left out.
    pub fn ticks(&self) -> Vec<(String, Timestamp)> {
        let lanes = self.lanes();
        let held = lanes.iter().filter_map(|lane| lane.try_hold());
        held.map(|held| (held.name.to_string(), held.state.last_tick)).collect()
    }

    /// The target's clock, from a sample that is at most a second old.
    pub async fn clock(&self) -> Result<Timestamp> {
        let sample = *lock(&self.clock);
        let (at, taken) = match sample {
            Some((at, taken)) if taken.elapsed() <= CLOCK_LIFE => (at, taken),
            _ => {
                let fresh = (self.target.clock().await?, Instant::now());
                *lock(&self.clock) = Some(fresh);
                fresh
            }
        };
        let passed = u64::try_from(taken.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(at.plus_ms(passed))
    }

    /// What closes a window that reaches up to a source tick: that tick, or the target's clock if
    /// the task is behind.
    pub(crate) async fn close_at(&self, task: &str, upto: Timestamp) -> Result<Timestamp> {
        let clock = self.clock().await?;
        let behind = upto.plus_ms(BEHIND_MS) < clock;
        let mut progress = lock(&self.progress);
        if behind {
            progress.remove(task);
            return Ok(clock);
        }
        progress.insert(task.to_owned(), upto);
        Ok(upto)
    }

    /// A task no longer moves the lanes.
    pub fn leave(&self, task: &str) {
        lock(&self.progress).remove(task);
    }

    /// The end of a task's round: what no window has ticked is ticked, while the task catches up no
    /// more often than a source ticks. Returns whether the task keeps up with its source.
    pub(crate) async fn end_round(
        &self,
        task: &str,
        upto: Timestamp,
        observer: &dyn Observer,
    ) -> Result<bool> {
        let at = self.close_at(task, upto).await?;
        let keeps_up = at == upto;
        let is_due = lock(&self.ticked).is_none_or(|ticked| ticked.elapsed() >= TICK_EVERY);
        if keeps_up || is_due {
            self.tick_idle(at, observer).await?;
            *lock(&self.ticked) = Some(Instant::now());
        }
        Ok(keeps_up)
    }

    /// Ticks every lane that no window holds: up to `at`, but not beyond another task that keeps
    /// up, whose rows would have to be restamped.
    async fn tick_idle(&self, at: Timestamp, observer: &dyn Observer) -> Result<()> {
        let slowest = lock(&self.progress).values().min().copied();
        let at = at.min(slowest.unwrap_or(at));
        let wanted = |held: &Held| held.state.last_tick < at || held.state.tick_due;
        self.tick_lanes(at, observer, wanted).await
    }

    async fn tick_lanes(
        &self,
        at: Timestamp,
        observer: &dyn Observer,
        wanted: impl Fn(&Held) -> bool,
    ) -> Result<()> {
        let lanes = self.lanes();
        let mut held: Vec<Held> = lanes
            .iter()
            .filter_map(|lane| lane.try_hold())
            .filter(|held| !held.is_replay() && wanted(held))
            .collect();
        let ticks: Vec<_> = held.iter().map(|lane| at.max(lane.state.last_tick)).collect();
        let mut reserve = Transaction::default();
        for (lane, at) in held.iter().zip(&ticks).filter(|(lane, at)| lane.needs_reserve(**at)) {
            lane.reserve(*at, self.lane_key(&lane.name), &mut reserve);
        }
        if !reserve.puts.is_empty() {
            self.lease.commit(&*self.store, reserve).await?;
            for (lane, at) in held.iter_mut().zip(&ticks) {
                if lane.needs_reserve(*at) {
                    lane.reserved(*at);
                }
            }
        }
        let names: Vec<_> = held.iter().map(|lane| lane.name.clone()).collect();
        for (lane, tick) in held.iter_mut().zip(&ticks) {
            lane.ticking(*tick);
        }
        let calls: Vec<_> =
            names.iter().zip(&ticks).map(|(name, at)| self.try_tick(name, *at).boxed()).collect();
        let sent: Vec<_> = stream::iter(calls).buffered(TICKS_AT_ONCE).collect().await;
        let mut failed = Ok(());
        for ((lane, tick), sent) in held.iter_mut().zip(ticks).zip(sent) {
            match sent {
                Ok(()) => {
                    lane.ticked();
                    observer.event(Event::Tick { pchannel: &lane.name, tick });
                }
                Err(e) => failed = Err(e),
            }
        }
        failed
    }

    async fn try_tick(&self, lane: &str, at: Timestamp) -> Result<()> {
        let messages = vec![tick(at)];
        let call = ReplicateCall { pchannel: lane.to_owned(), begin: at, end: at, messages };
        self.call(&call).await.map_err(|e| match e {
            CallError::Refused(e) | CallError::Unanswered(e) => e,
        })
    }

    /// Makes a call, unless another milvus-cdc may have taken the lease, and with it the lane: this
    /// process may have stood still since it looked last.
    pub(crate) async fn call(&self, call: &ReplicateCall) -> std::result::Result<(), CallError> {
        self.lease.confirmed().map_err(CallError::Refused)?;
        self.target.replicate(call).await
    }

    /// Ticks a lane until the target has taken it.
    pub(crate) async fn tick(
        &self,
        held: &mut Held,
        at: Timestamp,
        stop: &Stop,
        observer: &dyn Observer,
    ) -> Result<()> {
        held.ticking(at);
        let mut backoff = Backoff::new(observer, self.limits.backoff_max);
        while let Err(e) = stop.bounded(self.try_tick(&held.name, at)).await? {
            if e.kind == crate::error::Kind::Permanent {
                return Err(e);
            }
            stop.bounded(backoff.pause(&e)).await?;
        }
        held.ticked();
        observer.event(Event::Tick { pchannel: &held.name, tick: at });
        Ok(())
    }

    /// Waits until nothing that was sent without an answer can still arrive. Only time in which the
    /// target answers counts: one that stands still may have such a call in its hands.
    pub(crate) async fn settle(&self, stop: &Stop, observer: &dyn Observer) -> Result<()> {
        let step = self.limits.settle / SETTLE_STEPS;
        let mut steps = 0;
        let mut backoff = Backoff::new(observer, self.limits.backoff_max);
        while steps < SETTLE_STEPS {
            let asked = Instant::now();
            match stop.bounded(self.target.clock()).await? {
                Ok(_) if asked.elapsed() <= step => steps += 1,
                Ok(_) => steps = 0,
                Err(e) => {
                    steps = 0;
                    stop.bounded(backoff.pause(&e)).await?;
                }
            }
            stop.bounded(tokio::time::sleep(step)).await?;
        }
        Ok(())
    }

    /// Takes a settled lane from an owner that stayed away: marks its stretch as uncertain, so that the
    /// owner fences it when it comes back, and closes the window.
    pub(crate) async fn take_over(&self, held: &mut Held, stop: &Stop) -> Result<()> {
        let Some(open) = held.state.open.clone() else {
            return Ok(());
        };
        tracing::warn!(lane = %held.name, owner = %open.task, upto = %open.upto,
            "lane taken from a task that left a window open; its stretch will be fenced");
        let mut transaction = Transaction::default();
        if self.store.get(&task_key(&open.task)).await?.is_some() {
            let fence = checkpoint::fence(&*self.store, &open.task, open.upto).await?;
            transaction.puts.push((fence_key(&open.task), fence));
        }
        held.commit(open.closing, self.lane_key(&held.name), &mut transaction);
        self.lease.commit(&*self.store, transaction).await?;
        held.committed(open.closing);
        self.tick(held, open.closing, stop, &Silent).await
    }

    /// Keeps the lease and the ticks of the target alive until `stop`, or until the lease is lost; run
    /// it beside the tasks.
    pub async fn keep(&self, stop: CancellationToken) {
        let stop = Stop { token: stop, finish_max: Duration::ZERO };
        // A target that stands still must not keep the lease from being kept.
        self.lease.keep(&*self.store, &stop, self.keep_lanes(&stop)).await;
    }

    async fn keep_lanes(&self, stop: &Stop) {
        let mut listed = Instant::now();
        while !stop.token.is_cancelled() {
            let round = async {
                self.ready().await?;
                if listed.elapsed() >= LIST_EVERY {
                    self.list_lanes().await?;
                    listed = Instant::now();
                }
                self.keep_ticking(stop).await
            };
            if let Ok(Err(e)) = stop.until(round).await {
                tracing::debug!(error = ?e, "target not kept up to date");
            }
            let _ = stop.until(tokio::time::sleep(self.limits.idle_tick)).await;
        }
    }

    /// Lanes that nobody ticks any more get the target's own clock, and those whose owner stays
    /// away are taken from it: a target without ticks answers no strong read.
    async fn keep_ticking(&self, stop: &Stop) -> Result<()> {
        let Some(after) = self.limits.keep_alive_after else {
            return Ok(());
        };
        let lanes = self.lanes();
        let mut silent = false;
        for mut held in lanes.iter().filter_map(|lane| lane.try_hold()) {
            if self.is_abandoned(&held) {
                self.settle(stop, &Silent).await?;
                self.take_over(&mut held, stop).await?;
            }
            silent |= held.state.ticked.elapsed() >= after;
        }
        if silent {
            let at = self.clock().await?;
            let wanted =
                |held: &Held| at > held.state.last_tick && held.state.ticked.elapsed() >= after;
            self.tick_lanes(at, &Silent, wanted).await?;
        }
        Ok(())
    }

    /// Whether the owner of an open window has stayed away for too long.
    pub(crate) fn is_abandoned(&self, held: &Held) -> bool {
        let wait = self.limits.lane_wait_max;
        held.state.open.as_ref().is_some_and(|open| open.since.elapsed() >= wait)
    }
}
