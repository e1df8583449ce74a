//! The plan for each task of the Go tool: where each of its collections continues, and what
//! differs from before. Never stores anything, and never connects to a target: the task does so
//! when it starts.

use super::go_task::{GoPosition, GoPositions, GoTask};
use crate::tasks::{TaskRecord, check_id, to_task};
use connectors::InvalidOption;
use futures::future::try_join_all;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::position::{MessageId, decode_position};
use replication::error::{Error, Result};
use replication::ports::{Snapshot, Source};
use replication::selection::Selection;
use replication::takeover::{Taken, Takeover, present_end};
use replication::task::{Limits, Policies};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// What becomes of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is taken over.
    Imported,
    /// It is stored already and left as it is.
    Exists,
    /// It can't be taken over; the reason says why.
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
    /// Its collections and where they continue.
    pub collections: Vec<CollectionPlan>,
    /// Where it continues on the op channel.
    pub op_channel: String,
    /// Inserts up to this time, in unix milliseconds, replace the target's rows with their keys.
    pub fence_ms: u64,
    /// What differs from before, and what else the user should know.
    pub notes: Vec<String>,
}

/// One collection.
#[derive(Debug, Serialize)]
pub struct CollectionPlan {
    /// Its id on the source.
    pub id: i64,
    /// `database.collection`.
    pub name: String,
    /// Where it continues, by channel: the saved message id in base64, or `first message`.
    pub channels: BTreeMap<String, String>,
}

/// A topic can't be fenced.
const AGAIN_ON_KAFKA: &str = "what the Go tool sent to Kafka after its saved positions is sent \
                              again, and so is the creation of each database and collection";

/// The Go tool saves one with the first request that it carries out.
const NO_OP_POSITION: &str = "the Go tool has saved no position of the op channel, so the task \
                              continues at the present end of that channel: requests since that \
                              tool stopped are not carried out, except that databases are created \
                              and that indexes, loads and roles of a Milvus become the source's; \
                              drop on the target the databases that were dropped meanwhile, and \
                              repeat there the requests on users";

/// The log has no rows of a collection that the catalog has given up.
const IS_BEING_DROPPED: &str =
    "is being dropped on the source; its drop follows, on a Milvus after its last rows";

/// How long an entry that is there may take. A broker that has lost one is asked again for seconds.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// A collection begins there.
const FIRST: &str = "first message";

/// Plans for one source, as its catalog was at one moment.
pub(super) struct Planner<'a> {
    /// The source's queue.
    pub(super) source: &'a dyn Source,
    /// The source's op channel.
    pub(super) op_channel: &'a str,
    /// The source's metadata.
    pub(super) snapshot: Snapshot,
}

