//! The book of tasks in the store: reads records and changes them. Each change is one conditional
//! transaction, tried again if another writer was faster. Never waits for a running task.

use super::admission::{CreateError, admit};
use super::record::{State, TaskRecord, VERSION};
use replication::error::{Error, Kind, Result};
use replication::ports::{Committed, Store, Stored, Transaction};
use replication::records::forms;
use replication::records::identity::{self, Names};
use replication::records::keys;
use replication::records::keys::task_key;
use replication::records::lease;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The prefix of the keys of tasks.
const PREFIX: &str = "task/";

/// Every creation and deletion rewrites this key. A decision that depends on the whole list of
/// tasks makes its version a condition. It lies outside of [`PREFIX`], so that it is not listed.
const ROSTER: &str = "task-roster";

/// More lost races in a row than this mean that something is wrong.
const CONFLICTS_MAX: usize = 16;

/// The reason stored when a user pauses a task, in the Go tool's words.
pub const PAUSED_BY_USER: &str = "manually pause through http interface";

/// The reason stored at the start of the service for a task that does not start with it, in the Go
/// tool's words.
pub const PAUSED_BY_RESTART: &str = "the task is disabled auto start";

/// The reason stored while a task that is to be deleted stops.
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
    /// Records that can't be read; each error names the key.
    pub broken: Vec<Error>,
}

