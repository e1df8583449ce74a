//! The book of tasks in the store: reads records and changes them, each change one conditional
//! transaction that is tried again when somebody else was faster. Never waits for a running task.

use super::admission::{Objection, admit};
use super::record::{State, TaskRecord, VERSION};
use replication::error::{Error, Result};
use replication::ports::{Committed, Store, Stored, Transaction};
use replication::records::keys;
use replication::records::keys::task_key;
use replication::records::lease;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Before every task's key.
const PREFIX: &str = "task/";

/// Rewritten by every creation and deletion: whoever decides by the whole list of tasks makes
/// this key's version a condition. Outside of [`PREFIX`], so that it is not listed.
const ROSTER: &str = "task-roster";

/// More lost races in a row mean that something is wrong.
const CONFLICTS_MAX: usize = 16;

/// Stored when a user pauses a task. The Go tool's words.
pub const PAUSED_BY_USER: &str = "manually pause through http interface";

/// Stored when the service starts and a task does not want to start with it. The Go tool's words.
pub const PAUSED_BY_RESTART: &str = "the task is disabled auto start";

/// Stored while a task that is to be deleted stops.
pub const PAUSED_BY_DELETE: &str = "being deleted; if this stays, delete the task again";

/// The tasks of this installation.
#[derive(Clone)]
pub struct Book {
    store: Arc<dyn Store>,
}

/// All that is stored.
#[derive(Debug, Default)]
pub struct Listing {
    /// By id.
    pub records: Vec<TaskRecord>,
    /// What could not be read, each naming its key.
    pub broken: Vec<Error>,
}

/// How a change of state went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is stored.
    Made,
    /// There is no such task.
    Unknown,
    /// It has another state than the change starts from.
    From(State),
}

/// Why a task was not created.
#[derive(Debug)]
pub enum CreateError {
    /// The user has to change the request.
    Refused(Objection),
    /// There are as many as there may be.
    Full(usize),
    /// The store failed.
    Store(Error),
}

impl From<Error> for CreateError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Book {
    /// The book in a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The store it lies in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// One task.
    pub async fn get(&self, id: &str) -> Result<Option<TaskRecord>> {
        Ok(self.read(id).await?.map(|(record, _)| record))
    }

    /// All tasks, by id. A record that can't be read does not hide the others.
    pub async fn list(&self) -> Result<Listing> {
        let mut listing = Listing::default();
        for (key, value) in &self.store.list(PREFIX).await? {
            match decode(key, value) {
                Ok(record) => listing.records.push(record),
                Err(error) => listing.broken.push(error),
            }
        }
        Ok(listing)
    }

    /// Whether a task may stand beside the stored ones; answers it with what it has to leave to
    /// others, in addition to what it leaves out already.
    pub async fn admit(
        &self,
        record: &TaskRecord,
        tasks_max: usize,
    ) -> std::result::Result<TaskRecord, CreateError> {
        let listing = self.list().await?;
        let others = listing.records;
        // What an unreadable task covers is unknown, so nothing can be told from it.
        if let Some(broken) = listing.broken.into_iter().next() {
            return Err(CreateError::Store(broken));
        }
        let excludes = admit(record, &others).map_err(CreateError::Refused)?;
        if others.len() >= tasks_max {
            return Err(CreateError::Full(tasks_max));
        }
        let mut left: BTreeSet<String> =
            record.exclude_collections.iter().flatten().cloned().collect();
        left.extend(excludes.iter().map(|(d, c)| format!("{d}.{c}")));
        let exclude_collections = (!left.is_empty()).then(|| left.into_iter().collect());
        Ok(TaskRecord { exclude_collections, ..record.clone() })
    }

    /// Stores a new task, with what it has to leave to others and, if it goes on where another tool
    /// stopped, with the records it is to find: `begin`. Checks and write are one step: of two
    /// creations at the same time the second sees the first. What an earlier task of this id has left
    /// behind goes.
    pub async fn create(
        &self,
        record: TaskRecord,
        tasks_max: usize,
        begin: Transaction,
    ) -> std::result::Result<(), CreateError> {
        for _ in 0..CONFLICTS_MAX {
            let roster = self.store.get(ROSTER).await?.map_or(0, |s| s.version);
            let record = self.admit(&record, tasks_max).await?;
            let mut transaction = begin.clone();
            let key = task_key(&record.task_id);
            transaction.conditions.extend([(ROSTER.into(), roster), (key.clone(), 0)]);
            let left = keys::of_task(self.store.as_ref(), &record.task_id).await?;
            transaction.deletes.extend(left);
            transaction.puts.extend([(key, encode(&record)?), roster_entry()]);
            if self.store.commit(transaction).await? == Committed::Yes {
                return Ok(());
            }
        }
        Err(too_many_conflicts(&record.task_id).into())
    }

    /// Pauses a running task.
    pub async fn pause(&self, id: &str, reason: &str) -> Result<Change> {
        self.change(id, |record| {
            let from = record.state;
            (from == State::Running).then(|| {
                record.state = State::Paused;
                record.reason = reason.into();
            })
        })
        .await
    }

