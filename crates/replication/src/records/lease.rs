//! The lease on a target, kept in the store under the address by which the target was known first
//! (`identity`): only one milvus-cdc writes
//! to a target, because two would close each other's windows. A [`Lease`] that was lost stays lost;
//! everything that was built on it is thrown away, and a new lease is taken. Never guards against a
//! milvus-cdc on another store.

use crate::error::{Error, Result};
use crate::ports::{Committed, Store, Transaction};
use crate::records::codec::{decode, encode, load_one};
use crate::records::keys::lease_keys;
use crate::stop::Stop;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A holder that shows no sign of life for this long has lost its lease.
const LIFE: Duration = Duration::from_secs(15);

/// How often the holder shows one.
const BEAT: Duration = Duration::from_secs(5);

/// A holder whose last sign of life is older than this sends nothing, because what it sends has to
/// arrive before another holder may take the lease. One sign of life may fail.
const CONFIRMED_FOR: Duration = Duration::from_secs(12);

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
    state: Mutex<State>,
    lost: CancellationToken,
}

#[derive(Default)]
struct State {
    term: Option<Term>,
    /// Why it was given up for good, if nobody else has taken it.
    retired: Option<String>,
    /// Another holder's last sign of life, and since when there was no newer one.
    seen: Option<(u64, Instant)>,
}

/// The time in which the lease is ours.
#[derive(Clone, Copy)]
struct Term {
    /// The version of the holder's record.
    version: u64,
    beat: u64,
    /// Before the last sign of life was given.
    confirmed: Instant,
}

impl Lease {
    pub(crate) fn new(address: &str) -> Self {
        let [key, alive] = lease_keys(address);
        Self { key, alive, state: Mutex::default(), lost: CancellationToken::new() }
    }

    /// Takes the lease if it is free, ours, or abandoned; a transient error if it is not.
    pub(crate) async fn acquire(&self, store: &dyn Store) -> Result<()> {
        match self.term() {
            Err(e) if self.is_lost() => return Err(e),
            Err(_) => {}
            Ok(_) => return Ok(()),
        }
        let confirmed = Instant::now();
        let stored = store.get(&self.key).await?;
        let last = load_one(store, &self.alive).await?.map_or(0, |alive: Beat| alive.beat);
        if let Some(stored) = &stored {
            let now: Holder = decode(&self.key, &stored.value)?;
            if now.holder != store.holder() && !self.is_abandoned(last) {
                return Err(Error::transient(format!(
                    "another milvus-cdc ({}) writes to this target; stop it, or give one of them \
                     another target",
                    now.holder
                )));
            }
        }
        let holder = Holder { holder: store.holder().to_owned() };
        // Its first sign of life: those that wait have seen the last one of the previous holder.
        let beat = last + 1;
        let transaction = Transaction {
            conditions: vec![(self.key.clone(), stored.map_or(0, |s| s.version))],
            puts: vec![
                (self.key.clone(), encode(&holder)),
                (self.alive.clone(), encode(&Beat { beat })),
            ],
            deletes: Vec::new(),
        };
        let taken = store.commit(transaction).await? == Committed::Yes;
        let ours = store.get(&self.key).await?.filter(|_| taken);
        let ours = ours.map(|s| Ok((s.version, decode::<Holder>(&self.key, &s.value)?.holder)));
        match ours.transpose()? {
            Some((version, holder)) if holder == store.holder() => {
                self.lock().term = Some(Term { version, beat, confirmed });
                Ok(())
            }
            _ => Err(Error::transient("the lease on the target is contended")),
        }
    }

    fn is_abandoned(&self, beat: u64) -> bool {
        let mut state = self.lock();
        match state.seen {
            Some((seen, since)) if seen == beat => since.elapsed() > LIFE,
            _ => {
                state.seen = Some((beat, Instant::now()));
                false
            }
        }
    }

    /// Shows signs of life until `stop` or until the lease is lost, then gives it back. `beside`
    /// runs meanwhile.
    pub(crate) async fn keep(&self, store: &dyn Store, stop: &Stop, beside: impl Future) {
        let beats = async {
            while stop.until(tokio::time::sleep(BEAT)).await.is_ok() && !self.is_lost() {
                if let Err(e) = self.beat(store).await {
                    tracing::debug!(error = ?e, "the lease on a target shows no sign of life");
                }
            }
        };
        tokio::select! {
            () = beats => {}
            () = self.lost() => {}
            _ = beside => {}
        }
        let given = tokio::time::timeout(BEAT, self.give_back(store)).await;
        if !matches!(given, Ok(Ok(()))) {
            tracing::debug!(?given, "the lease on a target is not given back, it runs out");
        }
    }

