//! The outside systems that the service needs, as traits: `compose` makes the real ones, tests
//! script theirs. Never names a concrete client.

use crate::tasks::TaskRecord;
use async_trait::async_trait;
use connectors::etcd::EtcdMembers;
use replication::context::Ports;
use replication::error::{Error, Result};
use replication::ports::{Catalog, Sink, Source, Store, Target};
use replication::run;
use replication::task::Task;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// All outside systems.
#[derive(Clone)]
pub struct World {
    /// Tasks, checkpoints and lanes; in a dry run a copy of them.
    pub store: Arc<dyn Store>,
    /// The queue of the source.
    pub source: Arc<dyn Source>,
    /// The metadata of the source.
    pub catalog: Arc<dyn Catalog>,
    /// Makes clients of targets.
    pub targets: Arc<dyn Targets>,
    /// Runs a task.
    pub path: Arc<dyn DataPath>,
    /// Which members of the etcds above answer.
    pub members: EtcdMembers,
}

/// Makes the client of what a task writes to, as its record says.
pub trait Targets: Send + Sync {
    /// A client; connects when it is used, not here.
    fn open(&self, task: &TaskRecord) -> Result<TargetClient>;
}

/// A client of what a task writes to.
pub enum TargetClient {
    /// A Milvus.
    Milvus(Arc<dyn Target>),
    /// A log of changes.
    Log(Arc<dyn Sink>),
}

/// Runs the data path of a task.
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
