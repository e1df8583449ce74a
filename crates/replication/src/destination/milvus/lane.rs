//! A lane: one physical channel of the target, the only place where ticks are sent. Its record
//! outlives the process, so that whoever comes next knows what may be in the target's log.
//! Never knows a collection.

use crate::destination::milvus::sight::Sight;
use crate::ports::Transaction;
use crate::records::codec::encode;
use crate::records::keys::{lane_key, lane_prefix};
use crate::sync::lock;
use milvus_wire::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

/// How far beyond an idle tick the record is written ahead, so that not every tick costs a write.
/// What a restart restamps for no other reason is at most this much.
const RESERVE_MS: u64 = 2000;

/// What is stored of a lane.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LaneRecord {
    /// The last closing tick: to be sent again after a restart, in case it was not.
    committed: u64,
    /// No tick above it was sent, no stamp above it handed out, except those of `open`.
    reserved: u64,
    /// The window that was begun and not committed.
    open: Option<OpenRecord>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OpenRecord {
    task: String,
    closing: u64,
    upto: u64,
    /// The only proxy that its calls can have gone through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy: Option<i64>,
}

impl LaneRecord {
    /// The record of a channel that had two, without a window, and the windows that were open:
    /// whose rows, up to when.
    pub(super) fn merged(self, other: Self) -> (Self, Vec<(String, Timestamp)>) {
        let both = [self, other];
        let open = both.iter().filter_map(|record| record.open.as_ref());
        let committed = both.iter().map(|record| record.committed);
        let committed = committed.chain(open.clone().map(|open| open.closing)).max();
        let committed = committed.unwrap_or_default();
        let reserved = both.iter().map(|record| record.reserved).max().unwrap_or_default();
        let open = open.map(|open| (open.task.clone(), Timestamp(open.upto))).collect();
        (Self { committed, reserved: reserved.max(committed), open: None }, open)
    }
}

/// A window that was begun: rows of it may be in the target's log, without a tick behind them.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// Whose rows.
    pub(crate) task: String,
    /// At or above every stamp in it.
    pub(crate) closing: Timestamp,
    /// It holds the task's messages up to this source timestamp.
    pub(crate) upto: Timestamp,
    /// The only proxy that calls of it can have gone through; `None`: nobody knows.
    pub(crate) proxy: Option<i64>,
    /// When its owner left it, or when this process first knew of it.
    pub(crate) since: Instant,
}

/// The state of a lane in this process.
#[derive(Debug)]
pub(crate) struct State {
    /// The highest tick that may have been sent.
    pub(crate) last_tick: Timestamp,
    pub(crate) committed: Timestamp,
    pub(crate) reserved: Timestamp,
    pub(crate) open: Option<Open>,
    /// When it was last ticked, or taken up.
    pub(crate) ticked: Instant,
    /// Whether the last tick is still to be sent, or to be sent again.
    pub(crate) tick_due: bool,
    /// Up to which loss of the target its floor is right (`floor`).
    pub(super) sight: u64,
}

/// A lane, locked by whoever sends to it.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: Arc<str>,
    state: Arc<Mutex<State>>,
    /// How many wait for it.
    waiting: Arc<AtomicUsize>,
}

/// A locked lane.
pub(crate) struct LockedLane {
    pub(crate) name: Arc<str>,
    pub(crate) state: OwnedMutexGuard<State>,
    waiting: Arc<AtomicUsize>,
}

impl Lane {
    /// A lane without a record: every stamp will lie above `floor`, which is right as long as the
    /// target stays in `sight`.
    pub(super) fn new(name: Arc<str>, floor: Timestamp, sight: u64) -> Self {
        let (last_tick, committed, reserved) = (floor, Timestamp::ZERO, floor);
        let state = State {
            last_tick,
            committed,
            reserved,
            open: None,
            ticked: Instant::now(),
            tick_due: false,
            sight,
        };
        Self { name, state: Arc::new(Mutex::new(state)), waiting: Arc::default() }
    }