    async fn beat(&self, store: &dyn Store) -> Result<()> {
        let confirmed = Instant::now();
        let Ok(Term { beat, .. }) = self.term() else { return Ok(()) };
        let beat = beat + 1;
        let puts = vec![(self.alive.clone(), encode(&Beat { beat }))];
        self.write(store, Transaction { puts, ..Transaction::default() }).await?;
        if let Some(term) = &mut self.lock().term {
            (term.beat, term.confirmed) = (beat, confirmed);
        }
        Ok(())
    }

    async fn give_back(&self, store: &dyn Store) -> Result<()> {
        if self.term().is_err() {
            return Ok(());
        }
        let given = self.release(store).await;
        self.lost.cancel();
        given
    }

    /// Leaves it to others. It may be taken again.
    pub(crate) async fn release(&self, store: &dyn Store) -> Result<()> {
        let deletes = vec![self.key.clone()];
        let given = self.write(store, Transaction { deletes, ..Transaction::default() }).await;
        self.lock().term = None;
        given
    }

    /// Gives it up for good, as if somebody else had taken it.
    pub(crate) async fn retire(&self, store: &dyn Store, why: &str) {
        // Whoever shares it learns that at the end, even if this is cut off.
        let _lost = self.lost.clone().drop_guard();
        let term = {
            let mut state = self.lock();
            state.retired = Some(why.to_owned());
            // From now on nothing is sent any more.
            state.term.take()
        };
        let Some(Term { version, .. }) = term else { return };
        let conditions = vec![(self.key.clone(), version)];
        let deletes = vec![self.key.clone()];
        let given = store.commit(Transaction { conditions, deletes, ..Transaction::default() });
        if let Err(e) = given.await {
            tracing::debug!(error = ?e, "the lease on a target is not given back, it runs out");
        }
    }

    /// Commits a transaction unless the lease is lost.
    pub(super) async fn try_commit(
        &self,
        store: &dyn Store,
        mut transaction: Transaction,
    ) -> Result<Committed> {
        let Term { version, .. } = self.term()?;
        transaction.conditions.push((self.key.clone(), version));
        if store.commit(transaction).await? == Committed::Yes {
            return Ok(Committed::Yes);
        }
        if store.get(&self.key).await?.map(|s| s.version) == Some(version) {
            return Ok(Committed::Conflict);
        }
        self.lost.cancel();
        Err(self.lost_error())
    }

    async fn write(&self, store: &dyn Store, transaction: Transaction) -> Result<()> {
        match self.try_commit(store, transaction).await? {
            Committed::Yes => Ok(()),
            Committed::Conflict => Err(Error::transient("somebody else has written to the store")),
        }
    }

    /// Whether something may be sent to the target: nobody else can have taken the lease yet. The
    /// clock for that goes on while the process is stopped.
    pub(crate) fn confirmed(&self) -> Result<()> {
        match self.term()?.confirmed.elapsed() <= CONFIRMED_FOR {
            true => Ok(()),
            false => Err(Error::transient(
                "the lease on the target could not be renewed in time: nothing is sent until it is",
            )),
        }
    }

    /// Whether somebody else has taken it. It never comes back.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Resolves when somebody else has taken it.
    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    fn term(&self) -> Result<Term> {
        let term = self.lock().term;
        term.filter(|_| !self.is_lost()).ok_or_else(|| self.lost_error())
    }

    /// Why it is lost.
    pub(crate) fn lost_error(&self) -> Error {
        let retired = self.lock().retired.clone();
        let why =
            retired.unwrap_or_else(|| "another milvus-cdc has taken over this target".to_owned());
        Error::transient(why)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The condition under which no other milvus-cdc writes to a target; `None`: one does.
pub async fn is_no_others(store: &dyn Store, address: &str) -> Result<Option<(String, u64)>> {
    let [key, _] = lease_keys(address);
    let Some(stored) = store.get(&key).await? else { return Ok(Some((key, 0))) };
    let now: Holder = decode(&key, &stored.value)?;
    Ok((now.holder == store.holder()).then_some((key, stored.version)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::read_and_written_again;

    #[test]
    fn what_earlier_versions_stored_of_leases_is_written_the_same() {
        assert!(!read_and_written_again::<Holder>("lease").is_empty());
        assert!(read_and_written_again::<Beat>("alive").iter().any(|alive| alive.beat > 1));
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;
    use crate::written::read_or_refused;

    #[test]
    fn any_bytes_are_a_record_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            read_or_refused::<Holder>(bytes);
            read_or_refused::<Beat>(bytes);
        });
    }
}
