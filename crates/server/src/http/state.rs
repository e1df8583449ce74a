//! What every handler holds. Never anything that could start or stop a task by itself.

use super::answer::Answer;
use crate::api_tokens::{Denied, Role, Tokens};
use crate::logging::LogLevel;
use crate::monitoring::lag::Lag;
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
pub struct ApiState {
    /// The stored tasks.
    pub book: Book,
    /// Where the supervisor is poked.
    pub desk: Desk,
    /// What is known of running tasks.
    pub live: Arc<Live>,
    /// How far they are behind.
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
    pub source_place: SourcePlace,
    /// The op channel's topic.
    pub op_channel: String,
    /// Changes what is logged.
    pub log_level: LogLevel,
    /// Who may do what.
    pub tokens: Tokens,
    /// It listens on loopback, where everybody may do everything.
    pub only_local: bool,
    /// What was last found of its readiness.
    pub readiness: Readiness,
    /// Bounds.
    pub limits: ApiLimits,
    /// One permit per request that is worked on.
    pub permits: Semaphore,
    /// Requests that go on although their client has gone.
    pub requests: TaskTracker,
}

impl ApiState {
    /// What the sender of a request may do.
    pub(super) fn role(&self, headers: &HeaderMap) -> Result<Role, Denied> {
        self.tokens.role(headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes))
    }
}

/// What was last found of the readiness. Anybody may ask, so one request at a time looks, and the
/// others get the same answer.
#[derive(Default)]
pub struct Readiness {
    pub(super) last: Mutex<Option<(Instant, Answer)>>,
}

/// Where the source is, as it was configured; no login.
#[derive(Clone, Debug)]
pub struct SourcePlace {
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
pub struct ApiLimits {
    /// How many tasks there may be.
    pub tasks_max: usize,
    /// The longest name, in bytes.
    pub name_length_max: usize,
    /// How many requests are worked on at a time.
    pub requests_max: usize,
    /// How long a handler waits for a task to stop.
    pub stop_within: Duration,
}