    /// A lane as an earlier run left it. Its last tick has to be sent again, in case it was not.
    pub(super) fn stored(name: Arc<str>, record: &LaneRecord) -> Self {
        let open = record.open.as_ref().map(|open| Open {
            task: open.task.clone(),
            closing: Timestamp(open.closing),
            upto: Timestamp(open.upto),
            proxy: open.proxy,
            since: Instant::now(),
        });
        let state = State {
            last_tick: Timestamp(record.reserved.max(record.committed)),
            committed: Timestamp(record.committed),
            reserved: Timestamp(record.reserved.max(record.committed)),
            open,
            ticked: Instant::now(),
            tick_due: record.committed > 0,
            sight: 0,
        };
        Self { name, state: Arc::new(Mutex::new(state)), waiting: Arc::default() }
    }

    pub(crate) async fn lock(&self) -> LockedLane {
        let _waits = Waits::new(&self.waiting);
        self.locked(self.state.clone().lock_owned().await)
    }

    /// The lane, if nobody sends to it now.
    pub(crate) fn try_lock(&self) -> Option<LockedLane> {
        self.state.clone().try_lock_owned().ok().map(|state| self.locked(state))
    }

    fn locked(&self, state: OwnedMutexGuard<State>) -> LockedLane {
        LockedLane { name: self.name.clone(), state, waiting: self.waiting.clone() }
    }
}

/// Somebody who waits for a lane, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The lanes of one target.
pub(crate) struct Lanes {
    address: String,
    sight: Arc<Sight>,
    lanes: std::sync::Mutex<BTreeMap<Arc<str>, Arc<Lane>>>,
}

impl Lanes {
    /// No lane yet of the target with this address.
    pub(super) fn new(address: &str, sight: Arc<Sight>) -> Self {
        Self { address: address.to_owned(), sight, lanes: std::sync::Mutex::default() }
    }

    /// What names the target.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The lane of a channel; one that carries no collection yet begins at zero.
    pub(crate) fn get(&self, name: &Arc<str>) -> Arc<Lane> {
        let new = || Arc::new(Lane::new(name.clone(), Timestamp::ZERO, self.sight.lost()));
        lock(&self.lanes).entry(name.clone()).or_insert_with(new).clone()
    }

    /// All lanes.
    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        lock(&self.lanes).values().cloned().collect()
    }

    /// Whether a channel has a lane.
    pub(super) fn has(&self, name: &str) -> bool {
        lock(&self.lanes).contains_key(name)
    }

    /// Adds a lane, unless its channel has one.
    pub(super) fn add(&self, lane: Lane) {
        lock(&self.lanes).entry(lane.name.clone()).or_insert_with(|| Arc::new(lane));
    }

    /// Sets the lane of a channel.
    pub(super) fn replace(&self, lane: Lane) {
        lock(&self.lanes).insert(lane.name.clone(), Arc::new(lane));
    }

    /// Prefix of the records of the lanes.
    pub(super) fn prefix(&self) -> String {
        lane_prefix(&self.address)
    }

    /// Key of the record of a lane.
    pub(super) fn key(&self, lane: &str) -> String {
        lane_key(&self.address, lane)
    }
}

impl LockedLane {
    /// Takes up what the store says: a commit whose outcome nobody knew may have happened.
    pub(crate) fn refresh(&mut self, record: &LaneRecord) {
        if record.open.is_none() {
            self.mark_committed(Timestamp(record.committed));
        }
    }

    /// Every stamp of the next window has to lie above it. After a window of one's own was left
    /// open, stamps go on above its closing tick, so that order holds whatever part of it landed.
    pub(crate) fn floor(&self) -> Timestamp {
        let closing = self.state.open.as_ref().map(|open| open.closing);
        self.state.last_tick.max(closing.unwrap_or_default())
    }

    /// Nothing below this is stamped or ticked any more.
    pub(super) fn raise(&mut self, floor: Timestamp, sight: u64) {
        self.state.last_tick = self.state.last_tick.max(floor);
        self.state.sight = sight;
    }

    /// Whether somebody waits for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether rows of an unfinished window may be in the log.
    pub(crate) fn is_open(&self) -> bool {
        self.state.open.is_some()
    }

    /// Step 1 of the protocol: what has to be stored before the first row.
    pub(crate) fn record_open(&self, open: &Open, key: String, transaction: &mut Transaction) {
        let Open { task, closing, upto, proxy, .. } = open;
        let open =
            OpenRecord { task: task.clone(), closing: closing.0, upto: upto.0, proxy: *proxy };
        self.put(key, Some(open), self.state.committed, transaction);
    }

    /// The window was opened: [`LockedLane::record_open`] is durable.
    pub(crate) fn mark_open(&mut self, open: Open) {
        self.state.open = Some(open);
    }

