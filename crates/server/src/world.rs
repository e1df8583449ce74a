//! What the service needs from outside, as traits: made for real in `compose`, scripted in tests.
//! Never names a concrete client.

use crate::tasks::TaskRecord;
use async_trait::async_trait;
use replication::context::Ports;
use replication::error::{Error, Result};
use replication::ports::{Catalog, Sink, Source, Store, Target};
use replication::run;
use replication::task::Task;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Everything outside.
#[derive(Clone)]
pub struct World {
    /// Tasks, checkpoints, lanes; of a dry run a copy.
    pub store: Arc<dyn Store>,
    /// The queue of the source.
    pub source: Arc<dyn Source>,
    /// The metadata of the source.
    pub catalog: Arc<dyn Catalog>,
    /// Makes clients of targets.
    pub targets: Arc<dyn Targets>,
    /// Runs a task.
    pub path: Arc<dyn DataPath>,
}

/// Makes the client of what a task writes to, by what its record says.
pub trait Targets: Send + Sync {
    /// A client; connects when it is used, not here.
    fn open(&self, task: &TaskRecord) -> Result<Client>;
}

/// A client of what a task writes to.
pub enum Client {
    /// A Milvus.
    Milvus(Arc<dyn Target>),
    /// A log of changes.
    Log(Arc<dyn Sink>),
}

/// The way of a row.
#[async_trait]
pub trait DataPath: Send + Sync {
    /// See [`replication::run::run`].
    async fn run(&self, task: Task, ports: Ports, stop: CancellationToken) -> Error;
}

/// The real one.
pub struct RealPath;

#[async_trait]
impl DataPath for RealPath {
    async fn run(&self, task: Task, ports: Ports, stop: CancellationToken) -> Error {
        run::run(task, ports, stop).await
    }
}
