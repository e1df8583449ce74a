//! The metadata of a source Milvus in etcd. Never writes to it. The store in etcd uses only its
//! connection, as does `replica_setting`, the one setting of a target that a promotion writes.
//!
//! [`options`] say how to reach it, `connection` asks one of its `members` and reconnects, `fault`
//! says what an error means, `listing` reads in pages.
//! `collections` reads collections and partitions, `serving` their indexes, load state and aliases,
//! `roles` the rights of users. `watch` reports changes. `cluster` is what all of these share.

mod cluster;
mod collections;
mod connection;
mod fault;
mod listing;
mod members;
mod options;
mod record;
mod replica_setting;
mod roles;
mod serving;
mod transaction;
mod watch;

pub(crate) use connection::{Connection, Repeat};
pub(crate) use listing::list;
pub use members::{EtcdMember, EtcdMembers};
pub use options::EtcdOptions;
pub use replica_setting::ReplicaSetting;
pub(crate) use transaction::{Answer, transact};

use async_trait::async_trait;
use cluster::Cluster;
use milvus_wire::catalog::{Collection, Partition};
use milvus_wire::ids::CollectionId;
use milvus_wire::roles::Roles;
use milvus_wire::serving::{Alias, Serving};
use replication::error::Result;
use replication::ports::{Catalog, CatalogEvent, Snapshot};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// The metadata of one source Milvus.
pub struct Etcd {
    cluster: Arc<Cluster>,
    watcher: JoinHandle<()>,
}

impl Etcd {
    /// Checks the options and begins to watch in the background; needs a Tokio runtime.
    pub fn new(options: EtcdOptions) -> Result<Self> {
        let cluster = Arc::new(Cluster::new(options)?);
        let watcher = tokio::spawn(watch::forever(cluster.clone()));
        Ok(Self { cluster, watcher })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

#[async_trait]
impl Catalog for Etcd {
    async fn snapshot(&self) -> Result<Snapshot> {
        collections::snapshot(&self.cluster).await
    }

    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>> {
        collections::collection(&self.cluster, id).await
    }

    async fn partitions(&self, id: CollectionId) -> Result<Vec<Partition>> {
        collections::partitions(&self.cluster, id).await
    }

    async fn serving(&self, id: CollectionId) -> Result<Serving> {
        serving::serving(&self.cluster, id).await
    }

    async fn aliases(&self) -> Result<Vec<Alias>> {
        serving::aliases(&self.cluster).await
    }

    async fn roles(&self) -> Result<Roles> {
        roles::roles(&self.cluster).await
    }

    fn changes(&self) -> broadcast::Receiver<CatalogEvent> {
        self.cluster.events.subscribe()
    }
}
