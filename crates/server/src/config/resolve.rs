//! From what was written to what is meant: every check of a configuration, all faults at once.
//! Never opens a connection; looks at files only to see that they can be read.

use super::fault::Faults;
use super::keys;
use super::raw::{Raw, Written};
use super::resolved::{Config, Log};
use super::{api, source, store, time};
use replication::task::{Limits, Unsupported};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// What the levels of the Go tool's logger are called here.
const LEVELS: [(&str, &str); 8] = [
    ("trace", "trace"),
    ("debug", "debug"),
    ("info", "info"),
    ("warn", "warn"),
    ("error", "error"),
    ("dpanic", "error"),
    ("panic", "error"),
    ("fatal", "error"),
];

/// Less than this of what a task holds while it waits for a tick is too little for many: KiB.
const HELD_KIB_LOW: usize = 64 << 10;

/// The level that a name means, ours or the Go tool's.
pub fn level(name: &str) -> Option<&'static str> {
    LEVELS.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(name)).map(|(_, ours)| *ours)
}

/// Checks everything; `None` if there is any error in `faults`.
pub(super) fn resolve(raw: &Raw, faults: &mut Faults) -> Option<Config> {
    let mut reader = Reader { raw, faults };
    reader.refuse_replicate_id();
    let (store, shared) = store::resolve(&mut reader);
    let config = Config {
        address: reader.address(),
        api: api::resolve(&mut reader),
        max_task_num: reader.number("maxTaskNum", 1..=10_000, 100),
        max_name_length: reader.positive("maxNameLength", 1..=65_535, 256),
        requests_max: reader.number("limits.requests", 1..=10_000, 64),
        log: reader.log(),
        store,
        shared,
        state_folder: reader.state_folder(),
        source: source::resolve(&mut reader),
        backoff_first: Duration::from_secs(reader.positive("retry.initBackOff", 1..=3600, 1) as u64),
        unsupported: match reader.word("unsupportedRequests", &["stop", "continue"]).as_str() {
            "continue" => Unsupported::Continue,
            _ => Unsupported::Stop,
        },
        dry_run: reader.flag("dryRun"),
        limits: reader.limits(),
    };
    reader.faults.errors.is_empty().then_some(config)
}

/// Reads typed values and collects what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    pub(super) faults: &'a mut Faults,
}

