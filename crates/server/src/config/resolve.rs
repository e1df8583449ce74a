//! The whole configuration, from what was written to what is meant: every check, all faults at
//! once. Never opens a connection; opens files only to see that they can be read.

use super::fault::Faults;
use super::log_level::log_level;
use super::raw::Raw;
use super::reader::Reader;
use super::resolved::{Config, Log};
use super::{api, source, store};
use replication::task::{LateMessages, Limits, Policies, Unsupported};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Below this many KiB a task with many collections can't keep what it reads until a tick comes.
const HELD_KIB_LOW: usize = 64 << 10;

/// Checks everything; `None` if there is any error in `faults`.
pub(super) fn resolve(raw: &Raw, faults: &mut Faults) -> Option<Config> {
    let mut reader = Reader { raw, faults };
    refuse_replicate_id(&mut reader);
    let (store, shared) = store::resolve(&mut reader);
    let config = Config {
        address: address(&mut reader),
        api: api::resolve(&mut reader),
        max_task_num: reader.number("maxTaskNum", 1..=10_000, 100),
        max_name_length: reader.positive("maxNameLength", 1..=65_535, 256),
        requests_max: reader.number("limits.requests", 1..=10_000, 64),
        log: log(&mut reader),
        store,
        shared,
        state_folder: state_folder(&mut reader),
        source: source::resolve(&mut reader),
        backoff_first: seconds(&mut reader, "retry.initBackOff", 1),
        policies: policies(&mut reader),
        dry_run: reader.flag("dryRun"),
        limits: limits(&mut reader),
    };
    reader.faults.errors.is_empty().then_some(config)
}

fn refuse_replicate_id(reader: &mut Reader<'_>) {
    if !reader.text("replicateID").is_empty() {
        reader.wrong(
            "replicateID",
            "not supported: it needs a Milvus of 2.5 whose collections were made with it",
            "remove it and set common.ttMsgEnabled: false on the target",
        );
    }
}

fn address(reader: &mut Reader<'_>) -> String {
    let text = reader.text("address");
    if text.is_empty() {
        return "127.0.0.1:8444".into();
    }
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        reader.wrong(
            "address",
            "not an address to listen on",
            "write host:port, for example 127.0.0.1:8444",
        );
    }
    text
}

fn log(reader: &mut Reader<'_>) -> Log {
    let text = reader.text("logLevel");
    let found = if text.is_empty() { Some("info") } else { log_level(&text) };
    if found.is_none() {
        reader.wrong("logLevel", "not a level", "write one of trace, debug, info, warn, error");
    }
    let format = reader.word("logFormat", &["text", "json"]);
    Log { level: found.unwrap_or("info").into(), json: format == "json" }
}

fn state_folder(reader: &mut Reader<'_>) -> PathBuf {
    let folder = reader.text("metaStoreConfig.stateFolder");
    if folder.is_empty() { "milvus-cdc.state".into() } else { folder.into() }
}

/// The Go tool sends at this limit what it has in memory, so its users often set a small one.
fn held_kib(reader: &mut Reader<'_>, default: usize) -> usize {
    const KEY: &str = "packer.memoryLimit";
    let kib = reader.positive(KEY, 1024..=1 << 30, default);
    if kib < HELD_KIB_LOW {
        let what = "a task stops if it has to keep more than this until a tick comes: leave the \
                    key out, or write at least 65536";
        reader.faults.warn(KEY, what);
    }
    kib
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    let d = Limits::default();
    let keep_alive = time_or_off(reader, "target.keepAlive", 1..=3600, d.keep_alive_after);
    let flush_every = time_or_off(reader, "target.flushEvery", 10..=86_400, d.flush_every);
    let kib = |bytes: usize| bytes >> 10;
    let idle = d.idle_tick.as_millis() as usize;
    let backoff = d.backoff_max.as_secs() as usize;
    Limits {
        round_bytes: reader.number("limits.roundSize", 64..=1 << 20, kib(d.round_bytes)) << 10,
        held_bytes_max: held_kib(reader, kib(d.held_bytes_max)) << 10,
        call_bytes: reader.number("limits.callSize", 16..=64 << 10, kib(d.call_bytes)) << 10,
        settle: reader.time("target.settleTime", 0..=3600, d.settle),
        lane_wait_max: reader.time("target.laneWaitMax", 1..=86_400, d.lane_wait_max),
        idle_tick: Duration::from_millis(reader.positive(
            "sourceConfig.timeTickInterval",
            10..=60_000,
            idle,
        ) as u64),
        keep_alive_after: keep_alive,
        backoff_max: seconds(reader, "retry.maxBackOff", backoff),
        flush_every,
        finish_max: reader.time("limits.finishMax", 0..=600, d.finish_max),
    }
}

/// A time of so many seconds; `None`: it is `off`.
fn time_or_off(
    reader: &mut Reader<'_>,
    key: &'static str,
    range: RangeInclusive<u64>,
    default: Option<Duration>,
) -> Option<Duration> {
    match reader.text(key).to_ascii_lowercase().as_str() {
        "off" | "false" => None,
        "" => default,
        _ => Some(reader.time(key, range, default.unwrap_or_default())),
    }
}

/// A number of seconds up to an hour.
fn seconds(reader: &mut Reader<'_>, key: &'static str, default: usize) -> Duration {
    Duration::from_secs(reader.positive(key, 1..=3600, default) as u64)
}

fn policies(reader: &mut Reader<'_>) -> Policies {
    let unsupported = match reader.word("unsupportedRequests", &["stop", "continue"]).as_str() {
        "continue" => Unsupported::Continue,
        _ => Unsupported::Stop,
    };
    let late = match reader.word("lateMessages", &["continue", "stop"]).as_str() {
        "stop" => LateMessages::Stop,
        _ => LateMessages::Continue,
    };
    Policies { unsupported, late }
}
