//! A task as the Go tool left it: its record, its positions, and what is wrong with them.
//! Never judges whether the task can continue.

use crate::tasks::{TaskRecord, VERSION};
use base64::{Engine, engine::general_purpose::STANDARD};
use connectors::go_records::{GoRecord, GoRecords};
use milvus_wire::catalog::Collection;
use milvus_wire::ids::CollectionId;
use milvus_wire::position::MessageId;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The Go tool keeps its record of the op channel among those of collections, under this id.
const OP_CHANNEL: i64 = -10;

/// One task.
#[derive(Debug)]
pub struct GoTask {
    /// Its id.
    pub id: String,
    /// Its record in our form, or why there is none.
    pub record: Result<TaskRecord, BrokenRecord>,
    /// What it has saved of its collections.
    pub collections: BTreeMap<CollectionId, GoPositions>,
    /// What it has saved of the op channel, by the channel's name.
    pub op: BTreeMap<String, MessageId>,
    /// Records of positions that can't be read.
    pub broken: Vec<BrokenRecord>,
}

/// A record of the Go tool that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenRecord {
    /// Its key in the store.
    pub key: String,
    /// What is wrong with it. Never quotes the record, which contains secrets.
    pub problem: String,
}

impl BrokenRecord {
    fn new(record: &GoRecord, problem: impl Into<String>) -> Self {
        Self { key: record.key.clone(), problem: problem.into() }
    }
}

impl fmt::Display for BrokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

/// What was saved of one collection.
#[derive(Debug, Default, PartialEq)]
pub struct GoPositions {
    /// Its name, as it was then.
    pub name: String,
    /// By the source's physical channel.
    pub channels: BTreeMap<String, GoPosition>,
}

impl GoPositions {
    /// What the source called it when the position was saved, if it has another name now.
    pub(super) fn former_name(&self, here: &Collection) -> Option<&str> {
        Some(&*self.name).filter(|name| !name.is_empty() && *name != here.name())
    }

    /// The Go tool has seen its drop on every channel.
    pub(super) fn is_dropped(&self) -> bool {
        !self.channels.is_empty() && self.channels.values().all(|at| *at == GoPosition::Dropped)
    }
}

/// What was saved of one channel of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoPosition {
    /// Where it would have continued.
    At(MessageId),
    /// The collection was dropped, and the tool knew.
    Dropped,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Position {
    #[serde(rename = "TaskID")]
    task_id: String,
    #[serde(rename = "CollectionID")]
    collection_id: i64,
    collection_name: String,
    positions: BTreeMap<String, Entry>,
}

/// Its `Time` is not read: the tool had rewritten it, and it lies ahead of the rows wherever two
/// channels fed one of the target. The message id alone says what is done.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    data_pair: DataPair,
    dropped: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct DataPair {
    data: String,
}

/// All tasks, in the order in which they can be stored: a task that leaves collections to others
/// comes after those others.
pub fn read(records: &GoRecords) -> Vec<GoTask> {
    let mut tasks: BTreeMap<String, GoTask> = BTreeMap::new();
    for record in &records.tasks {
        let id = last_part(&record.key).to_owned();
        let task = GoTask {
            record: task_record(record, &id),
            id: id.clone(),
            collections: BTreeMap::new(),
            op: BTreeMap::new(),
            broken: Vec::new(),
        };
        tasks.insert(id, task);
    }
    for record in &records.positions {
        // `<root>/task_position/<task>/<collection>`
        let (head, _) = record.key.rsplit_once('/').unwrap_or_default();
        let Some(task) = tasks.get_mut(last_part(head)) else { continue };
        if let Err(broken) = task.add_positions(record) {
            task.broken.push(broken);
        }
    }
    let mut tasks: Vec<GoTask> = tasks.into_values().collect();
    let leaves = |task: &GoTask| task.record.as_ref().map_or(0, |record| record.excludes().len());
    tasks.sort_by_key(leaves);
    tasks
}

impl GoTask {
    fn add_positions(&mut self, record: &GoRecord) -> Result<(), BrokenRecord> {
        let position: Position = parse(record)?;
        if !position.task_id.is_empty() && position.task_id != self.id {
            let problem = format!("says it is of task {}", position.task_id);
            return Err(BrokenRecord::new(record, problem));
        }
        let channels = position.positions.into_iter().filter_map(|(channel, entry)| {
            if entry.dropped {
                return Some(Ok((channel, GoPosition::Dropped)));
            }
            match STANDARD.decode(&entry.data_pair.data) {
                // Saved before anything was read: no position.
                Ok(id) if id.is_empty() => None,
                Ok(id) => Some(Ok((channel, GoPosition::At(MessageId(id.into()))))),
                Err(_) => {
                    let problem = format!("the position on {channel} is not base64");
                    Some(Err(BrokenRecord::new(record, problem)))
                }
            }
        });
        let channels: BTreeMap<_, _> = channels.collect::<Result<_, _>>()?;
        if position.collection_id == OP_CHANNEL {
            self.op.extend(channels.into_iter().filter_map(|(channel, at)| match at {
                GoPosition::At(id) => Some((channel, id)),
                GoPosition::Dropped => None,
            }));
        } else if position.collection_id > 0 {
            let name = position.collection_name;
            self.collections
                .insert(CollectionId(position.collection_id), GoPositions { name, channels });
        }
        // Others are placeholders.
        Ok(())
    }
}

fn task_record(record: &GoRecord, id: &str) -> Result<TaskRecord, BrokenRecord> {
    let mut task: TaskRecord = parse(record)?;
    if task.task_id != id {
        let problem = format!("says it is of task {:?}", task.task_id);
        return Err(BrokenRecord::new(record, problem));
    }
    task.version = VERSION;
    Ok(task)
}

/// Reads a record leniently: null means absent. The parser's message may quote the record, so it is
/// not used.
fn parse<T: for<'de> Deserialize<'de>>(record: &GoRecord) -> Result<T, BrokenRecord> {
    let mut value: Value = serde_json::from_slice(&record.value).map_err(|e| {
        let problem = format!("can't be read, at line {} column {}", e.line(), e.column());
        BrokenRecord::new(record, problem)
    })?;
    drop_nulls(&mut value);
    serde_json::from_value(value).map_err(|_| BrokenRecord::new(record, "is not such a record"))
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn last_part(key: &str) -> &str {
    key.rsplit_once('/').map_or(key, |(_, last)| last)
}

#[cfg(test)]
mod fuzz {
    use super::*;

    /// The first byte says which of both is cut off where: a task and a position of it.
    #[test]
    fn any_bytes_in_the_store_of_a_go_tool_are_tasks_or_named_as_broken() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let [cut, bytes @ ..] = bytes else { return };
            let (task, position) = bytes.split_at(usize::from(*cut).min(bytes.len()));
            let record =
                |key: &str, value: &[u8]| GoRecord { key: key.to_owned(), value: value.to_vec() };
            let tasks = read(&GoRecords {
                tasks: vec![record("cdc/task_info/t", task)],
                positions: vec![record("cdc/task_position/t/7", position)],
            });
            assert_eq!(tasks.len(), 1);
        });
    }
}
