//! Lanes whose owner has stayed away, and calls without an answer: waits until nothing can arrive
//! any more, and takes such a lane from its owner. Never takes a lane before it has settled, and
//! never without a fence for its owner.

use crate::destination::milvus::lane::{Lanes, LockedLane};
use crate::destination::milvus::ticker::Ticker;
use crate::error::{Error, Result};
use crate::observer::{Observer, Silent};
use crate::ports::{Target, Transaction};
use crate::records::target_records::TargetRecords;
use crate::stop::{Backoff, Stop};
use crate::task::Limits;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// In how many steps a settle time passes, each with a sign of life of the target.
const SETTLE_STEPS: u32 = 10;

/// Settles the lanes of one target.
pub(super) struct Settling {
    target: Arc<dyn Target>,
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
        records: Arc<TargetRecords>,
        lanes: Arc<Lanes>,
        ticker: Arc<Ticker>,
        limits: &Limits,
    ) -> Self {
        let Limits { settle, lane_wait_max, backoff_max, .. } = *limits;
        Self { target, records, lanes, ticker, settle, lane_wait_max, backoff_max }
    }

    /// Waits until nothing that was sent without an answer can still arrive. Only time in which the
    /// target answers counts: a target that stands still may have such a call in its hands.
    pub(super) async fn settle(&self, stop: &Stop, observer: &dyn Observer) -> Result<()> {
        let step = self.settle / SETTLE_STEPS;
        let mut steps = 0;
        let mut backoff = Backoff::new(observer, self.backoff_max);
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

    /// Takes a settled lane from its owner: marks its stretch as uncertain, so that the owner
    /// fences it when it comes back, and closes the window.
    pub(super) async fn take_over(&self, lane: &mut LockedLane, stop: &Stop) -> Result<()> {
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

    /// Whether the owner of an open window has stayed away for too long.
    pub(super) fn is_abandoned(&self, lane: &LockedLane) -> bool {
        let open = lane.state.open.as_ref();
        open.is_some_and(|open| open.since.elapsed() >= self.lane_wait_max)
    }
}
