//! Calls without an answer, and lanes whose owner has stayed away: waits until nothing can arrive
//! any more, and takes such a lane from its owner. Never takes a lane before it has settled, and
//! never without a fence for its owner.
//!
//! Behind a later call on the same channel, answered by the same proxy, a short time is enough:
//! what the proxy had begun to append was appended before. What may still come is a call whose
//! handler has stood still between its receipt and its append, for all of that time, in a proxy
//! that answers.

use crate::destination::milvus::lane::{Lanes, LockedLane};
use crate::destination::milvus::proxy::Proxy;
use crate::destination::milvus::ticker::Ticker;
use crate::error::{Error, Result};
use crate::observer::{Event, Observer, Silent};
use crate::ports::{Target, Transaction};
use crate::records::target_records::TargetRecords;
use crate::stop::{Backoff, Stop};
use crate::task::Limits;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// In how many steps a settle time passes, each with a sign of life of the target.
const SETTLE_STEPS: u32 = 10;

/// How long a handler may stand still in a proxy that answers, and in how many steps that passes.
const STANDSTILL_MAX: Duration = Duration::from_secs(1);
const STANDSTILL_STEPS: u32 = 2;

/// What a task says while it waits.
const WAITS: &str = "calls to the target without an answer may still arrive: the target is given \
                     its settleTime, because such calls may have gone through another proxy";

/// Settles the lanes of one target.
pub(super) struct Settling {
    target: Arc<dyn Target>,
    proxy: Arc<Proxy>,
    records: Arc<TargetRecords>,
    lanes: Arc<Lanes>,
    ticker: Arc<Ticker>,
    settle: Duration,
    lane_wait_max: Duration,
    backoff_max: Duration,
}

impl Settling {
    /// Settles these lanes within these limits.
    pub(super) fn new(
        target: Arc<dyn Target>,
        proxy: Arc<Proxy>,
        records: Arc<TargetRecords>,
        lanes: Arc<Lanes>,
        ticker: Arc<Ticker>,
        limits: &Limits,
    ) -> Self {
        let Limits { settle, lane_wait_max, backoff_max, .. } = *limits;
        Self { target, proxy, records, lanes, ticker, settle, lane_wait_max, backoff_max }
    }

    /// Waits until nothing that was sent without an answer can still arrive at the lanes of a
    /// window, whose calls are answered now. `is_followed`: each lane on which an answer is missing
    /// has got such a call.
    pub(super) async fn settle_behind(
        &self,
        lanes: &[LockedLane],
        is_followed: bool,
        stop: &Stop,
        observer: &dyn Observer,
    ) -> Result<()> {
        let only = stop.bounded(self.proxy.ask()).await?;
        let only = only.inspect_err(|e| tracing::warn!(error = ?e, "proxies not listed"));
        let only = only.unwrap_or_default();
        let is_of_it =
            |lane: &LockedLane| lane.state.open.as_ref().is_some_and(|o| o.proxy == only);
        if only.is_some() && is_followed && lanes.iter().all(is_of_it) {
            let time = self.settle.min(STANDSTILL_MAX);
            return self.wait(time, STANDSTILL_STEPS, stop, observer, None).await;
        }
        self.settle(stop, observer).await
    }

    /// Waits until nothing that was sent without an answer can still arrive anywhere.
    pub(super) async fn settle(&self, stop: &Stop, observer: &dyn Observer) -> Result<()> {
        tracing::info!(time = ?self.settle, "waiting until calls without an answer have settled");
        observer.event(Event::Waiting(Some(WAITS)));
        let settled = self.wait(self.settle, SETTLE_STEPS, stop, observer, Some(WAITS)).await;
        observer.event(Event::Waiting(None));
        settled
    }

    /// Only time in which the target answers counts: a target that stands still may have a call in
    /// its hands. A fault meanwhile is shown while it lasts, then `reason` again.
    async fn wait(
        &self,
        time: Duration,
        wanted: u32,
        stop: &Stop,
        observer: &dyn Observer,
        reason: Option<&str>,
    ) -> Result<()> {
        let step = time / wanted;
        let mut steps = 0;
        let mut backoff = Backoff::new(observer, self.backoff_max);
        while steps < wanted {
            let asked = Instant::now();
            match stop.bounded(self.target.clock()).await? {
                Ok(_) if asked.elapsed() <= step => steps += 1,
                Ok(_) => steps = 0,
                Err(e) => {
                    steps = 0;
                    stop.bounded(backoff.pause(&e)).await?;
                    observer.event(Event::Waiting(reason));
                }
            }
            stop.bounded(tokio::time::sleep(step)).await?;
        }
        Ok(())
    }

    /// Takes all lanes whose owners stay away from them, behind one settle time. An owner that
    /// comes back meanwhile keeps its lanes.
    pub(super) async fn take_abandoned(&self, stop: &Stop, observer: &dyn Observer) -> Result<()> {
        let lanes = self.lanes.all();
        let free = lanes.iter().filter_map(|lane| lane.try_lock());
        let left: Vec<_> = free.filter_map(|lane| self.abandoned(&lane)).collect();
        if left.is_empty() {
            return Ok(());
        }
        self.settle(stop, observer).await?;
        let still = |lane: &LockedLane| self.abandoned(lane).is_some_and(|it| left.contains(&it));
        let free = lanes.iter().filter_map(|lane| lane.try_lock());
        self.take_over(&mut free.filter(still).collect::<Vec<_>>(), stop).await
    }

    /// Takes settled lanes from their owners: marks the stretch of each as uncertain, so that the
    /// owner fences it when it comes back, and closes the window.
    pub(super) async fn take_over(&self, lanes: &mut [LockedLane], stop: &Stop) -> Result<()> {
        for lane in lanes {
            self.take(lane, stop).await?;
        }
        Ok(())
    }

    async fn take(&self, lane: &mut LockedLane, stop: &Stop) -> Result<()> {
        let Some(open) = lane.state.open.clone() else {
            return Ok(());
        };
        tracing::warn!(lane = %lane.name, owner = %open.task, upto = %open.upto,
            "lane taken from a task that left a window open; its stretch will be fenced");
        let mut transaction = Transaction::default();
        if self.records.has_task(&open.task).await? {
            let fence = self.records.of_task(&open.task).fence(open.upto).await;
            // A fault of the owner's record: whoever wants the lane goes on waiting for it.
            let fence = fence.map_err(|e| Error::transient(e.what.clone()).because(e))?;
            transaction.puts.push(fence);
        }
        lane.record_commit(open.closing, self.lanes.key(&lane.name), &mut transaction);
        self.records.commit(transaction).await?;
        lane.mark_committed(open.closing);
        self.ticker.tick(lane, open.closing, stop, &Silent).await
    }

    /// Since when the owner of an open window has stayed away, if that is too long.
    pub(super) fn abandoned(&self, lane: &LockedLane) -> Option<(Arc<str>, Instant)> {
        let since = lane.state.open.as_ref()?.since;
        (since.elapsed() >= self.lane_wait_max).then(|| (lane.name.clone(), since))
    }
}
