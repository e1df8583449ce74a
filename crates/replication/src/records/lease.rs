//! The lease on a target, kept in the store under the address by which the target was known first
//! (`identity`): only one milvus-cdc writes to a target, because two would close each other's
//! windows. A [`Lease`] that was lost stays lost; everything that was built on it is thrown away,
//! and a new lease is taken. Never guards against a milvus-cdc on another store.
//!
//! A store that gives no answer to a commit may carry it out later: another member of an etcd does,
//! or a connection that was cut off. Each commit is conditional on the version of the lease's
//! record. So after such a commit that record is written again, and what was not carried out until
//! then never is. Only then is anything read or written: what is read tells how the commit ended.

use crate::error::{Error, Kind, Result};
use crate::ports::{Committed, Store, Stored, Transaction};
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
    /// Which lease of this holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Beat {
    beat: u64,
}

/// Ids of leases are below it, so that whoever reads JSON can read them.
const ID_MAX: u64 = 1 << 53;

/// How often a commit is tried whose outcome nobody knew.
const TRIES: u32 = 3;

/// The lease of one target.
pub(crate) struct Lease {
    key: String,
    alive: String,
    id: u64,
    state: Mutex<State>,
    /// Held by whoever finds out what became of a commit.
    renewing: tokio::sync::Mutex<()>,
    lost: CancellationToken,
}

#[derive(Default)]
struct State {
    term: Option<Term>,
    /// Why it was given up for good, if nobody else has taken it.
    retired: Option<String>,
    /// Whether a commit of this term may still be carried out, although it has failed.
    is_doubtful: bool,
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
        let (state, renewing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self {
            key,
            alive,
            id: fastrand::u64(..ID_MAX),
            state,
            renewing,
            lost: CancellationToken::new(),
        }
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
        let holder = self.record(store);
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
        match ours {
            Some(stored) if self.is_ours(store, &stored)? => {
                let mut state = self.lock();
                state.term = Some(Term { version: stored.version, beat, confirmed });
                // What was conditional on an earlier record of it is over.
                state.is_doubtful = false;
                Ok(())
            }
            _ => Err(Error::transient("the lease on the target is contended")),
        }
    }

    fn record(&self, store: &dyn Store) -> Holder {
        Holder { holder: store.holder().to_owned(), lease: Some(self.id) }
    }

    fn is_ours(&self, store: &dyn Store, stored: &Stored) -> Result<bool> {
        let now: Holder = decode(&self.key, &stored.value)?;
        Ok(now.holder == store.holder() && now.lease == Some(self.id))
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
            biased;
            () = self.lost() => {}
            () = beats => {}
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

    /// Commits a transaction unless the lease is lost. After an error it was not carried out, or
    /// [`Lease::settle`] fails until it is known.
    pub(super) async fn try_commit(
        &self,
        store: &dyn Store,
        transaction: Transaction,
    ) -> Result<Committed> {
        let mut tries = 0;
        loop {
            self.settle(store).await?;
            let Term { version, .. } = self.term()?;
            tries += 1;
            let error = match self.commit_in_term(store, version, &transaction).await {
                Ok(Committed::Yes) => return Ok(Committed::Yes),
                // The conditions of the transaction, or the term has ended meanwhile.
                Ok(Committed::Conflict) if self.is_current(store, version).await? => {
                    return Ok(Committed::Conflict);
                }
                Ok(Committed::Conflict) => continue,
                Err(error) => error,
            };
            if error.kind == Kind::Permanent || self.settle(store).await.is_err() {
                return Err(error);
            }
            if is_written(store, &transaction).await? {
                return Ok(Committed::Yes);
            }
            if tries >= TRIES {
                return Err(error);
            }
            tracing::debug!(error = ?error, "a commit had no answer and was not carried out");
        }
    }

    async fn commit_in_term(
        &self,
        store: &dyn Store,
        version: u64,
        transaction: &Transaction,
    ) -> Result<Committed> {
        let mut transaction = transaction.clone();
        transaction.conditions.push((self.key.clone(), version));
        // If this future is dropped, nobody knows either.
        let doubt = Doubt { lease: self, version };
        let committed = store.commit(transaction).await?;
        std::mem::forget(doubt);
        Ok(committed)
    }

    /// Whether the record of the lease has this version. If it has another one, that is ours, or
    /// the lease is lost.
    async fn is_current(&self, store: &dyn Store, version: u64) -> Result<bool> {
        if self.term()?.version != version {
            return Ok(false);
        }
        let stored = store.get(&self.key).await?;
        if stored.as_ref().is_some_and(|stored| stored.version == version) {
            return Ok(true);
        }
        self.adopt(store, stored, version)?;
        Ok(false)
    }

    /// Makes sure that no commit of this lease is carried out from now on that has not been.
    pub(crate) async fn settle(&self, store: &dyn Store) -> Result<()> {
        if !self.is_doubtful() {
            return Ok(());
        }
        let _one = self.renewing.lock().await;
        while self.is_doubtful() {
            let Term { version, .. } = self.term()?;
            let stored = store.get(&self.key).await?;
            if stored.as_ref().is_none_or(|stored| stored.version != version) {
                self.adopt(store, stored, version)?;
                continue;
            }
            let renewal = Transaction {
                conditions: vec![(self.key.clone(), version)],
                puts: vec![(self.key.clone(), encode(&self.record(store)))],
                deletes: Vec::new(),
            };
            // The record is read again, whatever is answered.
            store.commit(renewal).await?;
        }
        Ok(())
    }

    /// Takes up a record of the lease that has replaced the one of this version, if it is ours.
    fn adopt(&self, store: &dyn Store, stored: Option<Stored>, version: u64) -> Result<()> {
        match stored {
            Some(stored) if self.is_ours(store, &stored)? => {
                let mut state = self.lock();
                if let Some(term) = state.term.as_mut().filter(|term| term.version == version) {
                    term.version = stored.version;
                    state.is_doubtful = false;
                }
                Ok(())
            }
            _ => {
                self.lost.cancel();
                Err(self.lost_error())
            }
        }
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

    fn is_doubtful(&self) -> bool {
        self.lock().is_doubtful
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

/// A commit that is under way.
struct Doubt<'a> {
    lease: &'a Lease,
    version: u64,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        let mut state = self.lease.lock();
        // What was conditional on an earlier version is over.
        if state.term.is_some_and(|term| term.version == self.version) {
            state.is_doubtful = true;
        }
    }
}

/// Whether the records are as a transaction makes them; no, if it changes nothing.
async fn is_written(store: &dyn Store, transaction: &Transaction) -> Result<bool> {
    for (key, value) in &transaction.puts {
        if store.get(key).await?.is_none_or(|stored| stored.value != *value) {
            return Ok(false);
        }
    }
    for key in &transaction.deletes {
        let is_put = transaction.puts.iter().any(|(put, _)| put == key);
        if !is_put && store.get(key).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(!transaction.puts.is_empty() || !transaction.deletes.is_empty())
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
