//! Listens to one task and turns what happens on its path into metrics and live facts.
//! Never waits and never decides: the path itself calls it.

use crate::monitoring::history::EventKind;
use crate::monitoring::live::{LiveTask, OutOfStep};
use crate::monitoring::metrics::Metrics;
use milvus_wire::timestamp::Timestamp;
use prometheus::{IntCounter, IntGauge};
use replication::observer::{Event, Noted, Observer};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

const READ: &str = "read";
const WRITE: &str = "write";

const RESTARTED: &str = "the target was restarted, and its version may forget then what it has not \
                         flushed";
const FORGOTTEN: &str = "the target was restarted, its version may forget then what it has not \
                         flushed, and the queue no longer has that: compare both sides";

/// The observer of one run of a task.
pub(crate) struct TaskObserver {
    task: String,
    metrics: Arc<Metrics>,
    live: Arc<LiveTask>,
    series: Mutex<Series>,
}

/// The series that this task has used: looking one up by its labels would hash them all each time.
#[derive(Default)]
struct Series {
    ticks: BTreeMap<String, [Option<IntGauge>; 2]>,
    bytes: BTreeMap<String, HashMap<(&'static str, &'static str), IntCounter>>,
    rows: HashMap<i64, HashMap<(&'static str, &'static str), IntCounter>>,
    calls: HashMap<&'static str, IntCounter>,
    lanes: HashMap<String, IntGauge>,
}

