//! One milvus-cdc per target: a lease on the target's address in the store. Two that write to one
//! target would close each other's windows.
//! Never outlives its store: two stores know nothing of each other.

use crate::error::{Error, Result};
use crate::ports::{Committed, Store, Transaction};
use crate::stored::{decode, encode, load_one};
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// A holder that shows no sign of life for this long has lost its lease.
const LIFE: Duration = Duration::from_secs(15);

/// How often the holder shows one.
pub(crate) const BEAT: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Holder {
    holder: String,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Beat {
    beat: u64,
}

/// The lease of one target.
pub(crate) struct Lease {
    key: String,
    alive: String,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// The version of the holder's record while it is ours.
    version: Option<u64>,
    beat: u64,
    /// Another holder's last sign of life, and since when there was no newer one.
    seen: Option<(u64, Instant)>,
}

impl Lease {
    pub(crate) fn new(address: &str) -> Self {
        let [key, alive] = Self::keys(address);
        Self { key, alive, held: Mutex::default() }
    }

    /// Where it is kept.
    pub(crate) fn keys(address: &str) -> [String; 2] {
        [format!("lease/{address}"), format!("alive/{address}")]
    }

    /// Takes the lease if it is free, ours, or abandoned; a transient error if it is not.
    pub(crate) async fn acquire(&self, store: &dyn Store) -> Result<()> {
        let stored = store.get(&self.key).await?;
        if let Some(stored) = &stored {
            let now: Holder = decode(&self.key, &stored.value)?;
            if now.holder != store.holder() && !self.is_abandoned(store).await? {
                return Err(Error::transient(format!(
                    "another milvus-cdc ({}) writes to this target; stop it, or give one of them \
                     another target",
                    now.holder
                )));
            }
        }
        let holder = Holder { holder: store.holder().to_owned() };
        let transaction = Transaction {
            conditions: vec![(self.key.clone(), stored.map_or(0, |s| s.version))],
            puts: vec![(self.key.clone(), encode(&holder))],
            deletes: Vec::new(),
        };
        let taken = store.commit(transaction).await? == Committed::Yes;
        let version = store.get(&self.key).await?.filter(|_| taken).map(|s| s.version);
        self.lock().version = version;
        version.map(|_| ()).ok_or_else(|| Error::transient("the lease on the target is contended"))
    }

    async fn is_abandoned(&self, store: &dyn Store) -> Result<bool> {
        let beat: Option<Beat> = load_one(store, &self.alive).await?;
        let beat = beat.map_or(0, |b| b.beat);
        let mut held = self.lock();
        match held.seen {
            Some((seen, since)) if seen == beat => Ok(since.elapsed() > LIFE),
            _ => {
                held.seen = Some((beat, Instant::now()));
                Ok(false)
            }
        }
    }

    /// Shows a sign of life.
    pub(crate) async fn beat(&self, store: &dyn Store) -> Result<()> {
        let beat = {
            let mut held = self.lock();
            held.beat += 1;
            Beat { beat: held.beat }
        };
        let mut transaction = Transaction::default();
        self.guard(&mut transaction)?;
        transaction.puts.push((self.alive.clone(), encode(&beat)));
        commit(store, transaction).await
    }

    /// Makes a transaction fail if the lease is no longer ours.
    pub(crate) fn guard(&self, transaction: &mut Transaction) -> Result<()> {
        let version = self.lock().version.ok_or_else(lost)?;
        transaction.conditions.push((self.key.clone(), version));
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Commits a transaction that carries the lease's condition.
pub(crate) async fn commit(store: &dyn Store, transaction: Transaction) -> Result<()> {
    match store.commit(transaction).await? {
        Committed::Yes => Ok(()),
        Committed::Conflict => Err(lost()),
    }
}

fn lost() -> Error {
    Error::transient("another milvus-cdc has taken over this target")
}
