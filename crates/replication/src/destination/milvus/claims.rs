//! Which task of a target has which collection. Tasks share a target by the names that they select, and
//! a rename takes a collection from one selection to another; it stays with the task that has it, so that
//! its rows are not written twice. Never asks the target.

use crate::error::Result;
use crate::ports::Store;
use crate::records::checkpoint::Covered;
use crate::records::codec::decode;
use crate::records::keys::collection_key;
use crate::sync::lock;
use milvus_wire::ids::CollectionId;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::OnceCell;

/// The claims on a target.
#[derive(Default)]
pub(crate) struct Claims {
    /// What tasks have stored, read once: after that only this process adds to it (`lease`).
    read: OnceCell<()>,
    held: Mutex<BTreeMap<CollectionId, String>>,
}

impl Claims {
    /// Whether a collection of the source may be the task's on the target with this address: it is
    /// from now on, unless another task has it.
    pub(crate) async fn take(
        &self,
        store: &dyn Store,
        address: &str,
        (task, id): (&str, CollectionId),
    ) -> Result<bool> {
        let is_free = !self.is_anothers(store, address, (task, id)).await?;
        if is_free {
            lock(&self.held).insert(id, task.to_owned());
        }
        Ok(is_free)
    }

    /// Whether another task has a collection of the source.
    pub(crate) async fn is_anothers(
        &self,
        store: &dyn Store,
        address: &str,
        (task, id): (&str, CollectionId),
    ) -> Result<bool> {
        self.read.get_or_try_init(|| self.read(store, address)).await?;
        let other = lock(&self.held).get(&id).filter(|other| *other != task).cloned();
        Ok(match other {
            // One that has been dropped, or whose task has been deleted, is nobody's.
            Some(other) => store.get(&collection_key(&other, id)).await?.is_some(),
            None => false,
        })
    }

    async fn read(&self, store: &dyn Store, address: &str) -> Result<()> {
        for (key, stored) in store.list("collection/").await? {
            let covered: Covered = decode(&key, &stored.value)?;
            let task = key.split('/').nth(1).unwrap_or_default();
            if covered.target == address {
                lock(&self.held).insert(covered.id, task.to_owned());
            }
        }
        Ok(())
    }
}