/// The outcome of a change of a task's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// It is stored.
    Made,
    /// There is no such task.
    NoSuchTask,
    /// The task has this state, from which the change can't start.
    NotFrom(State),
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

    /// Which addresses of targets lead to one Milvus.
    pub async fn names(&self) -> Result<Names> {
        identity::names(self.store.as_ref()).await
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

    /// Checks that a task may stand beside the stored ones. Returns it with all that it has to
    /// leave to others. `same_as`: another address of its target that a stored task has.
    pub async fn admit(
        &self,
        record: &TaskRecord,
        tasks_max: usize,
        same_as: Option<&str>,
    ) -> std::result::Result<TaskRecord, CreateError> {
        let mut names = self.names().await?;
        if let (Ok(address), Some(other)) = (record.target(), same_as) {
            names = names.with(&address, other);
        }
        let listing = self.list().await?;
        let others = listing.records;
        // What an unreadable task covers is unknown, so no new task can be checked against it.
        if let Some(broken) = listing.broken.into_iter().next() {
            return Err(CreateError::Store(broken));
        }
        let excludes = admit(record, &others, &names)?;
        if others.len() >= tasks_max {
            return Err(CreateError::Full(tasks_max));
        }
        let mut left: BTreeSet<String> =
            record.exclude_collections.iter().flatten().cloned().collect();
        left.extend(excludes.iter().map(ToString::to_string));
        let exclude_collections = (!left.is_empty()).then(|| left.into_iter().collect());
        Ok(TaskRecord { exclude_collections, ..record.clone() })
    }

    /// Stores a new task together with `begin`, the records that it starts from if it continues the
    /// work of another tool. Checks and write are one step: of two creations at the same time the
    /// second sees the first. `same_as` as in [`Self::admit`]; it is stored too. Records that an
    /// earlier task of this id left behind are deleted.
    pub async fn create(
        &self,
        record: TaskRecord,
        tasks_max: usize,
        same_as: Option<&str>,
        begin: Transaction,
    ) -> std::result::Result<(), CreateError> {
        for _ in 0..CONFLICTS_MAX {
            let roster = self.store.get(ROSTER).await?.map_or(0, |s| s.version);
            let record = self.admit(&record, tasks_max, same_as).await?;
            let mut transaction = begin.clone();
            if let (Ok(address), Some(other)) = (record.target(), same_as) {
                let names = self.names().await?;
                let name = names.of(other);
                if names.of(&address) == address && name != address {
                    transaction = transaction.and(identity::join(name, [address.as_str()]));
                }
            }
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
    pub async fn pause(&self, id: &str, reason: &str) -> Result<StateChange> {
        self.change(id, |record| {
            let from = record.state;
            (from == State::Running).then(|| {
                record.state = State::Paused;
                record.reason = reason.into();
            })
        })
        .await
    }

    /// Pauses a task that can't run here, whatever its state, unless another service writes to its
    /// target. Returns `false` in that case. Fails if the task is left to a newer version.
    pub async fn pause_unless_elsewhere(&self, id: &str, reason: &str) -> Result<bool> {
        self.refuse_newer(id).await?;
        for _ in 0..CONFLICTS_MAX {
            let Some((record, _)) = self.read(id).await? else { return Ok(true) };
            // A target without a valid address has no lease, and nobody writes to it.
            let free = match record.lease(&self.names().await?) {
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
    pub async fn resume(&self, id: &str) -> Result<StateChange> {
        self.change(id, |record| {
            (record.state != State::Running).then(|| {
                record.state = State::Running;
                record.reason = String::new();
            })
        })
        .await
    }

    /// Marks a task as being deleted, whatever its state. It stops, and if the process crashes
    /// before the deletion, the task shows why it is paused.
    pub async fn begin_delete(&self, id: &str) -> Result<StateChange> {
        self.change(id, |record| {
            record.state = State::Paused;
            record.reason = PAUSED_BY_DELETE.into();
            Some(())
        })
        .await
    }

    /// Removes a task that has stopped, and all that is stored of it.
    pub async fn delete(&self, id: &str) -> Result<StateChange> {
        for _ in 0..CONFLICTS_MAX {
            let Some((record, version)) = self.read(id).await? else {
                return Ok(StateChange::NoSuchTask);
            };
            if record.state != State::Paused {
                return Ok(StateChange::NotFrom(record.state));
            }
            let mut deletes = keys::of_task(self.store.as_ref(), id).await?;
            deletes.push(task_key(id));
            let transaction = Transaction {
                conditions: vec![(task_key(id), version)],
                puts: vec![roster_entry()],
                deletes,
            };
            if self.store.commit(transaction).await? == Committed::Yes {
                return Ok(StateChange::Made);
            }
        }
        Err(too_many_conflicts(id))
    }

    /// Prepares the stored tasks for a start of the service: tasks that should not start with it
    /// are paused, unless another service runs them; tasks that never started are set to run.
    /// Paused tasks stay paused.
    pub async fn boot(&self) -> Result<()> {
        for record in self.list().await?.records {
            match self.boot_one(&record).await {
                // The task shows this itself when it starts. The others do not wait for it.
                Err(error) if error.kind == Kind::Permanent => {
                    tracing::warn!(task = record.task_id, error = ?error, "task is left as it is");
                }
                booted => booted?,
            }
        }
        Ok(())
    }

    async fn boot_one(&self, record: &TaskRecord) -> Result<()> {
        let id = record.task_id.as_str();
        match record.state {
            State::Paused => Ok(()),
            _ if record.disable_auto_start => {
                self.pause_unless_elsewhere(id, PAUSED_BY_RESTART).await.map(drop)
            }
            State::Initial => self.resume(id).await.map(drop),
            State::Running => Ok(()),
        }
    }

    /// Fails if a newer milvus-cdc has written any record of a task or of its target. Then the task
    /// is left to that version.
    pub async fn refuse_newer(&self, id: &str) -> Result<()> {
        let Some(record) = self.get(id).await? else { return Ok(()) };
        let Ok(lease) = record.lease(&self.names().await?) else { return Ok(()) };
        forms::refuse_newer(self.store.as_ref(), id, &lease).await
    }

    /// Changes a record. `edit` returns `None` if the change can't start from the record's state.
    async fn change(
        &self,
        id: &str,
        edit: impl Fn(&mut TaskRecord) -> Option<()>,
    ) -> Result<StateChange> {
        for _ in 0..CONFLICTS_MAX {
            if let Some(change) = self.try_change(id, None, &edit).await? {
                return Ok(change);
            }
        }
        Err(too_many_conflicts(id))
    }

    /// Tries a change once, under one more condition. `None` if another writer was faster.
    async fn try_change(
        &self,
        id: &str,
        condition: Option<(String, u64)>,
        edit: impl Fn(&mut TaskRecord) -> Option<()>,
    ) -> Result<Option<StateChange>> {
        let Some((mut record, version)) = self.read(id).await? else {
            return Ok(Some(StateChange::NoSuchTask));
        };
        let from = record.state;
        if edit(&mut record).is_none() {
            return Ok(Some(StateChange::NotFrom(from)));
        }
        let transaction = Transaction {
            conditions: [(task_key(id), version)].into_iter().chain(condition).collect(),
            puts: vec![(task_key(id), encode(&record)?)],
            deletes: Vec::new(),
        };
        let committed = self.store.commit(transaction).await?;
        Ok((committed == Committed::Yes).then_some(StateChange::Made))
    }

    async fn read(&self, id: &str) -> Result<Option<(TaskRecord, u64)>> {
        // No task is stored under an empty id.
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
    #[derive(Deserialize)]
    struct Form {
        #[serde(default, rename = "Version")]
        version: u32,
    }
    // Checked first, because this version may not be able to read the rest of a newer record.
    if let Ok(Form { version }) = serde_json::from_slice(&stored.value)
        && version > VERSION
    {
        return Err(Error::permanent(format!(
            "the stored record {key} has version {version}, written by a newer milvus-cdc; run \
             that one, or a newer"
        )));
    }
    let broken = || Error::permanent(format!("the stored record {key} can't be read"));
    // The parser's message may quote the record, and that holds secrets.
    serde_json::from_slice(&stored.value)
        .map_err(|e| broken().because(format!("at line {} column {}", e.line(), e.column())))
}

fn too_many_conflicts(id: &str) -> Error {
    Error::transient(format!("other writers keep changing the record of task {id}, try again"))
}

#[cfg(test)]
mod fuzz {
    use super::*;

    #[test]
    fn any_bytes_are_a_task_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let stored = Stored { value: bytes.to_vec(), version: 1 };
            let _ = decode("task/fuzz", &stored);
        });
    }
}
