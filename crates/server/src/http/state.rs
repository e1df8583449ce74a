//! What every handler holds. Never anything that could start or stop a task by itself.

use crate::lag::Lag;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::supervisor::Desk;
use crate::tasks::Book;
use crate::telemetry::LogLevel;
use replication::ports::{Catalog, Source};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
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
    /// The metadata of the source, for readiness.
    pub catalog: Arc<dyn Catalog>,
    /// The op channel's topic.
    pub op_channel: String,
    /// Changes what is logged.
    pub log_level: LogLevel,
    /// Bounds.
    pub limits: ApiLimits,
    /// One permit per request that is worked on.
    pub permits: Semaphore,
    /// Requests that go on although their client has gone.
    pub requests: TaskTracker,
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
