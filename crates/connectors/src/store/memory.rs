//! A store in memory, for tests and trials. Never writes to a disk.

use async_trait::async_trait;
use replication::error::Result;
use replication::ports::{Committed, Store, Stored, Transaction, holds};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Records in memory.
pub struct MemoryStore {
    records: Mutex<Records>,
    holder: String,
}

#[derive(Default)]
struct Records {
    by_key: BTreeMap<String, Stored>,
    last_version: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { records: Mutex::default(), holder: uuid::Uuid::new_v4().to_string() }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Stored>> {
        Ok(self.records().by_key.get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>> {
        let records = self.records();
        let from = records.by_key.range(prefix.to_owned()..);
        let matching = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(matching.map(|(key, stored)| (key.clone(), stored.clone())).collect())
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        let mut records = self.records();
        let version = |key: &String| records.by_key.get(key).map_or(0, |stored| stored.version);
        if transaction.conditions.iter().any(|(key, expected)| !holds(version(key), *expected)) {
            return Ok(Committed::Conflict);
        }
        for key in &transaction.deletes {
            records.by_key.remove(key);
        }
        for (key, value) in transaction.puts {
            records.last_version += 1;
            let version = records.last_version;
            records.by_key.insert(key, Stored { value, version });
        }
        Ok(Committed::Yes)
    }

    fn holder(&self) -> &str {
        &self.holder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_memory_store_is_a_store() {
        conformance::store::suite(Arc::new(MemoryStore::new())).await;
    }
}
