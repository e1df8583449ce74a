//! What becomes of each task of the Go tool: what would be stored, where each collection goes on, and
//! what differs from before. Carrying it out stores exactly that.
//! Never connects to a target: the task does when it starts.

use super::go_task::{GoPosition, GoPositions, GoTask};
use crate::tasks::{Book, CreateError, TaskRecord, check_id, differences, to_task};
use milvus_wire::catalog::{Collection, State};
use milvus_wire::position::{MessageId, decode_position};
use replication::error::{Error, Result};
use replication::ports::{Catalog, Snapshot, Source};
use replication::selection::Selection;
use replication::takeover::{Taken, Takeover, present_end};
use replication::task::{Limits, Unsupported};
use serde::Serialize;
use std::collections::BTreeMap;

/// What becomes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is taken over.
    Imported,
    /// It is stored already, and is left as it is.
    Exists,
    /// It can't be; the reason says why.
    Refused,
}

/// One task.
#[derive(Debug, Serialize)]
pub struct TaskPlan {
    /// Its id, the same as before.
    pub task_id: String,
    /// What becomes of it.
    pub fate: Fate,
    /// Why it is refused.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// `Initial`, `Running` or `Paused`, as before.
    pub state: String,
    /// The target's address.
    pub target: String,
    /// `database.collection` each.
    pub selection: Vec<String>,
    /// Its collections and where they go on.
    pub collections: Vec<CollectionPlan>,
    /// Where the op channel goes on.
    pub op_channel: String,
    /// Inserts up to this time replace what the target has of their keys: unix milliseconds.
    pub fence_ms: u64,
    /// What differs from before, and what is to be known.
    pub notes: Vec<String>,
}

/// One collection.
#[derive(Debug, Serialize)]
pub struct CollectionPlan {
    /// Its id on the source.
    pub id: i64,
    /// `database.collection`.
    pub name: String,
    /// Where it goes on by channel: the saved message id in base64, or `first message`.
    pub channels: BTreeMap<String, String>,
}

/// What an import needs to know of the world.
pub struct Planner<'a> {
    /// The tasks that are stored.
    pub book: &'a Book,
    /// The source's queue.
    pub source: &'a dyn Source,
    /// The source's metadata.
    pub catalog: &'a dyn Catalog,
    /// The source's op channel.
    pub op_channel: &'a str,
    /// How many tasks there may be.
    pub tasks_max: usize,
}

/// A topic can't be fenced.
const AGAIN_ON_KAFKA: &str = "what the Go tool has sent to Kafka after its saved positions is sent \
                              again, and that each database and collection exists";

/// The Go tool saves one with the first request that it carries out.
const NO_OP_POSITION: &str = "the Go tool has saved no position of the op channel, so that goes on at its \
                              present end: what was asked for since that tool stopped is not \
                              carried out, except that databases are created and that indexes, \
                              loads and roles of a Milvus become the source's; drop on the target \
                              the databases that were dropped meanwhile, and repeat there what was \
                              asked for of users";

/// A log is told of no rows of a collection that the catalog has given up.
const IS_BEING_DROPPED: &str = "is being dropped on the source; its drop follows, on a Milvus after its \
                                last rows";

/// A collection begins there.
const FIRST: &str = "first message";

