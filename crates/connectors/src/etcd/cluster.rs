//! One source Milvus in etcd, as its reads and its watch share it. Never asks etcd by itself.

use super::connection::Connection;
use super::options::EtcdOptions;
use milvus_wire::catalog::Collection;
use milvus_wire::ids::{CollectionId, DatabaseId};
use milvus_wire::keys::Keys;
use replication::error::Result;
use replication::ports::CatalogEvent;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Events that a receiver may lag behind; one that lags more lists everything again.
const EVENTS_MAX: usize = 1024;

/// What is needed to read from a source's etcd, and to report its changes.
pub(super) struct Cluster {
    pub(super) connection: Connection,
    pub(super) keys: Keys,
    pub(super) events: broadcast::Sender<CatalogEvent>,
    /// The database under which each collection's record was seen last: it is part of the key.
    homes: Mutex<HashMap<CollectionId, DatabaseId>>,
}

impl Cluster {
    pub(super) fn new(options: EtcdOptions) -> Result<Self> {
        Ok(Self {
            keys: Keys::new(&options.root_path, &options.meta_sub_path),
            connection: Connection::new(options)?,
            events: broadcast::Sender::new(EVENTS_MAX),
            homes: Mutex::default(),
        })
    }

    /// The database under which a collection's record was seen last.
    pub(super) fn home(&self, id: CollectionId) -> Option<DatabaseId> {
        self.homes().get(&id).copied()
    }

    /// Remembers under which databases collections were seen.
    pub(super) fn remember(&self, collections: &[Collection]) {
        let seen = collections.iter().map(|collection| (collection.id, collection.database_id));
        self.homes().extend(seen);
    }

    /// Remembers under which database a collection was seen.
    pub(super) fn remember_home(&self, id: CollectionId, database: DatabaseId) {
        self.homes().insert(id, database);
    }

    fn homes(&self) -> MutexGuard<'_, HashMap<CollectionId, DatabaseId>> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
