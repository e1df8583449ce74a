//! The records of one destination and of the tasks on it. A record is written only while the lease
//! on the destination is ours, and a task's record only while the task exists. Never gives out the
//! store or the lease alone, so that no write can go past the lease, and nothing is read while an
//! earlier write may still be carried out.

use crate::error::{Error, Result};
use crate::ports::{Committed, EXISTS, Store, Transaction};
use crate::records::checkpoint::{Loaded, ReplicatedCollection, fence, load};
use crate::records::codec::{decode, load_one};
use crate::records::forms::refuse_newer_below;
use crate::records::identity::{self, Names};
use crate::records::keys;
use crate::records::lease::{self, Lease};
use crate::stop::Stop;
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The records of one destination.
pub(crate) struct TargetRecords {
    address: String,
    store: Arc<dyn Store>,
    lease: Lease,
}

impl TargetRecords {
    /// The records of the destination with this address. Reads and writes nothing yet.
    pub(crate) fn new(address: &str, store: Arc<dyn Store>) -> Self {
        Self { address: address.to_owned(), store, lease: Lease::new(address) }
    }

    /// What names the destination.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The records of one task.
    pub(crate) fn of_task<'a>(&'a self, task: &'a str) -> TaskRecords<'a> {
        TaskRecords { target: self, task }
    }

    /// Takes the lease if it is free, ours or abandoned; otherwise a transient error.
    pub(crate) async fn acquire_lease(&self) -> Result<()> {
        self.lease.acquire(&*self.store).await
    }

    /// Keeps the lease until `stop` or until it is lost, then gives it back. `beside` runs
    /// meanwhile.
    pub(crate) async fn keep_lease(&self, stop: CancellationToken, beside: impl Future) {
        self.lease.keep(&*self.store, &Stop::at_once(stop), beside).await;
    }

    /// Leaves the lease to other services. It may be taken again.
    pub(crate) async fn release_lease(&self) -> Result<()> {
        self.lease.release(&*self.store).await
    }

    /// Gives the lease up for good. Whoever uses these records ends, and is opened anew.
    pub(crate) async fn retire(&self, why: &str) {
        self.lease.retire(&*self.store, why).await;
    }

    /// Why the lease is lost.
    pub(crate) fn lost_error(&self) -> Error {
        self.lease.lost_error()
    }

    /// Whether another milvus-cdc has the lease.
    pub(crate) async fn is_anothers(&self) -> Result<bool> {
        Ok(lease::is_no_others(&*self.store, &self.address).await?.is_none())
    }

    /// The condition under which nobody else writes under another address of this target.
    pub(crate) async fn nobody_writes(&self, address: &str) -> Result<(String, u64)> {
        lease::is_no_others(&*self.store, address).await?.ok_or_else(|| {
            Error::transient(format!(
                "another milvus-cdc still writes to this target as {address}; it stops within \
                 seconds, unless it is of an earlier version: stop that one"
            ))
        })
    }

    /// Which addresses of targets are other addresses of a target.
    pub(crate) async fn names(&self) -> Result<Names> {
        identity::names(&*self.store).await
    }

    /// Whether two addresses were seen to lead to different targets.
    pub(crate) async fn is_apart_from(&self, other: &str) -> Result<bool> {
        Ok(self.store.get(&keys::apart_key(&self.address, other)).await?.is_some())
    }

    /// Whether something may be sent to the destination now.
    pub(crate) fn lease_is_confirmed(&self) -> Result<()> {
        self.lease.confirmed()
    }

    /// Whether another milvus-cdc has taken the lease. It never comes back.
    pub(crate) fn lease_is_lost(&self) -> bool {
        self.lease.is_lost()
    }

    /// Resolves when another milvus-cdc has taken the lease.
    pub(crate) async fn lease_lost(&self) {
        self.lease.lost().await;
    }

    /// The store, for reading: nothing that was written before can change it any more.
    async fn settled(&self) -> Result<&dyn Store> {
        self.lease.settle(&*self.store).await?;
        Ok(&*self.store)
    }