    /// Its owner leaves a window open.
    pub(super) fn mark_left(&mut self) {
        if let Some(open) = &mut self.state.open {
            open.since = Instant::now();
        }
    }

    /// The only proxy that calls of a window can have gone through, if it is opened now, when this
    /// one is the only one.
    pub(crate) fn proxy_of_window(&self, only: Option<i64>) -> Option<i64> {
        match &self.state.open {
            Some(open) => only.filter(|_| open.proxy == only),
            None => only,
        }
    }

    /// Step 3 of the protocol: what is stored when every row is acknowledged.
    pub(crate) fn record_commit(
        &self,
        closing: Timestamp,
        key: String,
        transaction: &mut Transaction,
    ) {
        self.put(key, None, closing, transaction);
    }

    /// The window was committed: [`LockedLane::record_commit`] is durable.
    pub(crate) fn mark_committed(&mut self, closing: Timestamp) {
        self.state.open = None;
        self.state.committed = closing;
        self.state.reserved = self.state.reserved.max(closing);
        self.state.last_tick = self.state.last_tick.max(closing);
        self.state.tick_due = true;
    }

    /// Whether a tick of this height needs the record to be written first.
    pub(crate) fn needs_reserve(&self, tick: Timestamp) -> bool {
        tick > self.state.reserved
    }

    /// What is stored ahead of ticks that go with no rows.
    pub(crate) fn record_reserve(
        &self,
        tick: Timestamp,
        key: String,
        transaction: &mut Transaction,
    ) {
        let reserved = tick.plus_ms(RESERVE_MS).0;
        let committed = self.state.committed.0;
        let record = LaneRecord { committed, reserved, open: None };
        transaction.puts.push((key, encode(&record)));
    }

    /// [`LockedLane::record_reserve`] is durable.
    pub(crate) fn mark_reserved(&mut self, tick: Timestamp) {
        self.state.reserved = self.state.reserved.max(tick.plus_ms(RESERVE_MS));
    }

    /// A tick was answered.
    pub(crate) fn mark_tick_answered(&mut self) {
        self.state.ticked = Instant::now();
        self.state.tick_due = false;
    }

    /// A tick is about to be sent: from now on it may be in the log, whatever becomes of the call,
    /// so no stamp may lie below it.
    pub(crate) fn mark_tick_sent(&mut self, tick: Timestamp) {
        self.state.last_tick = self.state.last_tick.max(tick);
        self.state.tick_due = true;
    }

    fn put(
        &self,
        key: String,
        open: Option<OpenRecord>,
        committed: Timestamp,
        transaction: &mut Transaction,
    ) {
        let reserved = self.state.reserved.max(committed).0;
        let record = LaneRecord { committed: committed.0, reserved, open };
        transaction.puts.push((key, encode(&record)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::read_and_written_again;

    /// A call of the window may be in the hands of the first proxy, whichever is the only one now.
    #[tokio::test]
    async fn a_window_that_two_proxies_had_belongs_to_none() {
        let mut lane = Lane::new("t-dml_0".into(), Timestamp(5), 1).lock().await;
        assert_eq!(lane.proxy_of_window(Some(1)), Some(1), "it is opened now");
        assert_eq!(lane.proxy_of_window(None), None);
        let (task, closing, upto, since) = ("t".into(), Timestamp(9), Timestamp(8), Instant::now());
        lane.mark_open(Open { task, closing, upto, proxy: Some(1), since });
        assert_eq!(lane.proxy_of_window(Some(1)), Some(1), "it is sent again");
        for now in [Some(2), None] {
            assert_eq!(lane.proxy_of_window(now), None, "{now:?}");
        }
        lane.mark_committed(Timestamp(9));
        assert_eq!(lane.proxy_of_window(Some(2)), Some(2), "the next one");
    }

    #[test]
    fn what_earlier_versions_stored_of_lanes_is_written_the_same() {
        let lanes: Vec<LaneRecord> = read_and_written_again("lane");
        assert!(lanes.iter().any(|lane| lane.open.is_some()));
        assert!(lanes.iter().any(|lane| lane.open.is_none()));
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;
    use crate::written::read_or_refused;

    #[test]
    fn any_bytes_are_a_record_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            read_or_refused::<LaneRecord>(bytes);
        });
    }
}