impl Reader<'_> {
    /// A text; empty if it was not set.
    pub(super) fn text(&self, path: &'static str) -> String {
        match self.raw.get(path) {
            Some(Written::One(text)) => text.trim().to_owned(),
            _ => String::new(),
        }
    }

    /// A text that may have blanks at its ends: a password.
    pub(super) fn verbatim(&self, path: &'static str) -> String {
        match self.raw.get(path) {
            Some(Written::One(text)) => text.clone(),
            _ => String::new(),
        }
    }

    /// A list; a single text is split at its commas.
    pub(super) fn list(&self, path: &'static str) -> Vec<String> {
        let split = |text: &String| -> Vec<String> {
            text.split(',').map(|s| s.trim().to_owned()).collect()
        };
        let items = match self.raw.get(path) {
            Some(Written::One(text)) => split(text),
            Some(Written::Many(items)) => items.iter().flat_map(split).collect(),
            _ => Vec::new(),
        };
        items.into_iter().filter(|i| !i.is_empty()).collect()
    }

    pub(super) fn flag(&mut self, path: &'static str) -> bool {
        let text = self.text(path);
        match text.to_ascii_lowercase().as_str() {
            "" | "false" => false,
            "true" => true,
            _ => {
                self.wrong(path, "neither true nor false", "write true or false");
                false
            }
        }
    }

    /// A number within its range.
    pub(super) fn number(
        &mut self,
        path: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> usize {
        let text = self.text(path);
        if text.is_empty() {
            return default;
        }
        match text.parse::<usize>() {
            Ok(n) if range.contains(&n) => n,
            _ => {
                let remedy = format!(
                    "write one from {} to {}, or leave the key out for {default}",
                    range.start(),
                    range.end()
                );
                self.wrong(path, "not a whole number in the range", &remedy);
                default
            }
        }
    }

    /// Like [`Self::number`], but what is zero or less means the default, as in the Go tool.
    pub(super) fn positive(
        &mut self,
        path: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> usize {
        match self.text(path).parse::<i64>() {
            Ok(n) if n <= 0 => default,
            _ => self.number(path, range, default),
        }
    }

    fn time(
        &mut self,
        path: &'static str,
        range: RangeInclusive<u64>,
        default: Duration,
    ) -> Duration {
        let text = self.text(path);
        if text.is_empty() {
            return default;
        }
        match time::read(&text) {
            Some(t) if range.contains(&t.as_secs()) => t,
            _ => {
                let remedy = format!(
                    "write one from {}s to {}s with its unit (ms, s, m, h), or leave the key out for {}",
                    range.start(),
                    range.end(),
                    time::write(default)
                );
                self.wrong(path, "not a time in the range", &remedy);
                default
            }
        }
    }

    /// One of several words, whatever its case; empty if it was not set.
    pub(super) fn word(&mut self, path: &'static str, words: &[&str]) -> String {
        let text = self.text(path);
        if text.is_empty() {
            return text;
        }
        match words.iter().find(|w| w.eq_ignore_ascii_case(&text)) {
            Some(word) => (*word).to_owned(),
            None => {
                self.wrong(
                    path,
                    "not one of the possible values",
                    &format!("write one of {}", words.join(", ")),
                );
                String::new()
            }
        }
    }

    /// The name of a file that can be read; empty if none is given.
    pub(super) fn file(&mut self, path: &'static str) -> PathBuf {
        let name = self.text(path);
        if name.is_empty() {
            return PathBuf::new();
        }
        self.readable(path, &name)
    }

    /// A file that a key names; an error if it can't be read.
    pub(super) fn readable(&mut self, path: &'static str, name: &str) -> PathBuf {
        if let Err(e) = std::fs::File::open(name) {
            self.wrong(
                path,
                &format!("the file can't be read: {e}"),
                "name a file that this user may read",
            );
        }
        name.into()
    }

    /// Reports an error about a key, with its value unless that is secret.
    pub(super) fn wrong(&mut self, path: &'static str, what: &str, remedy: &str) {
        let secret = keys::find(path).is_some_and(|k| k.form.is_secret());
        let value = if secret { String::new() } else { self.text(path) };
        self.faults.error(path, &value, what, remedy);
    }

    fn refuse_replicate_id(&mut self) {
        if !self.text("replicateID").is_empty() {
            self.wrong(
                "replicateID",
                "not supported: it needs a Milvus of 2.5 whose collections were made with it",
                "remove it and set common.ttMsgEnabled: false on the target",
            );
        }
    }

    fn address(&mut self) -> String {
        let text = self.text("address");
        if text.is_empty() {
            return "127.0.0.1:8444".into();
        }
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            self.wrong(
                "address",
                "not an address to listen on",
                "write host:port, for example 127.0.0.1:8444",
            );
        }
        text
    }

    fn log(&mut self) -> Log {
        let text = self.text("logLevel");
        let found = if text.is_empty() { Some("info") } else { level(&text) };
        if found.is_none() {
            self.wrong("logLevel", "not a level", "write one of trace, debug, info, warn, error");
        }
        let format = self.word("logFormat", &["text", "json"]);
        Log { level: found.unwrap_or("info").into(), json: format == "json" }
    }

    fn state_folder(&mut self) -> PathBuf {
        let folder = self.text("metaStoreConfig.stateFolder");
        if folder.is_empty() { "milvus-cdc.state".into() } else { folder.into() }
    }

    /// In the Go tool a limit at which it sends what it holds, and so often a small one.
    fn held_kib(&mut self, default: usize) -> usize {
        const KEY: &str = "packer.memoryLimit";
        let kib = self.positive(KEY, 1024..=1 << 30, default);
        if kib < HELD_KIB_LOW {
            let what = "here a task that has to hold more than this while it waits for a tick stops: \
                        leave the key out, or write at least 65536";
            self.faults.warn(KEY, what);
        }
        kib
    }

    fn limits(&mut self) -> Limits {
        let d = Limits::default();
        let keep_alive = match self.text("target.keepAlive").to_ascii_lowercase().as_str() {
            "off" | "false" => None,
            "" => d.keep_alive_after,
            _ => Some(self.time("target.keepAlive", 1..=3600, Duration::from_secs(10))),
        };
        let kib = |bytes: usize| bytes >> 10;
        let idle = d.idle_tick.as_millis() as usize;
        let backoff = d.backoff_max.as_secs() as usize;
        Limits {
            round_bytes: self.number("limits.roundSize", 64..=1 << 20, kib(d.round_bytes)) << 10,
            held_bytes_max: self.held_kib(kib(d.held_bytes_max)) << 10,
            call_bytes: self.number("limits.callSize", 16..=64 << 10, kib(d.call_bytes)) << 10,
            settle: self.time("target.settleTime", 0..=3600, d.settle),
            lane_wait_max: self.time("target.laneWaitMax", 1..=86_400, d.lane_wait_max),
            idle_tick: Duration::from_millis(self.positive(
                "sourceConfig.timeTickInterval",
                10..=60_000,
                idle,
            ) as u64),
            keep_alive_after: keep_alive,
            backoff_max: Duration::from_secs(
                self.positive("retry.maxBackOff", 1..=3600, backoff) as u64
            ),
            finish_max: self.time("limits.finishMax", 0..=600, d.finish_max),
        }
    }
}
