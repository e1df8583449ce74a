//! The metadata of a source Milvus in etcd. Never writes there; the store in etcd uses the connection
//! only.
//!
//! [`options`] say how to reach it, `connection` asks and heals, `listing` reads in pages,
//! `read` makes collections of records, `serving` their indexes, load state and aliases, `roles` who may
//! do what, `watch` tells of changes.

mod connection;
mod listing;
mod options;
mod read;
mod roles;
mod serving;
mod watch;

pub(crate) use connection::Connection;
pub(crate) use listing::{list, reader};
pub use options::EtcdOptions;

use async_trait::async_trait;
use milvus_wire::catalog::{Collection, Partition};
use milvus_wire::ids::{CollectionId, DatabaseId};
use milvus_wire::keys::Keys;
use milvus_wire::roles::Roles;
use milvus_wire::serving::{Alias, Serving};
use replication::error::Result;
use replication::ports::{Catalog, CatalogEvent, Snapshot};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

/// Events that a slow receiver may be behind; then it lists again.
const EVENTS_MAX: usize = 1024;

/// The metadata of one source Milvus.
pub struct Etcd {
    shared: Arc<Shared>,
    watcher: JoinHandle<()>,
}

/// What reads and the watch have in common.
struct Shared {
    connection: Connection,
    keys: Keys,
    /// A collection's record lies under its database's id; this says where it was seen last.
    homes: Mutex<HashMap<CollectionId, DatabaseId>>,
    events: broadcast::Sender<CatalogEvent>,
}

impl Etcd {
    /// Checks the options and begins to watch in the background; needs a Tokio runtime.
    pub fn new(options: EtcdOptions) -> Result<Self> {
        let shared = Arc::new(Shared {
            keys: Keys::new(&options.root_path, &options.meta_sub_path),
            connection: Connection::new(options)?,
            homes: Mutex::default(),
            events: broadcast::Sender::new(EVENTS_MAX),
        });
        let watcher = tokio::spawn(watch::forever(shared.clone()));
        Ok(Self { shared, watcher })
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
        read::snapshot(&self.shared).await
    }

    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>> {
        read::collection(&self.shared, id).await
    }

    async fn partitions(&self, id: CollectionId) -> Result<Vec<Partition>> {
        read::partitions(&self.shared, id).await
    }

    async fn serving(&self, id: CollectionId) -> Result<Serving> {
        serving::serving(&self.shared, id).await
    }

    async fn aliases(&self) -> Result<Vec<Alias>> {
        serving::aliases(&self.shared).await
    }

    async fn roles(&self) -> Result<Roles> {
        roles::roles(&self.shared).await
    }

    fn changes(&self) -> broadcast::Receiver<CatalogEvent> {
        self.shared.events.subscribe()
    }
}