impl TaskObserver {
    /// The observer of `task`.
    pub(crate) fn new(task: &str, metrics: Arc<Metrics>, live: Arc<LiveTask>) -> Self {
        Self { task: task.to_owned(), metrics, live, series: Mutex::default() }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Series) -> T) -> T {
        change(&mut self.series.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tick(&self, channel: &str, op: &'static str, tick: Timestamp) {
        let place = usize::from(op == WRITE);
        self.with(|s| {
            let gauges = at(&mut s.ticks, channel);
            let gauge = gauges[place].get_or_insert_with(|| {
                self.metrics.replicate_tt.with_label_values(&[self.task.as_str(), channel, op])
            });
            gauge.set(tick.ms() as i64);
        });
    }

    fn bytes(&self, channel: &str, op: &'static str, kind: &'static str, bytes: u64) {
        self.with(|s| {
            let counters = at(&mut s.bytes, channel);
            let counter = counters.entry((op, kind)).or_insert_with(|| {
                let labels = [self.task.as_str(), channel, op, kind];
                self.metrics.replicate_data_size.with_label_values(&labels)
            });
            counter.inc_by(bytes);
        });
    }

    fn rows(&self, id: i64, name: &str, op: &'static str, kind: &'static str, rows: u64) {
        self.with(|s| {
            let counter = s.rows.entry(id).or_default().entry((op, kind)).or_insert_with(|| {
                let id = id.to_string();
                let labels = [self.task.as_str(), id.as_str(), name, op, kind];
                self.metrics.replicate_data_cnt.with_label_values(&labels)
            });
            counter.inc_by(rows);
        });
    }

    fn read(&self, channel: &str, tick: Timestamp) {
        self.live.with(|facts| {
            if let Some(ticks) = facts.channels.get_mut(channel) {
                ticks.read = ticks.read.max(tick);
                ticks.confirmed = true;
                // Until the target acknowledges something, the task is where it began to read.
                if ticks.acknowledged == Timestamp::ZERO {
                    ticks.acknowledged = tick;
                }
            }
        });
    }

    fn acknowledged(&self, channel: &str, tick: Timestamp) {
        self.live.with(|facts| {
            let ticks = at(&mut facts.channels, channel);
            ticks.confirmed = true;
            if tick > ticks.acknowledged {
                ticks.acknowledged = tick;
                facts.progress += 1;
            }
        });
    }

    fn waiting(&self, reason: Option<&str>) {
        self.metrics
            .task_waiting
            .with_label_values(&[self.task.as_str()])
            .set(i64::from(reason.is_some()));
        let changed = self.live.with(|facts| {
            let changed = facts.waiting.as_deref() != reason;
            facts.waiting = reason.map(str::to_owned);
            changed
        });
        match reason {
            Some(reason) if changed => {
                tracing::warn!(task = %self.task, reason, "task waits");
                self.live.record(EventKind::Waiting, reason);
            }
            None if changed => {
                tracing::info!(task = %self.task, "task no longer waits");
                self.live.record(EventKind::GoesOn, "");
            }
            _ => {}
        }
    }

    fn out_of_step(&self, id: i64, collection: &str, why: Option<(Timestamp, &str)>) {
        let now = why.map(|(since, reason)| OutOfStep {
            collection: collection.to_owned(),
            since,
            reason: reason.to_owned(),
        });
        let (before, number) = self.live.with(|facts| {
            let before = match now.clone() {
                Some(now) => facts.out_of_step.insert(id, now),
                None => facts.out_of_step.remove(&id),
            };
            (before, facts.out_of_step.len())
        });
        let gauge = self.metrics.collections_out_of_step.with_label_values(&[self.task.as_str()]);
        gauge.set(number as i64);
        match now {
            Some(OutOfStep { reason, .. }) => {
                self.live.record(EventKind::OutOfStep, &format!("{collection}: {reason}"));
            }
            None if before.is_some() => self.live.record(EventKind::InStep, collection),
            None => {}
        }
    }

    fn left(&self, channel: &str) {
        self.live.with(|facts| facts.channels.remove(channel));
        self.with(|s| {
            s.ticks.remove(channel);
        });
        for op in [READ, WRITE] {
            // A channel that was never read has no series.
            let _ =
                self.metrics.replicate_tt.remove_label_values(&[self.task.as_str(), channel, op]);
        }
        let _ = self.metrics.lag_seconds.remove_label_values(&[self.task.as_str(), channel]);
    }
}

impl Observer for TaskObserver {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Read { channel, tick, kind, bytes } => {
                self.tick(channel, READ, tick);
                self.bytes(channel, READ, kind, bytes);
                self.read(channel, tick);
            }
            Event::Acknowledged { channel, tick } => {
                self.tick(channel, WRITE, tick);
                self.acknowledged(channel, tick);
            }
            Event::Written { channel, collection_id, collection, kind, rows, bytes } => {
                self.rows(collection_id.0, collection, WRITE, kind, rows);
                self.bytes(channel, WRITE, kind, bytes);
                self.live.with(|facts| facts.progress += 1);
            }
            Event::RowsRead { collection_id, collection, kind, rows } => {
                self.rows(collection_id.0, collection, READ, kind, rows);
            }
            Event::Called(api) => self.with(|s| {
                let counter = s.calls.entry(api).or_insert_with(|| {
                    self.metrics.api_execute_total.with_label_values(&[self.task.as_str(), api])
                });
                counter.inc();
            }),
            Event::Tick { pchannel, tick } => self.with(|s| {
                if !s.lanes.contains_key(pchannel) {
                    let gauge = self.metrics.center_tt.with_label_values(&[pchannel]);
                    s.lanes.insert(pchannel.to_owned(), gauge);
                }
                s.lanes[pchannel].set(tick.ms() as i64);
            }),
            Event::Counted(noted, number) => {
                let labels = [self.task.as_str(), &*noted.name()];
                self.metrics.replicate_events_total.with_label_values(&labels).inc_by(number);
                match noted {
                    Noted::ReadAgain => self.live.record(EventKind::ReadAgain, RESTARTED),
                    Noted::Forgotten => self.live.record(EventKind::Forgotten, FORGOTTEN),
                    _ => {}
                }
            }
            Event::Waiting(reason) => self.waiting(reason),
            Event::OutOfStep { collection_id, collection, why } => {
                self.out_of_step(collection_id.0, collection, why);
            }
            Event::TargetVersion(version) => {
                self.live.with(|facts| version.clone_into(&mut facts.target_version));
            }
            // It may have gone back: the target lacks rows again that it had.
            Event::Joined(channel) => self.live.with(|facts| {
                let ticks = at(&mut facts.channels, channel);
                (ticks.confirmed, ticks.acknowledged) = (true, Timestamp::ZERO);
            }),
            Event::Left(channel) => self.left(channel),
        }
    }
}

/// The entry of a key, without copying the key if it is there.
fn at<'a, V: Default>(map: &'a mut BTreeMap<String, V>, key: &str) -> &'a mut V {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), V::default());
    }
    map.get_mut(key).expect("it was inserted above")
}