impl Planner<'_> {
    /// Completes the plan of a task, and returns where everything continues. A permanent error is
    /// about this task alone: it can't be taken over.
    pub(super) async fn plan(
        &self,
        task: &GoTask,
        record: &TaskRecord,
        plan: &mut TaskPlan,
    ) -> Result<Takeover<'_>> {
        let selection = self.check(task, record)?;
        if record.is_to_kafka() {
            plan.notes.push(AGAIN_ON_KAFKA.to_owned());
        }
        let mut takeover = Takeover {
            collections: self.collections(task, &selection, plan)?,
            op: self.op_position(task, record, plan).await?,
            ..Takeover::default()
        };
        let channels = takeover.channels(self.source);
        let op = [(self.op_channel, &takeover.op)];
        let all = channels.iter().map(|(name, from)| (name.as_str(), from)).chain(op);
        try_join_all(all.map(|(channel, from)| self.has(channel, from))).await?;
        takeover.fence = present_end(self.source, channels.keys()).await?;
        plan.fence_ms = takeover.fence.ms();
        Ok(takeover)
    }

    /// Fails permanently if the queue does not contain what a channel has from there on. Some
    /// queues are opened at any place, and say only when they are read what is lost.
    async fn has(&self, channel: &str, from: &MessageId) -> Result<()> {
        let end = self.source.end(channel).await?;
        let mut reader = self.source.open(channel, from).await?;
        if self.source.compare(from, &end).is_eq() {
            return Ok(());
        }
        match timeout(READ_WITHIN, reader.next()).await {
            Ok(read) => read.map(drop),
            Err(_) => Err(Error::transient(format!(
                "the source's queue does not deliver {channel} from {from:?} on, so it can't be \
                 checked whether it still contains that position; see whether the queue answers, \
                 then import again"
            ))),
        }
    }

    /// Refuses a task that can't be taken over; else returns what it selects.
    fn check(&self, task: &GoTask, record: &TaskRecord) -> Result<Selection> {
        let refuse = |why: String| Err(Error::permanent(why));
        if let Some(broken) = task.broken.first() {
            return refuse(format!("{broken}; without all its positions rows could be lost"));
        }
        check_id(&task.id).map_err(unusable)?;
        if record.is_to_kafka() && record.kafka_connect_param.topic.is_empty() {
            return refuse("its Kafka topic is empty".into());
        }
        if let Err(wrong) = record.target() {
            return refuse(format!("its target's address is invalid, {}", wrong.problem));
        }
        if record.selectors().next().is_none() {
            return refuse("it selects no collection".into());
        }
        if let Some(other) = task.op.keys().find(|channel| *channel != self.op_channel) {
            return refuse(format!(
                "it has read the op channel {other}, and sourceConfig.replicateChan is {}: is this \
                 its source?",
                self.op_channel
            ));
        }
        let task = to_task(record, self.op_channel, Policies::default(), &Limits::default());
        Ok(task.map_err(unusable)?.selection)
    }

    /// The collections that the task continues with.
    fn collections(
        &self,
        task: &GoTask,
        selection: &Selection,
        plan: &mut TaskPlan,
    ) -> Result<Vec<Taken<'_>>> {
        let mut taken = Vec::new();
        for collection in &self.snapshot.collections {
            let saved = task.collections.get(&collection.id);
            if collection.database.is_empty() {
                // Only its positions still tell whether the task had it.
                if let Some(saved) = saved.filter(|saved| !saved.is_dropped()) {
                    plan.notes.push(without_database(&saved.name, collection));
                }
            } else if !is_selected(selection, collection, saved) {
                if saved.is_some() {
                    plan.note(collection, "is no longer selected by the task, and left out");
                }
            } else if let Some(from) = continues_at(collection, saved, plan)? {
                plan.collections.push(CollectionPlan::new(collection, &from));
                let called = saved.and_then(|saved| saved.former_name(collection));
                let called = called.map(str::to_owned);
                taken.push(Taken { collection, from, called });
            }
        }
        for (id, saved) in &task.collections {
            if !self.snapshot.collections.iter().any(|collection| collection.id == *id) {
                plan.notes.push(gone(&saved.name, id.0, saved));
            }
        }
        Ok(taken)
    }

    async fn op_position(
        &self,
        task: &GoTask,
        record: &TaskRecord,
        plan: &mut TaskPlan,
    ) -> Result<MessageId> {
        let given = &record.rpc_channel.position;
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

/// Where a selected collection continues by channel; `None` if the task is done with it.
fn continues_at(
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
    if let Some(called) = saved.former_name(collection) {
        let note =
            format!("was called {called} by the Go tool, and is renamed on the target as well");
        plan.note(collection, &note);
    }
    if !is_there {
        plan.note(collection, IS_BEING_DROPPED);
    }
    Ok(Some(from))
}

/// Selected by the name that it has, or had when the Go tool saved its position: a task keeps a
/// collection that is renamed.
fn is_selected(selection: &Selection, here: &Collection, saved: Option<&GoPositions>) -> bool {
    let called = saved.and_then(|saved| saved.former_name(here));
    let mut names = [Some(here.name()), called].into_iter().flatten();
    names.any(|name| selection.find(&here.database, name).is_some())
}

fn unusable(option: InvalidOption) -> Error {
    Error::permanent(option.problem)
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
        "{name} ({}) was dropped on the source and its database, of id {}, with it, which may not \
         have been carried out: if the target still has it, drop it there and then its database, \
         which stays as long as it has a collection that is not this task's",
        collection.id, collection.database_id.0
    )
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
    /// The empty plan of a task.
    pub(super) fn new(task: &GoTask) -> Self {
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

    /// Adds what the record says.
    pub(super) fn describe(&mut self, record: &TaskRecord) {
        self.state = record.state.to_string();
        self.target = record.milvus_connect_param.uri();
        if record.is_to_kafka() {
            self.target = record.kafka_connect_param.name();
        }
        self.selection = record.names().iter().map(ToString::to_string).collect();
        self.notes.extend(record.warnings().into_iter().map(str::to_owned));
    }

    pub(super) fn refused(mut self, why: &str) -> Self {
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
