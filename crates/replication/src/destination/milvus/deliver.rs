//! Step 6 of the way of a row, into a Milvus: brings one window of a task there, exactly once.
//!
//! A consumer of Milvus removes, between two ticks of a channel, every second message with the
//! same `base.msgID`. So the protocol, per lane: store that a window is open; send its rows without
//! a tick, as often as it takes; when every call is answered, store in one transaction that all of
//! it is done, on every lane and in the task's checkpoint; then tick. `docs/exactly-once.md`
//! derives it. Never ticks a lane whose window is not committed.

use crate::destination::delivery::Delivery;
use crate::destination::delivery::report_written;
use crate::destination::milvus::clock::AHEAD_MS;
use crate::destination::milvus::fence::Fence;
use crate::destination::milvus::lane::{LockedLane, Open};
use crate::destination::milvus::link::Link;
use crate::destination::milvus::stamp::{Plan, plan};
use crate::error::{Error, Kind, Result};
use crate::message::Routed;
use crate::observer::{Event, Noted, Observer};
use crate::overdue;
use crate::ports::{CallError, Transaction};
use crate::records::keys::fence_key;
use crate::records::target_records::TaskRecords;
use crate::stop::{Backoff, Stop, retry};
use async_trait::async_trait;
use futures::future::try_join_all;
use milvus_wire::replicate::ReplicateCall;
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How often a lane that belongs to another task's window is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A target that answers does so within this time.
const ASK_MAX: Duration = Duration::from_secs(1);

/// What has not come to an end while lanes are waited for.
const IN_USE: &str = "a channel of the target is in use by another task or tick";

/// Why rows are held back.
const AHEAD: &str = "the source's clock is ahead of the target's by more than a second: \
                     synchronise the clocks";

/// Why a window is left to be sent again behind a fence.
const LEFT: &str = "the target refuses rows, and other tasks have waited for its channels for \
                    longer than laneWaitMax: they go first";

/// What became of a window.
enum Outcome {
    Delivered(Vec<Plan>),
    /// It has to be held back for this long.
    IsAhead(Duration),
    /// Its lanes were closed for those who wait for them: it is sent again behind a fence.
    Left,
}

/// What became of the calls of a lane.
#[derive(Clone, Copy, Default)]
struct Sent {
    /// A try was left without an answer.
    is_unanswered: bool,
    /// They were not all carried out: others wait for the lanes, and have waited long enough.
    is_left: bool,
}

/// Delivers the windows of one task.
pub(crate) struct IntoLanes {
    task: String,
    link: Arc<Link>,
    observer: Arc<dyn Observer>,
    stop: Stop,
    /// Inserts up to this source timestamp are fenced.
    fence: Timestamp,
    /// The lanes of the window that an earlier run left open, until they are closed.
    replaying: BTreeSet<Arc<str>>,
}

#[async_trait]
impl Delivery for IntoLanes {
    async fn left_open(&mut self) -> Result<Option<Timestamp>> {
        self.replaying.clear();
        let mut upto = None;
        let in_use = || IN_USE.to_owned();
        overdue::tell(&*self.observer, in_use, self.tick_due()).await?;
        for held in overdue::tell(&*self.observer, in_use, self.held_open()).await {
            if let Some(open) = held.state.open.as_ref().filter(|open| open.task == self.task) {
                upto = upto.max(Some(open.upto));
                self.replaying.insert(held.name.clone());
                self.observer.event(Event::Counted(Noted::ReplayedWindow, 1));
            }
        }
        Ok(upto)
    }

    /// A window that is still open is sent again behind the fence: its ids are then others than
    /// those of its first rows, which the fence's deletes remove.
    fn raise_fence(&mut self, upto: Timestamp) {
        self.fence = self.fence.max(upto);
    }