    /// Pauses a task that can't go on here, whatever its state, unless another service writes to its
    /// target and so decides. Returns whether it did.
    pub async fn park(&self, id: &str, reason: &str) -> Result<bool> {
        for _ in 0..CONFLICTS_MAX {
            let Some((record, _)) = self.read(id).await? else { return Ok(true) };
            // Nobody writes to a target that can't be told.
            let free = match record.lease() {
                Ok(lease) => match lease::is_no_others(self.store.as_ref(), &lease).await? {
                    Some(free) => Some(free),
                    None => return Ok(false),
                },
                Err(_) => None,
            };
            let paused = |record: &mut TaskRecord| {
                (record.state != State::Paused).then(|| {
                    record.state = State::Paused;
                    record.reason = reason.into();
                })
            };
            if self.try_change(id, free, paused).await?.is_some() {
                return Ok(true);
            }
        }
        Err(too_many_conflicts(id))
    }

    /// Sets a task that is not running to run.
    pub async fn resume(&self, id: &str) -> Result<Change> {
        self.change(id, |record| {
            (record.state != State::Running).then(|| {
                record.state = State::Running;
                record.reason = String::new();
            })
        })
        .await
    }

    /// Marks a task as being deleted, whatever its state: it stops, and a crash in between leaves
    /// a task that says so.
    pub async fn begin_delete(&self, id: &str) -> Result<Change> {
        self.change(id, |record| {
            record.state = State::Paused;
            record.reason = PAUSED_BY_DELETE.into();
            Some(())
        })
        .await
    }

    /// Removes a task that has stopped, and all that is stored of it.
    pub async fn delete(&self, id: &str) -> Result<Change> {
        for _ in 0..CONFLICTS_MAX {
            let Some((record, version)) = self.read(id).await? else { return Ok(Change::Unknown) };
            if record.state != State::Paused {
                return Ok(Change::From(record.state));
            }
            let mut deletes = keys::of_task(self.store.as_ref(), id).await?;
            deletes.push(task_key(id));
            let transaction = Transaction {
                conditions: vec![(task_key(id), version)],
                puts: vec![roster_entry()],
                deletes,
            };
            if self.store.commit(transaction).await? == Committed::Yes {
                return Ok(Change::Made);
            }
        }
        Err(too_many_conflicts(id))
    }

    /// What a start of the service changes: tasks that do not want to start with it are paused, save
    /// where another service runs them; tasks that were stored and never started are started. Paused
    /// tasks stay paused.
    pub async fn boot(&self) -> Result<()> {
        for record in self.list().await?.records {
            let id = record.task_id.as_str();
            match record.state {
                State::Paused => continue,
                _ if record.disable_auto_start => {
                    self.park(id, PAUSED_BY_RESTART).await?;
                }
                State::Initial => {
                    self.resume(id).await?;
                }
                State::Running => {}
            }
        }
        Ok(())
    }

    /// Changes a record; `edit` answers `None` if the change does not start from its state.
    async fn change(
        &self,
        id: &str,
        edit: impl Fn(&mut TaskRecord) -> Option<()>,
    ) -> Result<Change> {
        for _ in 0..CONFLICTS_MAX {
            if let Some(change) = self.try_change(id, None, &edit).await? {
                return Ok(change);
            }
        }
        Err(too_many_conflicts(id))
    }

    /// Tries it once, under one more condition; `None`: somebody else was faster.
    async fn try_change(
        &self,
        id: &str,
        condition: Option<(String, u64)>,
        edit: impl Fn(&mut TaskRecord) -> Option<()>,
    ) -> Result<Option<Change>> {
        let Some((mut record, version)) = self.read(id).await? else {
            return Ok(Some(Change::Unknown));
        };
        let from = record.state;
        if edit(&mut record).is_none() {
            return Ok(Some(Change::From(from)));
        }
        let transaction = Transaction {
            conditions: [(task_key(id), version)].into_iter().chain(condition).collect(),
            puts: vec![(task_key(id), encode(&record)?)],
            deletes: Vec::new(),
        };
        let committed = self.store.commit(transaction).await?;
        Ok((committed == Committed::Yes).then_some(Change::Made))
    }

    async fn read(&self, id: &str) -> Result<Option<(TaskRecord, u64)>> {
        // An id that could not have been stored is not looked up.
        if id.is_empty() {
            return Ok(None);
        }
        let key = task_key(id);
        match self.store.get(&key).await? {
            None => Ok(None),
            Some(stored) => Ok(Some((decode(&key, &stored)?, stored.version))),
        }
    }
}

fn roster_entry() -> (String, Vec<u8>) {
    (ROSTER.into(), b"{}".to_vec())
}

fn encode(record: &TaskRecord) -> Result<Vec<u8>> {
    serde_json::to_vec(record)
        .map_err(|e| Error::permanent("a task's record can't be written as JSON").because(e))
}

fn decode(key: &str, stored: &Stored) -> Result<TaskRecord> {
    let broken = || Error::permanent(format!("the stored record {key} can't be read"));
    let record: TaskRecord =
        // The parser's message may quote the record, and that holds secrets.
        serde_json::from_slice(&stored.value).map_err(|e| {
            broken().because(format!("at line {} column {}", e.line(), e.column()))
        })?;
    if record.version > VERSION {
        return Err(Error::permanent(format!(
            "the stored record {key} has version {}, written by a newer milvus-cdc; run that one, or a newer",
            record.version
        )));
    }
    Ok(record)
}

fn too_many_conflicts(id: &str) -> Error {
    Error::transient(format!(
        "the record of task {id} is changed by others all the time, try again"
    ))
}
