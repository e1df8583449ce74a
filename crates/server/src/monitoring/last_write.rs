//! A store of which it is known how its last write ended: one that can be read may still be full.
//! Never repeats a write.

use async_trait::async_trait;
use replication::error::Result;
use replication::ports::{Committed, Store, Stored, Transaction};
use std::sync::{Arc, Mutex, PoisonError};

/// A record that is there for a moment, to find out whether the store can be written again.
const PROBE: &str = "probe";

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

    /// Whether the store can be written. After a write that failed another one is tried, because
    /// nobody may have anything to write any more.
    pub(crate) async fn check(&self) -> Result<()> {
        if self.fault().is_none() {
            return Ok(());
        }
        let puts = vec![(PROBE.to_owned(), Vec::new())];
        self.commit(Transaction { puts, ..Transaction::default() }).await?;
        let deletes = vec![PROBE.to_owned()];
        self.commit(Transaction { deletes, ..Transaction::default() }).await.map(drop)
    }

    fn fault(&self) -> Option<String> {
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