    async fn deliver(
        &mut self,
        messages: &[Routed],
        upto: Timestamp,
        _: Timestamp,
        checkpoint: Transaction,
    ) -> Result<()> {
        let mut by_lane: BTreeMap<Arc<str>, Vec<&Routed>> = BTreeMap::new();
        for routed in messages {
            by_lane.entry(routed.lane().clone()).or_default().push(routed);
        }
        for lane in &self.replaying {
            by_lane.entry(lane.clone()).or_default();
        }
        let names: Vec<_> = by_lane.keys().cloned().collect();
        let plans = loop {
            let in_use = || IN_USE.to_owned();
            let mut lanes = overdue::tell(&*self.observer, in_use, self.hold(&names)).await?;
            let outcome = self.deliver_into(&mut lanes, &by_lane, upto, &checkpoint).await;
            match outcome.inspect_err(|_| lanes.iter_mut().for_each(LockedLane::mark_left))? {
                Outcome::Delivered(plans) => break plans,
                Outcome::IsAhead(time) => {
                    // Others may use the lanes meanwhile.
                    lanes.iter_mut().for_each(LockedLane::mark_left);
                    drop(lanes);
                    self.wait(AHEAD, time).await?;
                }
                Outcome::Left => {
                    drop(lanes);
                    self.wait(LEFT, self.link.limits.lane_wait_max).await?;
                    return Err(Error::transient(LEFT));
                }
            }
        };
        self.replaying.clear();
        self.report(messages, &plans);
        Ok(())
    }

    async fn end_round(&mut self, done: Timestamp, _: &[Arc<str>]) -> Result<bool> {
        let silent = || "a tick has no answer of the target".to_owned();
        let ended = self.retry(|| self.link.ticker.end_round(&self.task, done, &*self.observer));
        overdue::tell(&*self.observer, silent, ended).await
    }
}

impl IntoLanes {
    pub(crate) fn new(
        task: &str,
        link: Arc<Link>,
        observer: Arc<dyn Observer>,
        stop: Stop,
    ) -> Self {
        link.beside.tell(&observer);
        let (fence, replaying) = (Timestamp::ZERO, BTreeSet::new());
        Self { task: task.to_owned(), link, observer, stop, fence, replaying }
    }

    /// The protocol, on the locked lanes of a window.
    async fn deliver_into(
        &self,
        lanes: &mut [LockedLane],
        by_lane: &BTreeMap<Arc<str>, Vec<&Routed>>,
        upto: Timestamp,
        checkpoint: &Transaction,
    ) -> Result<Outcome> {
        self.check_replay(lanes)?;
        if let Some(risen) = self.ask(|| self.link.floor.of(lanes)).await? {
            risen.raise(lanes);
        }
        let was_open: Vec<_> = lanes.iter().map(LockedLane::is_open).collect();
        let replay = was_open.contains(&true);
        let (close_at, _) = self.ask(|| self.link.ticker.close_at(&self.task, upto)).await?;
        let plans = self.plans(lanes, by_lane)?;
        let closing: Vec<_> = plans.iter().map(|plan| plan.highest.max(close_at)).collect();
        if let Some(time) = self.ahead(plans.iter().map(|plan| plan.highest).max()).await? {
            return Ok(Outcome::IsAhead(time));
        }

        self.open(lanes, &closing, upto).await?;
        tracing::debug!(task = %self.task, %upto, replay, lanes = lanes.len(), "window opened");
        let calls = plans.iter().map(|plan| self.send(&plan.calls, lanes));
        let sent = try_join_all(calls).await?;
        let is_left = sent.iter().any(|sent| sent.is_left);
        if replay || sent.iter().any(|sent| sent.is_unanswered) {
            // A call without an answer is not over: the target may still be producing it. Behind a
            // call that was not carried out, nothing says when.
            let has_later = |(open, plan): (&bool, &Plan)| !open || !plan.calls.is_empty();
            let is_followed = !is_left && was_open.iter().zip(&plans).all(has_later);
            let settling = &self.link.settling;
            settling.settle_behind(lanes, is_followed, &self.stop, &*self.observer).await?;
        }
        if is_left {
            self.link.settling.take_over(lanes, &self.stop).await?;
            return Ok(Outcome::Left);
        }
        let mut checkpoint = checkpoint.clone();
        for (lane, closing) in lanes.iter().zip(&closing) {
            lane.record_commit(*closing, self.link.lanes.key(&lane.name), &mut checkpoint);
        }
        if self.fence > Timestamp::ZERO && upto >= self.fence {
            checkpoint.deletes.push(fence_key(&self.task));
        }
        self.commit(checkpoint).await?;
        tracing::debug!(task = %self.task, %upto, "window committed");
        let (link, stop, observer) = (&self.link, &self.stop, &*self.observer);
        let ticks = lanes.iter_mut().zip(&closing).map(|(lane, closing)| async move {
            lane.mark_committed(*closing);
            link.ticker.tick(lane, *closing, stop, observer).await
        });
        try_join_all(ticks).await?;
        Ok(Outcome::Delivered(plans))
    }

