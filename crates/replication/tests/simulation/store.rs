//! A store in memory that outlives its process, with faults. One of them is a transaction that is
//! carried out long after its writer was told nothing, as by a member of an etcd that stood still.

use crate::faults::{Fault, Faults};
use async_trait::async_trait;
use replication::error::{Error, Result};
use replication::ports::{Committed, Store, Stored, Transaction, holds};
use replication::records::keys::task_key;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A transaction may come as late as this, whatever its writer has done since.
const LATE_MAX_MS: u64 = 8000;

#[derive(Default)]
struct Records {
    version: u64,
    by_key: BTreeMap<String, Stored>,
    changes: BTreeMap<String, u64>,
}

pub(crate) struct Memory {
    faults: Faults,
    holder: String,
    records: Arc<Mutex<Records>>,
}

impl Memory {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults, holder: "simulation".into(), records: Arc::default() }
    }

    /// The same records for a process of this name.
    pub(crate) fn shared(&self, holder: &str, faults: Faults) -> Self {
        Self { faults, holder: holder.into(), records: self.records.clone() }
    }

    /// Writes down that there is a task: what is stored of one that is not is refused.
    pub(crate) fn add_task(&self, id: &str) {
        let puts = vec![(task_key(id), b"{}".to_vec())];
        self.apply(Transaction { puts, ..Transaction::default() });
    }

    /// How often the record under this key became another one.
    pub(crate) fn changes_of(&self, key: &str) -> u64 {
        self.records.lock().unwrap().changes.get(key).copied().unwrap_or_default()
    }

    fn apply(&self, transaction: Transaction) -> Committed {
        self.records.lock().unwrap().apply(transaction)
    }

    fn apply_late(&self, transaction: Transaction) {
        let (records, after) = (self.records.clone(), self.faults.below(LATE_MAX_MS));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            records.lock().unwrap().apply(transaction);
        });
    }
}

impl Records {
    fn apply(&mut self, transaction: Transaction) -> Committed {
        let Self { version, by_key: records, changes } = self;
        let holds = |(key, version): &(String, u64)| {
            holds(records.get(key).map_or(0, |stored| stored.version), *version)
        };
        if !transaction.conditions.iter().all(holds) {
            return Committed::Conflict;
        }
        for (key, value) in transaction.puts {
            *version += 1;
            if records.get(&key).is_none_or(|before| before.value != value) {
                *changes.entry(key.clone()).or_default() += 1;
            }
            records.insert(key, Stored { value, version: *version });
        }
        for key in transaction.deletes {
            records.remove(&key);
        }
        Committed::Yes
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &str) -> Result<Option<Stored>> {
        self.faults.reading().await?;
        Ok(self.records.lock().unwrap().by_key.get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>> {
        self.faults.reading().await?;
        let guard = self.records.lock().unwrap();
        let all = guard.by_key.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(all.map(|(key, stored)| (key.clone(), stored.clone())).collect())
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        match self.faults.next() {
            Fault::None | Fault::Slow => Ok(self.apply(transaction)),
            Fault::Refuse | Fault::LoseCall => Err(Error::transient("simulated: not stored")),
            Fault::LoseAnswer => {
                self.apply(transaction);
                Err(Error::transient("simulated: stored, and nobody knows"))
            }
            Fault::Late => {
                self.apply_late(transaction);
                Err(Error::transient("simulated: stored later, and nobody knows"))
            }
            Fault::CrashBefore => self.faults.die().await,
            Fault::CrashAfter => {
                self.apply(transaction);
                self.faults.die().await
            }
        }
    }

    fn holder(&self) -> &str {
        &self.holder
    }
}
