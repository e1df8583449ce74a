//! Ticks the lanes of a target: the lane that a window has closed, and the lanes that no window
//! uses. Never ticks a lane with an open window, and never beyond a task that keeps up with its
//! source.

use crate::destination::milvus::calls::Calls;
use crate::destination::milvus::clock::{AHEAD_MS, Clock};
use crate::destination::milvus::floor::Floor;
use crate::destination::milvus::lane::{Lanes, LockedLane};
use crate::error::{Kind, Result};
use crate::observer::{Event, Observer};
use crate::overdue;
use crate::ports::Transaction;
use crate::records::target_records::TargetRecords;
use crate::stop::{Backoff, Stop};
use crate::sync::lock;
use futures::{FutureExt, StreamExt, stream};
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// A task further behind the target's clock than this is stamped and ticked by that clock until it
/// has caught up; segments of a target whose ticks lie far back are neither flushed nor indexed.
const BEHIND_MS: u64 = 5000;

/// How often lanes without rows are ticked while a task catches up: as often as a source ticks.
const TICK_EVERY: Duration = Duration::from_millis(200);

/// How many ticks are on their way at once.
const TICKS_AT_ONCE: usize = 8;

/// Ticks the lanes of one target.
pub(crate) struct Ticker {
    calls: Arc<Calls>,
    records: Arc<TargetRecords>,
    lanes: Arc<Lanes>,
    clock: Arc<Clock>,
    floor: Arc<Floor>,
    backoff_max: Duration,
    /// How far each task is that keeps up with the source.
    progress: Mutex<BTreeMap<String, Timestamp>>,
    /// When lanes without rows were ticked last by a task that catches up.
    ticked: Mutex<Option<Instant>>,
}

impl Ticker {
    /// A ticker of these lanes.
    pub(super) fn new(
        calls: Arc<Calls>,
        records: Arc<TargetRecords>,
        lanes: Arc<Lanes>,
        clock: Arc<Clock>,
        floor: Arc<Floor>,
        backoff_max: Duration,
    ) -> Self {
        let (progress, ticked) = (Mutex::default(), Mutex::default());
        Self { calls, records, lanes, clock, floor, backoff_max, progress, ticked }
    }

    /// What closes a window that reaches up to a source tick: that tick, or the target's clock if
    /// the task is behind it, or far ahead of it. And whether the task keeps up with its source.
    pub(super) async fn close_at(&self, task: &str, upto: Timestamp) -> Result<(Timestamp, bool)> {
        let clock = self.clock.now().await?;
        let is_behind = upto.plus_ms(BEHIND_MS) < clock;
        let mut progress = lock(&self.progress);
        if is_behind {
            progress.remove(task);
            return Ok((clock, false));
        }
        progress.insert(task.to_owned(), upto);
        Ok((upto.min(clock.plus_ms(AHEAD_MS)), true))
    }

    /// A task no longer moves the lanes.
    pub(crate) fn leave(&self, task: &str) {
        lock(&self.progress).remove(task);
    }

    /// The end of a task's round: what no window has ticked is ticked, while the task catches up no
    /// more often than a source ticks. Returns whether the task keeps up with its source.
    pub(super) async fn end_round(
        &self,
        task: &str,
        upto: Timestamp,
        observer: &dyn Observer,
    ) -> Result<bool> {
        let (at, keeps_up) = self.close_at(task, upto).await?;
        let is_due = lock(&self.ticked).is_none_or(|ticked| ticked.elapsed() >= TICK_EVERY);
        if keeps_up || is_due {
            self.tick_unused(at, observer).await?;
            *lock(&self.ticked) = Some(Instant::now());
        }
        Ok(keeps_up)
    }

    /// Ticks every lane that no window uses: up to `at`, but not beyond another task that keeps up,
    /// whose rows would have to be restamped.
    async fn tick_unused(&self, at: Timestamp, observer: &dyn Observer) -> Result<()> {
        let slowest = lock(&self.progress).values().min().copied();
        let at = at.min(slowest.unwrap_or(at));
        let is_wanted = |lane: &LockedLane| lane.state.last_tick < at || lane.state.tick_due;
        self.tick_those(at, observer, is_wanted).await
    }

