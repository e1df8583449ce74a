//! A store of which it is known how its last write ended: one that can be read may still be full.
//! Never writes anything by itself, and never repeats a write.

use async_trait::async_trait;
use replication::error::Result;
use replication::ports::{Committed, Store, Stored, Transaction};
use std::sync::{Arc, Mutex, PoisonError};

/// A store, watched.
pub(crate) struct LastWrite {
    store: Arc<dyn Store>,
    fault: Mutex<Option<String>>,
}

impl LastWrite {
    /// Nothing has been written yet.
    pub(crate) fn of(store: Arc<dyn Store>) -> Self {
        Self { store, fault: Mutex::default() }
    }

    /// Why the last write failed; `None` if it did not.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Store for LastWrite {
    async fn get(&self, key: &str) -> Result<Option<Stored>> {
        self.store.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>> {
        self.store.list(prefix).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        let committed = self.store.commit(transaction).await;
        let fault = committed.as_ref().err().map(|error| error.what.clone());
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        committed
    }

    fn holder(&self) -> &str {
        self.store.holder()
    }
}