impl Planner<'_> {
    /// Plans each task and carries the plan out; a dry run is one on a copy of the store.
    pub async fn import(&self, tasks: &[GoTask]) -> Result<Vec<TaskPlan>> {
        let snapshot = self.catalog.snapshot().await?;
        let mut plans = Vec::new();
        for task in tasks {
            plans.push(self.import_one(task, &snapshot).await?);
        }
        Ok(plans)
    }

    async fn import_one(&self, task: &GoTask, snapshot: &Snapshot) -> Result<TaskPlan> {
        let mut plan = TaskPlan::new(task);
        let record = match &task.record {
            Ok(record) => record,
            Err(what) => return Ok(plan.refused(what)),
        };
        plan.describe(record);
        if self.book.get(&task.id).await?.is_some() {
            plan.fate = Fate::Exists;
            return Ok(plan);
        }
        let selection = match self.check(task, record) {
            Ok(selection) => selection,
            Err(what) => return Ok(plan.refused(&what)),
        };
        let takeover = match self.takeover(task, &selection, snapshot, &mut plan).await {
            Ok(takeover) => takeover,
            Err(error) if error.kind == replication::error::Kind::Permanent => {
                return Ok(plan.refused(&error.what));
            }
            Err(error) => return Err(error),
        };
        let store = self.book.store().as_ref();
        let begin = takeover.records(self.source, store, &task.id).await?;
        match self.book.create(record.clone(), self.tasks_max, begin).await {
            Ok(()) => Ok(plan),
            Err(CreateError::Refused(objection)) => Ok(plan.refused(&objection.what)),
            Err(CreateError::Full(max)) => {
                Ok(plan.refused(&format!("there are {max} tasks already; raise maxTaskNum")))
            }
            Err(CreateError::Store(error)) => Err(error),
        }
    }

    /// What keeps a task from being taken over; else what it selects.
    fn check(&self, task: &GoTask, record: &TaskRecord) -> std::result::Result<Selection, String> {
        if let Some(broken) = task.broken.first() {
            return Err(format!("{broken}; without all its positions rows could be lost"));
        }
        check_id(&task.id)?;
        if record.is_to_kafka() && record.kafka_connect_param.topic.is_empty() {
            return Err("its Kafka topic is empty".into());
        }
        record.target().map_err(|what| format!("its target's address is invalid, {what}"))?;
        if record.selectors().next().is_none() {
            return Err("it selects no collection".into());
        }
        if let Some(other) = task.op.keys().find(|channel| *channel != self.op_channel) {
            return Err(format!(
                "it has read the op channel {other}, and sourceConfig.replicateChan is {}: is this \
                 its source?",
                self.op_channel
            ));
        }
        Ok(to_task(record, self.op_channel, Unsupported::Stop, &Limits::default())?.selection)
    }

    /// Where everything goes on; errors that are permanent are about this task alone.
    async fn takeover<'a>(
        &self,
        task: &GoTask,
        selection: &Selection,
        snapshot: &'a Snapshot,
        plan: &mut TaskPlan,
    ) -> Result<Takeover<'a>> {
        let mut takeover = Takeover::default();
        if task.record.as_ref().is_ok_and(TaskRecord::is_to_kafka) {
            plan.notes.push(AGAIN_ON_KAFKA.to_owned());
        }
        for collection in &snapshot.collections {
            let saved = task.collections.get(&collection.id);
            if collection.database.is_empty() {
                // Nobody can tell any more whether the task had it, save by its positions.
                if let Some(saved) = saved.filter(|saved| !saved.is_dropped()) {
                    plan.notes.push(without_database(&saved.name, collection));
                }
            } else if !is_selected(selection, collection, saved) {
                if saved.is_some() {
                    plan.note(collection, "is no longer selected by the task, and left out");
                }
            } else if let Some(from) = goes_on(collection, saved, plan)? {
                plan.collections.push(CollectionPlan::new(collection, &from));
                let called = saved.and_then(|saved| saved.called(collection)).map(str::to_owned);
                takeover.collections.push(Taken { collection, from, called });
            }
        }
        for (id, saved) in &task.collections {
            if !snapshot.collections.iter().any(|collection| collection.id == *id) {
                plan.notes.push(gone(&saved.name, id.0, saved));
            }
        }
        takeover.op = self.op(task, plan).await?;
        let channels = takeover.channels(self.source);
        let op = [(self.op_channel, &takeover.op)];
        for (channel, from) in channels.iter().map(|(name, from)| (name.as_str(), from)).chain(op) {
            // Fails for good if the queue does not hold it.
            drop(self.source.open(channel, from).await?);
        }
        takeover.fence = present_end(self.source, channels.keys()).await?;
        plan.fence_ms = takeover.fence.ms();
        Ok(takeover)
    }

    async fn op(&self, task: &GoTask, plan: &mut TaskPlan) -> Result<MessageId> {
        let given = task.record.as_ref().map_or("", |record| &record.rpc_channel.position);
        let op = match task.op.get(self.op_channel) {
            Some(saved) => saved.clone(),
            None if given.is_empty() => {
                plan.notes.push(NO_OP_POSITION.to_owned());
                self.source.end(self.op_channel).await?
            }
            None => MessageId(decode_position(given).map_err(Error::permanent)?.msg_id.into()),
        };
        plan.op_channel = format!("{op:?}");
        Ok(op)
    }
}