    /// The record under a key, if there is one.
    pub(crate) async fn load<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        load_one(self.settled().await?, key).await
    }

    /// All records whose key begins with `prefix`, by the rest of the key.
    pub(crate) async fn list<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>> {
        let stored = self.settled().await?.list(prefix).await?.into_iter();
        stored
            .map(|(key, stored)| Ok((key[prefix.len()..].to_owned(), decode(&key, &stored.value)?)))
            .collect()
    }

    /// Commits records of the destination itself.
    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<()> {
        match self.lease.try_commit(&*self.store, transaction).await? {
            Committed::Yes => Ok(()),
            Committed::Conflict => Err(Error::transient("somebody else has written to the store")),
        }
    }

    /// Whether a task exists.
    pub(crate) async fn has_task(&self, task: &str) -> Result<bool> {
        Ok(self.settled().await?.get(&keys::task_key(task)).await?.is_some())
    }

    /// The collections of all tasks, whatever their destination: task, id, and the record unless
    /// it can't be read.
    pub(crate) async fn collections_of_all_tasks(
        &self,
    ) -> Result<Vec<(String, CollectionId, Option<ReplicatedCollection>)>> {
        let mut collections = Vec::new();
        for (key, stored) in self.settled().await?.list(keys::COLLECTIONS).await? {
            let names = keys::names_of_collection(&key[keys::COLLECTIONS.len()..]);
            let Some((task, id)) = names else { continue };
            collections.push((task.to_owned(), id, decode(&key, &stored.value).ok()));
        }
        Ok(collections)
    }

    /// Fails if a newer milvus-cdc has written a record whose key begins with `prefix`.
    pub(crate) async fn refuse_newer(&self, prefix: &str) -> Result<()> {
        refuse_newer_below(&*self.store, prefix).await
    }
}

/// The records of one task.
#[derive(Clone, Copy)]
pub(crate) struct TaskRecords<'a> {
    target: &'a TargetRecords,
    task: &'a str,
}

impl TaskRecords<'_> {
    /// Everything stored of the task.
    pub(crate) async fn load_all(&self) -> Result<Loaded> {
        load(self.target.settled().await?, self.task).await
    }

    /// The record of the task's fence, no lower than the one that is stored.
    pub(crate) async fn fence(&self, upto: Timestamp) -> Result<(String, Vec<u8>)> {
        let fence = fence(self.target.settled().await?, self.task, upto).await?;
        Ok((keys::fence_key(self.task), fence))
    }

    /// The record under a key, if there is one.
    pub(crate) async fn load<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.target.load(key).await
    }

    /// All records whose key begins with `prefix`, by the rest of the key.
    pub(crate) async fn list<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>> {
        self.target.list(prefix).await
    }

    /// The record of a collection and its version; `None` if it is none of the task's.
    pub(crate) async fn collection(
        &self,
        id: CollectionId,
    ) -> Result<Option<(ReplicatedCollection, u64)>> {
        let key = keys::collection_key(self.task, id);
        let stored = self.target.settled().await?.get(&key).await?;
        stored.map(|stored| Ok((decode(&key, &stored.value)?, stored.version))).transpose()
    }

    /// All collections of the task.
    pub(crate) async fn collections(&self) -> Result<Vec<ReplicatedCollection>> {
        let listed = self.list(&keys::collection_prefix(self.task)).await?;
        Ok(listed.into_iter().map(|(_, collection)| collection).collect())
    }

    /// Commits a transaction of the task, unless the lease is lost or the task has been deleted: a
    /// later task of the same name would find what is written after that.
    pub(crate) async fn commit(&self, transaction: Transaction) -> Result<()> {
        match self.commit_if(transaction).await? {
            Committed::Yes => Ok(()),
            Committed::Conflict => {
                Err(Error::transient(format!("the task {} was deleted", self.task)))
            }
        }
    }

    /// The same for a transaction with conditions of its own.
    pub(crate) async fn commit_if(&self, mut transaction: Transaction) -> Result<Committed> {
        transaction.conditions.push((keys::task_key(self.task), EXISTS));
        self.target.lease.try_commit(&*self.target.store, transaction).await
    }
}
