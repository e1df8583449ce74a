//! How far each task is behind its source, in seconds: the newest timestamp at the end of the
//! source's queue minus the last tick that the target acknowledged, per task and channel.
//! Never shows too small a lag: while the end can't be read, the time since the last success is
//! added, and a paused task falls behind like any other. Never disturbs the reading of a task.

use crate::monitoring::live::{Live, LiveTask};
use crate::monitoring::metrics::Metrics;
use bytes::Bytes;
use milvus_wire::message;
use milvus_wire::timestamp::Timestamp;
use replication::ports::Source;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Ticks come every 200 ms. Users would notice a figure that is older than this.
const PERIOD: Duration = Duration::from_secs(2);

/// How long reading the end of one channel may take; other channels wait meanwhile.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// So many of the newest entries include a tick or a row, and either has the time of the end.
/// More would mean megabytes per look where there are many rows.
const ENTRIES: usize = 4;

/// How many ends are read at a time.
const PROBES_AT_ONCE: usize = 4;

/// The end of one channel.
#[derive(Clone, Copy, Debug)]
struct End {
    newest: Timestamp,
    read_at: Instant,
    failing: bool,
}

/// The lag of one channel of a task.
#[derive(Clone, Debug)]
pub(crate) struct ChannelLag {
    /// The source's channel.
    pub channel: String,
    /// The last tick read.
    pub read: Timestamp,
    /// The last tick acknowledged by the target.
    pub acknowledged: Timestamp,
    /// The newest timestamp at the queue's end, if it was ever read.
    pub newest: Option<Timestamp>,
    /// How long ago the end was read.
    pub looked: Option<Duration>,
    /// Seconds behind; `None` if nothing is known yet.
    pub lag: Option<f64>,
}

/// The ends of all channels, shared by the tasks that read them.
pub(crate) struct Lag {
    source: Arc<dyn Source>,
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    ends: Mutex<HashMap<String, End>>,
}

impl Lag {
    /// Nothing is read before [`Self::watch`] runs.
    pub(crate) fn new(source: Arc<dyn Source>, live: Arc<Live>, metrics: Arc<Metrics>) -> Self {
        Self { source, live, metrics, ends: Mutex::default() }
    }

    /// Looks at the ends of all channels of all tasks every few seconds until `stop`.
    pub(crate) async fn watch(&self, stop: CancellationToken) {
        let mut timer = tokio::time::interval(PERIOD);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = timer.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    /// Reads the end of every channel once, then updates the metrics.
    async fn look(&self) {
        use futures::StreamExt;
        let tasks = self.live.all();
        let channels: BTreeSet<String> =
            tasks.iter().flat_map(|(_, task)| task.facts().channels.into_keys()).collect();
        self.forget_all_but(&channels);
        futures::stream::iter(&channels)
            .for_each_concurrent(PROBES_AT_ONCE, |channel| self.probe(channel))
            .await;
        for (id, task) in &tasks {
            for gone in task.drop_unconfirmed() {
                let _ = self.metrics.lag_seconds.remove_label_values(&[id, &gone]);
            }
            for channel in self.by_channel(task) {
                if let Some(lag) = channel.lag {
                    let labels = [id.as_str(), channel.channel.as_str()];
                    self.metrics.lag_seconds.with_label_values(&labels).set(lag);
                }
            }
        }
    }

    /// The lag of each channel of a task.
    pub(crate) fn by_channel(&self, task: &LiveTask) -> Vec<ChannelLag> {
        let ends = self.lock();
        let channels = task.facts().channels.into_iter();
        channels
            .map(|(channel, ticks)| {
                let end = ends.get(&channel).filter(|e| e.newest > Timestamp::ZERO);
                let known = ticks.acknowledged > Timestamp::ZERO;
                ChannelLag {
                    lag: known.then(|| seconds_behind(end, ticks.acknowledged)),
                    newest: end.map(|e| e.newest),
                    looked: end.map(|e| e.read_at.elapsed()),
                    read: ticks.read,
                    acknowledged: ticks.acknowledged,
                    channel,
                }
            })
            .collect()
    }

    async fn probe(&self, channel: &str) {
        let newest = tokio::time::timeout(PROBE_MAX, self.source.newest(channel, ENTRIES)).await;
        let readable = matches!(newest, Ok(Ok(_)));
        self.metrics.source_readable.with_label_values(&[channel]).set(i64::from(readable));
        let mut ends = self.lock();
        match newest {
            Ok(Ok(records)) => {
                let newest = records.into_iter().filter_map(|r| time_of(r.payload)).max();
                let end = ends.entry(channel.to_owned()).or_insert(End {
                    newest: Timestamp::ZERO,
                    read_at: Instant::now(),
                    failing: false,
                });
                end.newest = end.newest.max(newest.unwrap_or_default());
                end.read_at = Instant::now();
                end.failing = false;
            }
            failed => {
                if let Some(end) = ends.get_mut(channel) {
                    end.failing = true;
                }
                let reason = match failed {
                    Ok(Err(error)) => error.what,
                    _ => format!("no answer within {PROBE_MAX:?}"),
                };
                tracing::debug!(channel, reason, "the end of a source channel can't be read");
            }
        }
    }

    fn forget_all_but(&self, channels: &BTreeSet<String>) {
        self.lock().retain(|channel, _| {
            let stays = channels.contains(channel);
            if !stays {
                let _ = self.metrics.source_readable.remove_label_values(&[channel]);
            }
            stays
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, End>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds_behind(end: Option<&End>, acknowledged: Timestamp) -> f64 {
    let Some(end) = end else {
        // The source ticks with the clock, so the clock is a substitute for an unread end.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return now.saturating_sub(Duration::from_millis(acknowledged.ms())).as_secs_f64();
    };
    let ms = end.newest.ms().saturating_sub(acknowledged.ms());
    let unread = if end.failing { end.read_at.elapsed() } else { Duration::ZERO };
    ms as f64 / 1000.0 + unread.as_secs_f64()
}

/// The source's time of an entry; `None` if it can't be decoded.
fn time_of(payload: Bytes) -> Option<Timestamp> {
    Some(message::decode(payload).ok()?.timestamp())
}
