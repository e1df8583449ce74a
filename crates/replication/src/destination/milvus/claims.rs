//! Which task of a target has which collection. Tasks share a target by the names that they select.
//! A rename takes a collection from one selection to another; the collection stays with the task
//! that has it, so that its rows are not written twice. Never asks the target.

use crate::error::Result;
use crate::records::identity::Names;
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
    read: OnceCell<Names>,
    tasks: Mutex<BTreeMap<CollectionId, Claim>>,
}

/// A claim on a collection.
#[derive(Clone)]
struct Claim {
    task: String,
    /// Whether the task's record could be read. If not, it may be of another target.
    is_read: bool,
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
            lock(&self.tasks).insert(id, Claim { task: task.to_owned(), is_read: true });
        }
        Ok(is_free)
    }

    /// Whether another task has a collection of the source. Fails if that task's record can't be
    /// read, which holds up no other collection.
    pub(crate) async fn is_anothers(&self, task: &str, id: CollectionId) -> Result<bool> {
        let names = self.read.get_or_try_init(|| self.read()).await?;
        let other = lock(&self.tasks).get(&id).filter(|other| other.task != task).cloned();
        let Some(Claim { task: other, is_read }) = other else { return Ok(false) };
        // One that has been dropped, or whose task has been deleted, is nobody's.
        let stored = self.records.of_task(&other).collection(id).await?;
        Ok(stored
            .is_some_and(|(collection, _)| is_read || names.of(&collection.target) == self.address))
    }

    async fn read(&self) -> Result<Names> {
        let names = self.records.names().await?;
        for (task, id, collection) in self.records.collections_of_all_tasks().await? {
            let mut tasks = lock(&self.tasks);
            match collection {
                Some(collection) if names.of(&collection.target) == self.address => {
                    tasks.insert(id, Claim { task, is_read: true });
                }
                Some(_) => {}
                None => {
                    tasks.entry(id).or_insert(Claim { task, is_read: false });
                }
            }
        }
        Ok(names)
    }
}