    /// Ticks the lanes that nobody has ticked for this long with the target's own clock, as it is
    /// now.
    pub(super) async fn tick_silent(&self, after: Duration, observer: &dyn Observer) -> Result<()> {
        let at = self.clock.ask().await?;
        let is_wanted =
            |lane: &LockedLane| at > lane.state.last_tick && lane.state.ticked.elapsed() >= after;
        self.tick_those(at, observer, is_wanted).await
    }

    /// Ticks every lane whose last tick is still to be sent.
    pub(super) async fn tick_due(&self, observer: &dyn Observer) -> Result<()> {
        self.tick_those(Timestamp::ZERO, observer, |lane| lane.state.tick_due).await
    }

    async fn tick_those(
        &self,
        at: Timestamp,
        observer: &dyn Observer,
        is_wanted: impl Fn(&LockedLane) -> bool,
    ) -> Result<()> {
        let lanes = self.lanes.all();
        let mut locked: Vec<LockedLane> = lanes
            .iter()
            .filter_map(|lane| lane.try_lock())
            .filter(|lane| !lane.is_open() && is_wanted(lane))
            .collect();
        self.floor.raise(&mut locked).await?;
        let ticks: Vec<_> = locked.iter().map(|lane| at.max(lane.state.last_tick)).collect();
        let mut reserve = Transaction::default();
        for (lane, at) in locked.iter().zip(&ticks).filter(|(lane, at)| lane.needs_reserve(**at)) {
            lane.record_reserve(*at, self.lanes.key(&lane.name), &mut reserve);
        }
        if !reserve.puts.is_empty() {
            self.records.commit(reserve).await?;
            for (lane, at) in locked.iter_mut().zip(&ticks) {
                if lane.needs_reserve(*at) {
                    lane.mark_reserved(*at);
                }
            }
        }
        let names: Vec<_> = locked.iter().map(|lane| lane.name.clone()).collect();
        for (lane, tick) in locked.iter_mut().zip(&ticks) {
            lane.mark_tick_sent(*tick);
        }
        let calls = names.iter().zip(&ticks).map(|(name, at)| self.calls.tick(name, *at).boxed());
        let calls: Vec<_> = calls.collect();
        let sent: Vec<_> = stream::iter(calls).buffered(TICKS_AT_ONCE).collect().await;
        let mut failed = Ok(());
        for ((lane, tick), sent) in locked.iter_mut().zip(ticks).zip(sent) {
            match sent {
                Ok(()) => {
                    lane.mark_tick_answered();
                    observer.event(Event::Tick { pchannel: &lane.name, tick });
                }
                Err(e) => failed = Err(e),
            }
        }
        failed
    }

    /// Ticks a lane until the target has taken the tick, or a later one.
    pub(super) async fn tick(
        &self,
        lane: &mut LockedLane,
        at: Timestamp,
        stop: &Stop,
        observer: &dyn Observer,
    ) -> Result<()> {
        lane.mark_tick_sent(at);
        let mut backoff = Backoff::new(observer, self.backoff_max);
        loop {
            let sent = async {
                self.floor.raise(std::slice::from_mut(lane)).await?;
                self.calls.tick(&lane.name, lane.state.last_tick).await
            };
            let silent = || "a tick has no answer of the target".to_owned();
            match stop.bounded(overdue::tell(observer, silent, sent)).await? {
                Ok(()) => break,
                Err(e) if e.kind == Kind::Permanent => return Err(e),
                Err(e) => stop.bounded(backoff.pause(&e)).await?,
            }
        }
        lane.mark_tick_answered();
        observer.event(Event::Tick { pchannel: &lane.name, tick: lane.state.last_tick });
        Ok(())
    }
}