/// Where a selected collection goes on; `None`: it does not.
fn goes_on(
    collection: &Collection,
    saved: Option<&GoPositions>,
    plan: &mut TaskPlan,
) -> Result<Option<BTreeMap<String, MessageId>>> {
    let is_there = collection.state == State::Created;
    let Some(saved) = saved.filter(|saved| !saved.channels.is_empty()) else {
        if is_there {
            plan.note(collection, "has no saved position and begins with its first message");
        }
        return Ok(is_there.then(BTreeMap::new));
    };
    if saved.is_dropped() {
        return Ok(None);
    }
    let mut from = BTreeMap::new();
    for channel in &collection.pchannels {
        match saved.channels.get(channel) {
            Some(GoPosition::At(id)) => {
                from.insert(channel.clone(), id.clone());
            }
            _ => plan.note(collection, &format!("has no saved position on {channel}")),
        }
    }
    if let Some(strange) = saved.channels.keys().find(|c| !collection.pchannels.contains(*c)) {
        return Err(Error::permanent(format!(
            "it has a position of {} on {strange}, a channel that this collection does not have on \
             the configured source: is this its source?",
            saved.name
        )));
    }
    if let Some(called) = saved.called(collection) {
        let told =
            format!("was called {called} by the Go tool, and is renamed on the target as well");
        plan.note(collection, &told);
    }
    if !is_there {
        plan.note(collection, IS_BEING_DROPPED);
    }
    Ok(Some(from))
}

/// By the name that it has, or had when the Go tool knew it: a task keeps what is renamed.
fn is_selected(selection: &Selection, here: &Collection, saved: Option<&GoPositions>) -> bool {
    let called = saved.and_then(|saved| saved.called(here));
    let mut names = [Some(here.name()), called].into_iter().flatten();
    names.any(|name| selection.find(&here.database, name).is_some())
}

fn gone(name: &str, id: i64, saved: &GoPositions) -> String {
    if saved.is_dropped() {
        return format!("{name} ({id}) was dropped, which the Go tool has carried out");
    }
    format!(
        "{name} ({id}) is gone on the source and its drop may not have been carried out: if the \
         target still has it, drop it there"
    )
}

fn without_database(name: &str, collection: &Collection) -> String {
    format!(
        "{name} ({}) was dropped on the source and its database, of id {}, with it, which may not have been \
         carried out: if the target still has it, drop it there, or the drop of its database waits for that",
        collection.id, collection.database_id.0
    )
}

impl GoPositions {
    /// What it was called, if it is called otherwise now.
    fn called(&self, here: &Collection) -> Option<&str> {
        Some(&*self.name).filter(|name| !name.is_empty() && *name != here.name())
    }

    fn is_dropped(&self) -> bool {
        !self.channels.is_empty() && self.channels.values().all(|at| *at == GoPosition::Dropped)
    }
}

impl CollectionPlan {
    fn new(collection: &Collection, from: &BTreeMap<String, MessageId>) -> Self {
        let shown =
            |channel: &String| from.get(channel).map_or(FIRST.into(), |id| format!("{id:?}"));
        let channels = collection.pchannels.iter();
        Self {
            id: collection.id.0,
            name: full_name(collection),
            channels: channels.map(|channel| (channel.clone(), shown(channel))).collect(),
        }
    }
}

impl TaskPlan {
    fn new(task: &GoTask) -> Self {
        Self {
            task_id: task.id.clone(),
            fate: Fate::Imported,
            reason: String::new(),
            state: String::new(),
            target: String::new(),
            selection: Vec::new(),
            collections: Vec::new(),
            op_channel: String::new(),
            fence_ms: 0,
            notes: Vec::new(),
        }
    }

    fn describe(&mut self, record: &TaskRecord) {
        self.state = record.state.to_string();
        self.target = record.milvus_connect_param.uri();
        if record.is_to_kafka() {
            self.target = record.kafka_connect_param.name();
        }
        self.selection = record
            .names()
            .into_iter()
            .map(|(database, name)| format!("{database}.{name}"))
            .collect();
        self.notes.extend(differences(record).into_iter().map(str::to_owned));
    }

    fn refused(mut self, why: &str) -> Self {
        self.fate = Fate::Refused;
        self.reason = why.to_owned();
        self
    }

    fn note(&mut self, collection: &Collection, what: &str) {
        self.notes.push(format!("{} ({}) {what}", full_name(collection), collection.id));
    }
}

fn full_name(collection: &Collection) -> String {
    format!("{}.{}", collection.database, collection.name())
}
