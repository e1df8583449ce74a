//! A task as the Go tool left it: its record and its positions, with whatever is wrong with them.
//! Never judges whether it can go on.

use crate::tasks::{TaskRecord, VERSION};
use base64::{Engine, engine::general_purpose::STANDARD};
use connectors::go_records::{GoRecord, GoRecords};
use milvus_wire::ids::CollectionId;
use milvus_wire::position::MessageId;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Its record of the op channel lies among those of collections, under this id.
const OP_CHANNEL: i64 = -10;

/// One task.
#[derive(Debug)]
pub struct GoTask {
    /// Its id.
    pub id: String,
    /// Its record in our form; the error says why there is none.
    pub record: Result<TaskRecord, String>,
    /// What it has saved of its collections.
    pub collections: BTreeMap<CollectionId, GoPositions>,
    /// What it has saved of the op channel, by the channel's name.
    pub op: BTreeMap<String, MessageId>,
    /// What can't be read besides the record itself.
    pub broken: Vec<String>,
}

/// What was saved of one collection.
#[derive(Debug, Default, PartialEq)]
pub struct GoPositions {
    /// Its name, as it was then.
    pub name: String,
    /// By the source's physical channel.
    pub channels: BTreeMap<String, GoPosition>,
}

/// What was saved of one channel of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoPosition {
    /// Where it would have gone on.
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

/// Its `Time` is not read: it is of timestamps that the tool had rewritten, and lies ahead of the
/// rows where channels shared one of the target. What is done is known by the message id alone.
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

/// All tasks, those first that leave the fewest collections to others: these others come before the
/// ones that leave theirs to them.
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
        if let Err(what) = task.take_in(record) {
            task.broken.push(format!("{}: {what}", record.key));
        }
    }
    let mut tasks: Vec<GoTask> = tasks.into_values().collect();
    let leaves = |task: &GoTask| task.record.as_ref().map_or(0, |record| record.excludes().len());
    tasks.sort_by_key(leaves);
    tasks
}

impl GoTask {
    fn take_in(&mut self, record: &GoRecord) -> Result<(), String> {
        let position: Position = parse(&record.value)?;
        if !position.task_id.is_empty() && position.task_id != self.id {
            return Err(format!("says it is of task {}", position.task_id));
        }
        let channels = position.positions.into_iter().filter_map(|(channel, entry)| {
            if entry.dropped {
                return Some(Ok((channel, GoPosition::Dropped)));
            }
            match STANDARD.decode(&entry.data_pair.data) {
                // Saved before anything was read: no position.
                Ok(id) if id.is_empty() => None,
                Ok(id) => Some(Ok((channel, GoPosition::At(MessageId(id.into()))))),
                Err(_) => Some(Err(format!("the position on {channel} is not base64"))),
            }
        });
        let channels: BTreeMap<_, _> = channels.collect::<Result<_, String>>()?;
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

fn task_record(record: &GoRecord, id: &str) -> Result<TaskRecord, String> {
    let mut task: TaskRecord =
        parse(&record.value).map_err(|what| format!("{}: {what}", record.key))?;
    if task.task_id != id {
        return Err(format!("{}: says it is of task {:?}", record.key, task.task_id));
    }
    task.version = VERSION;
    Ok(task)
}

/// Lenient: what is null is absent. The parser's message may quote the record, which holds secrets.
fn parse<T: for<'de> Deserialize<'de>>(json: &[u8]) -> Result<T, String> {
    let at =
        |e: serde_json::Error| format!("can't be read, at line {} column {}", e.line(), e.column());
    let mut value: Value = serde_json::from_slice(json).map_err(at)?;
    drop_nulls(&mut value);
    serde_json::from_value(value).map_err(|_| "is not such a record".to_owned())
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
