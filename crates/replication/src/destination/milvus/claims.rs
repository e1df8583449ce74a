//! Which task of a target has which collection. Tasks share a target by the names that they select.
//! A rename takes a collection from one selection to another; the collection stays with the task
//! that has it, so that its rows are not written twice. Never asks the target.

use crate::error::Result;
use crate::records::target_records::TargetRecords;
use crate::sync::lock;
use milvus_wire::ids::CollectionId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;

/// The claims on a target.
pub(crate) struct Claims {
    address: String,
    records: Arc<TargetRecords>,
    /// What tasks have stored is read once: after that only this process adds to it (`lease`).
    read: OnceCell<()>,
    tasks: Mutex<BTreeMap<CollectionId, String>>,
}

impl Claims {
    /// The claims on the target with this address. Reads nothing yet.
    pub(super) fn new(address: &str, records: Arc<TargetRecords>) -> Self {
        let (read, tasks) = (OnceCell::new(), Mutex::default());
        Self { address: address.to_owned(), records, read, tasks }
    }

    /// Claims a collection of the source for a task, unless another task has it. Returns whether it
    /// is the task's.
    pub(crate) async fn take(&self, task: &str, id: CollectionId) -> Result<bool> {
        let is_free = !self.is_anothers(task, id).await?;
        if is_free {
            lock(&self.tasks).insert(id, task.to_owned());
        }
        Ok(is_free)
    }

    /// Whether another task has a collection of the source.
    pub(crate) async fn is_anothers(&self, task: &str, id: CollectionId) -> Result<bool> {
        self.read.get_or_try_init(|| self.read()).await?;
        let other = lock(&self.tasks).get(&id).filter(|other| *other != task).cloned();
        Ok(match other {
            // One that has been dropped, or whose task has been deleted, is nobody's.
            Some(other) => self.records.of_task(&other).collection(id).await?.is_some(),
            None => false,
        })
    }

    async fn read(&self) -> Result<()> {
        for (task, collection) in self.records.collections_of_all_tasks().await? {
            if collection.target == self.address {
                lock(&self.tasks).insert(collection.id, task);
            }
        }
        Ok(())
    }
}
