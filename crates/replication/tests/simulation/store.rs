//! A store in memory that outlives its process, with faults.

use crate::faults::{Fault, Faults};
use async_trait::async_trait;
use replication::error::{Error, Result};
use replication::ports::{Committed, Store, Stored, Transaction};
use std::collections::BTreeMap;
use std::sync::Mutex;

pub(crate) struct Memory {
    faults: Faults,
    records: Mutex<(u64, BTreeMap<String, Stored>)>,
}

impl Memory {
    pub(crate) fn new(faults: Faults) -> Self {
        Self { faults, records: Mutex::default() }
    }

    fn apply(&self, transaction: Transaction) -> Committed {
        let mut guard = self.records.lock().unwrap();
        let (version, records) = &mut *guard;
        let holds = |(key, version): &(String, u64)| {
            records.get(key).map_or(0, |stored| stored.version) == *version
        };
        if !transaction.conditions.iter().all(holds) {
            return Committed::Conflict;
        }
        for (key, value) in transaction.puts {
            *version += 1;
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
        Ok(self.records.lock().unwrap().1.get(key).cloned())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>> {
        self.faults.reading().await?;
        let guard = self.records.lock().unwrap();
        let all = guard.1.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(all.map(|(key, stored)| (key.clone(), stored.clone())).collect())
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        match self.faults.next() {
            Fault::None | Fault::Slow => Ok(self.apply(transaction)),
            Fault::Refuse | Fault::LoseCall => Err(Error::transient("simulated: not stored")),
            Fault::LoseAnswer | Fault::Late => {
                self.apply(transaction);
                Err(Error::transient("simulated: stored, and nobody knows"))
            }
            Fault::CrashBefore => self.faults.die().await,
            Fault::CrashAfter => {
                self.apply(transaction);
                self.faults.die().await
            }
        }
    }

    fn holder(&self) -> &str {
        "simulation"
    }
}