    fn records(&self) -> TaskRecords<'_> {
        self.link.records().of_task(&self.task)
    }

    async fn commit(&self, transaction: Transaction) -> Result<()> {
        let silent = || "a transaction has no answer of the task store".to_owned();
        overdue::tell(&*self.observer, silent, self.records().commit(transaction)).await
    }

    /// Sends the ticks of windows that are committed but not ticked, including commits whose
    /// outcome was unknown: a drop that waits for the tick must find its rows in place.
    async fn tick_due(&self) -> Result<()> {
        for lane in self.link.lanes.all() {
            let mut held = lane.lock().await;
            if held.is_open() {
                let key = self.link.lanes.key(&held.name);
                if let Some(record) = self.link.records().load(&key).await? {
                    held.refresh(&record);
                }
            }
            if held.state.tick_due && !held.is_open() {
                let tick = held.state.last_tick;
                self.link.ticker.tick(&mut held, tick, &self.stop, &*self.observer).await?;
            }
        }
        Ok(())
    }

    async fn held_open(&self) -> Vec<LockedLane> {
        let mut open = Vec::new();
        for lane in self.link.lanes.all() {
            let held = lane.lock().await;
            if held.is_open() {
                open.push(held);
            }
        }
        open
    }

    /// Locks the lanes of a window, all or none, in one order for all tasks. A lane on which
    /// another task has a window open is waited for; then it is taken.
    async fn hold(&self, names: &[Arc<str>]) -> Result<Vec<LockedLane>> {
        'again: loop {
            let mut lanes = Vec::with_capacity(names.len());
            for name in names {
                let held = self.stop.bounded(self.link.lanes.get(name).lock()).await?;
                if held.state.open.as_ref().is_some_and(|open| open.task != self.task) {
                    let is_abandoned = self.link.settling.abandoned(&held).is_some();
                    drop((held, lanes));
                    if is_abandoned {
                        self.link.settling.take_abandoned(&self.stop, &*self.observer).await?;
                    }
                    self.stop.bounded(tokio::time::sleep(ASK_AGAIN)).await?;
                    continue 'again;
                }
                lanes.push(held);
            }
            return Ok(lanes);
        }
    }

    /// The lanes of a window left open must still be ours: one that was taken meanwhile has been
    /// ticked, and its stretch needs the fence that a new start reads.
    fn check_replay(&self, lanes: &[LockedLane]) -> Result<()> {
        let ours =
            |held: &LockedLane| held.state.open.as_ref().is_some_and(|o| o.task == self.task);
        match lanes.iter().find(|held| self.replaying.contains(&held.name) && !ours(held)) {
            None => Ok(()),
            Some(_) => Err(Error::transient("a lane was taken while its window was being re-read")),
        }
    }

    fn plans(
        &self,
        lanes: &[LockedLane],
        by_lane: &BTreeMap<Arc<str>, Vec<&Routed>>,
    ) -> Result<Vec<Plan>> {
        let call_bytes = self.link.limits.call_bytes;
        let each = lanes.iter().zip(by_lane.values());
        each.map(|(held, messages)| {
            let fence = Fence { upto: self.fence, after: held.state.committed };
            plan(&held.name, messages, held.floor(), fence, call_bytes)
        })
        .collect()
    }

    /// For how long rows are held back, because the source's clock is ahead of the target's.
    async fn ahead(&self, highest: Option<Timestamp>) -> Result<Option<Duration>> {
        let Some(highest) = highest else {
            return Ok(None);
        };
        let clock = self.ask(|| self.link.clock.now()).await?.plus_ms(AHEAD_MS);
        Ok((clock < highest).then(|| Duration::from_millis(highest.ms() - clock.ms() + 1)))
    }

    async fn wait(&self, why: &str, time: Duration) -> Result<()> {
        self.observer.event(Event::Waiting(Some(why)));
        self.stop.bounded(tokio::time::sleep(time)).await?;
        self.observer.event(Event::Waiting(None));
        Ok(())
    }

    async fn open(
        &self,
        lanes: &mut [LockedLane],
        closing: &[Timestamp],
        upto: Timestamp,
    ) -> Result<()> {
        let mut opened = Transaction::default();
        let only = self.link.proxy.last_known();
        let mut windows = Vec::with_capacity(lanes.len());
        for (lane, closing) in lanes.iter().zip(closing) {
            let (task, closing, since) = (self.task.clone(), *closing, Instant::now());
            let open = Open { task, closing, upto, proxy: lane.proxy_of_window(only), since };
            lane.record_open(&open, self.link.lanes.key(&lane.name), &mut opened);
            windows.push(open);
        }
        self.commit(opened).await?;
        for (lane, open) in lanes.iter_mut().zip(windows) {
            lane.mark_open(open);
        }
        Ok(())
    }

    /// Sends the calls of a lane one after the other, each until it is answered: what has landed is
    /// always a prefix.
    async fn send(&self, calls: &[ReplicateCall], window: &[LockedLane]) -> Result<Sent> {
        let mut sent = Sent::default();
        for call in calls {
            let mut backoff = Backoff::new(&*self.observer, self.link.limits.backoff_max);
            loop {
                let silent = || {
                    let channel = &call.pchannel;
                    format!("a call that writes to channel {channel} has no answer of the target")
                };
                let answer = overdue::tell(&*self.observer, silent, self.link.calls.make(call));
                let error = match self.stop.bounded(answer).await? {
                    Ok(()) => break,
                    Err(CallError::Refused(e)) => e,
                    Err(CallError::Unanswered(e)) => {
                        sent.is_unanswered = true;
                        self.observer.event(Event::Counted(Noted::UnansweredCall, 1));
                        e
                    }
                };
                if error.kind == Kind::Permanent {
                    return Err(error);
                }
                tracing::warn!(lane = %call.pchannel, error = ?error, "replicate call failed");
                if self.is_to_leave(window).await? {
                    return Ok(Sent { is_left: true, ..sent });
                }
                self.stop.bounded(backoff.pause(&error)).await?;
            }
            self.observer.event(Event::Called("ReplicateMessage"));
        }
        Ok(sent)
    }

    /// Whether a window that can't be sent has kept others from its lanes for long enough, although
    /// the target answers. One that does not answer keeps everybody waiting, and nobody's rows have
    /// to be fenced for it.
    async fn is_to_leave(&self, window: &[LockedLane]) -> Result<bool> {
        let is_old = window.iter().any(|lane| self.link.settling.abandoned(lane).is_some());
        if !is_old || !window.iter().any(LockedLane::is_wanted) {
            return Ok(false);
        }
        let clock = timeout(ASK_MAX, self.link.target.clock());
        Ok(matches!(self.stop.bounded(clock).await?, Ok(Ok(_))))
    }

    /// Asks for the target's clock until it is told.
    async fn ask<T, F: Future<Output = Result<T>>>(&self, clock: impl Fn() -> F) -> Result<T> {
        let silent = || "the question for its clock has no answer of the target".to_owned();
        overdue::tell(&*self.observer, silent, self.retry(clock)).await
    }

    async fn retry<T, F: Future<Output = Result<T>>>(&self, work: impl Fn() -> F) -> Result<T> {
        retry(&self.stop, &*self.observer, self.link.limits.backoff_max, work).await
    }

    fn report(&self, messages: &[Routed], plans: &[Plan]) {
        let (restamped, fenced) =
            plans.iter().fold((0, 0), |(r, f), plan| (r + plan.restamped, f + plan.fenced));
        for (noted, count) in [(Noted::Restamped, restamped), (Noted::Fenced, fenced)] {
            if count > 0 {
                self.observer.event(Event::Counted(noted, count));
            }
        }
        report_written(&*self.observer, messages);
    }
}
