//! What a task is given: its definition, the ports to the outside and the observer.
//! Never opens any of them.

use crate::destination::Destination;
use crate::error::Result;
use crate::observer::{Event, Noted, Observer};
use crate::overdue;
use crate::ports::{Catalog, Ddl, Source};
use crate::records::target_records::TaskRecords;
use crate::task::Task;
use milvus_wire::timestamp::Timestamp;
use std::sync::Arc;

/// The ports of a task.
#[derive(Clone)]
pub struct Ports {
    /// The queue of the source.
    pub source: Arc<dyn Source>,
    /// The metadata of the source.
    pub catalog: Arc<dyn Catalog>,
    /// Where changes go. It also has the store of the task's records.
    pub destination: Destination,
    /// Who listens.
    pub observer: Arc<dyn Observer>,
}

/// A task with its ports.
#[derive(Clone)]
pub(crate) struct Context {
    /// The task.
    pub(crate) task: Arc<Task>,
    /// Its ports.
    pub(crate) ports: Ports,
}

impl Context {
    /// The records of the task.
    pub(crate) fn records(&self) -> TaskRecords<'_> {
        self.ports.destination.records().of_task(&self.task.id)
    }

    /// Asks the destination for a request, if it takes requests of that kind. A request that may
    /// have been carried out already is asked for again with the same outcome.
    pub(crate) async fn ask(&self, request: &Ddl, at: Timestamp) -> Result<()> {
        let destination = &self.ports.destination;
        if !destination.takes(request) {
            return Ok(());
        }
        let (name, what) = (request.name(), request.what());
        let silent = || format!("the request {name} {what} has no answer of the target");
        overdue::tell(&*self.ports.observer, silent, destination.apply(request, at)).await?;
        self.ports.observer.event(Event::Called(name));
        tracing::info!(task = %self.task.id, request = name, what, %at, "target changed");
        Ok(())
    }

    /// Counts something noteworthy once.
    pub(crate) fn count(&self, noted: Noted<'_>) {
        self.ports.observer.event(Event::Counted(noted, 1));
    }
}
