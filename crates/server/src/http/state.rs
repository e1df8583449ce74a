//! What every handler can use. Never contains anything that starts or stops a task by itself.

use super::answer::Answer;
use crate::api_tokens::{Denied, Role, Tokens};
use crate::logging::LogLevel;
use crate::monitoring::lag::Lag;
use crate::monitoring::last_write::LastWrite;
use crate::monitoring::live::Live;
use crate::monitoring::metrics::Metrics;
use crate::supervisor::Desk;
use crate::tasks::Book;
use crate::world::Targets;
use axum::http::{HeaderMap, HeaderValue, header};
use replication::ports::{Catalog, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Shared by all requests.
pub(crate) struct ApiState {
    /// The stored tasks.
    pub book: Book,
    /// How the last write to their store ended.
    pub last_write: Arc<LastWrite>,
    /// Where handlers poke the supervisor.
    pub desk: Desk,
    /// What is known of the tasks right now.
    pub live: Arc<Live>,
    /// How far the tasks are behind.
    pub lag: Arc<Lag>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The queue of the source, for readiness.
    pub source: Arc<dyn Source>,
    /// The metadata of the source, for readiness and for what a task covers.
    pub catalog: Arc<dyn Catalog>,
    /// Makes clients of targets, to ask whether one answers.
    pub targets: Arc<dyn Targets>,
    /// Where the source is.
    pub source_address: SourceAddress,
    /// The op channel's topic.
    pub op_channel: String,
    /// Changes what is logged.
    pub log_level: LogLevel,
    /// Who may do what.
    pub tokens: Tokens,
    /// Whether it listens on loopback without TLS and tokens, where everybody may do everything.
    pub only_local: bool,
    /// The last result of a check of readiness.
    pub readiness: Readiness,
    /// Bounds.
    pub limits: ApiLimits,
    /// One permit per request that is worked on.
    pub permits: Semaphore,
    /// Requests in work, which continue even if their client is gone.
    pub requests: TaskTracker,
}

impl ApiState {
    /// What the sender of a request may do.
    pub(super) fn role(&self, headers: &HeaderMap) -> Result<Role, Denied> {
        self.tokens.role(headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes))
    }
}

/// The last result of a check of readiness. Anybody may ask, so one request at a time checks, and
/// the others get its answer.
#[derive(Default)]
pub(crate) struct Readiness {
    pub(super) last: Mutex<Option<(Instant, Answer)>>,
}

/// Where the source is, as it was configured, without a login.
#[derive(Clone, Debug)]
pub(crate) struct SourceAddress {
    /// The kind of its queue.
    pub queue: &'static str,
    /// Its brokers.
    pub queue_address: String,
    /// Its etcd.
    pub catalog_addresses: Vec<String>,
    /// Milvus's `etcd.rootPath`.
    pub catalog_root_path: String,
}

/// Bounds of the API.
#[derive(Clone, Debug)]
pub(crate) struct ApiLimits {
    /// How many tasks there may be.
    pub tasks_max: usize,
    /// The longest name, in bytes.
    pub name_length_max: usize,
    /// How many requests are worked on at a time.
    pub requests_max: usize,
    /// How long a handler waits until a task has stopped.
    pub stop_within: Duration,
}
