//! Checks a new task and stores it as a running task, for both APIs.
//! Looks whether its target is the one of another task under another address (`one_target`). Never
//! needs a source or target to answer: a task shows as its waiting reason that one can't be
//! reached.

use super::lifecycle::START_WITHIN;
use super::one_target;
use super::positions;
use super::refusal::{Kind, Refusal};
use super::state::ApiState;
use super::target_version;
use crate::supervisor::Settled;
use crate::tasks::{
    CollectionInfo, CreateError, HOW_TO_NAME, TargetAddress, TaskRecord, check_id, in_brackets,
};
use replication::ports::Transaction;
use replication::selection::{ANY, named};

/// `/api/v1/tasks/check` is a path of the API.
const RESERVED_ID: &str = "check";

/// The outcome of a creation.
pub(super) struct Created {
    /// The task.
    pub task_id: String,
    /// Options that have no effect, or not with every source, and what the target's version says.
    pub warnings: Vec<&'static str>,
    /// `false` if there was a task of this id already; then nothing was changed.
    pub new: bool,
}

/// Checks and stores a task.
pub(super) async fn create(api: &ApiState, mut record: TaskRecord) -> Result<Created, Refusal> {
    check(&record, api.limits.name_length_max, &api.op_channel)?;
    if record.task_id.is_empty() {
        record.task_id = uuid::Uuid::new_v4().simple().to_string();
    } else if api.book.get(&record.task_id).await.map_err(|e| Refusal::store(&e))?.is_some() {
        return Ok(Created { task_id: record.task_id, warnings: Vec::new(), new: false });
    }
    let task_id = record.task_id.clone();
    let mut warnings = record.warnings();
    warnings.extend(target_version::warning(api, &record).await);
    let begin = Transaction::default();
    let same_as = one_target::find(api, &record).await.map_err(|e| Refusal::store(&e))?;
    let same_as = same_as.as_deref();
    let created = api.book.create(record, api.limits.tasks_max, same_as, begin).await;
    created.map_err(not_created)?;
    tracing::info!(task = task_id, "task created");
    if api.desk.poke(START_WITHIN).await == Settled::NotInTime {
        tracing::warn!(task = task_id, "task is stored and will start later");
    }
    Ok(Created { task_id, warnings, new: true })
}

/// Makes all checks of a creation and stores nothing. Returns the record as it would be stored.
pub(super) async fn try_out(
    api: &ApiState,
    record: TaskRecord,
) -> Result<(TaskRecord, Vec<&'static str>), Refusal> {
    check(&record, api.limits.name_length_max, &api.op_channel)?;
    let known = api.book.get(&record.task_id).await.map_err(|e| Refusal::store(&e))?;
    if known.is_some() {
        let detail = format!(
            "there is a task of this id, a creation would change nothing, task_id: {}",
            record.task_id
        );
        let refusal = Refusal::new(Kind::Conflict, detail, "give another id, or none");
        return Err(Refusal { field: "task_id".into(), ..refusal });
    }
    let same_as = one_target::find(api, &record).await.map_err(|e| Refusal::store(&e))?;
    let admitted = api.book.admit(&record, api.limits.tasks_max, same_as.as_deref()).await;
    let record = admitted.map_err(not_created)?;
    let mut warnings = record.warnings();
    warnings.extend(target_version::warning(api, &record).await);
    Ok((record, warnings))
}

fn not_created(error: CreateError) -> Refusal {
    match error {
        CreateError::Invalid(wrong) => wrong.into(),
        CreateError::Conflict(wrong) => Refusal { kind: Kind::Conflict, ..wrong.into() },
        CreateError::Full(max) => {
            // The Go tool's words.
            let detail = format!("the task num has reach the limit, {max}");
            Refusal::new(Kind::Full, detail, "delete a task, or raise maxTaskNum")
        }
        CreateError::Store(error) => Refusal::store(&error),
    }
}

fn refuse<T>(field: &str, what: &str, remedy: &str) -> Result<T, Refusal> {
    Err(Refusal::invalid(field, what, remedy))
}

fn check_new_id(id: &str) -> Result<(), Refusal> {
    check_id(id)?;
    if id == RESERVED_ID {
        let detail = format!("the task_id is invalid, `{RESERVED_ID}` is a path of the API");
        return refuse("task_id", &detail, "write another one");
    }
    Ok(())
}

/// The checks of the Go tool, in its order and words, except that several selectors are allowed.
/// No name may be longer than `max`.
pub(super) fn check(record: &TaskRecord, max: usize, op_channel: &str) -> Result<(), Refusal> {
    check_target(record)?;
    let buffer = &record.writer_cache_config;
    for (name, value) in [("period", buffer.period), ("size", buffer.size)] {
        if value < 0 {
            let detail = format!("the cache {name} is less zero");
            return refuse(&format!("buffer_config.{name}"), &detail, "leave it out");
        }
    }
    let empty = |list: Option<usize>| list.is_none_or(|len| len == 0);
    if empty(record.collection_infos.as_ref().map(Vec::len))
        && empty(record.db_collections.as_ref().map(|m| m.len()))
    {
        let remedy = "name a collection, or `*` for all of a database";
        return refuse("db_collections", "the collection info is empty", remedy);
    }
    if let Some(infos) = record.collection_infos.as_ref().filter(|l| !l.is_empty()) {
        check_infos("collection_infos", infos, max)?;
    }
    for (database, infos) in record.db_collections.iter().flatten() {
        if database.len() > max {
            let what = format!("the db name length exceeds {max} characters, {database}");
            return refuse("db_collections", &what, "shorten it, or raise maxNameLength");
        }
        check_infos(&format!("db_collections.{database}"), infos, max)?;
    }
    let rpc = &record.rpc_channel;
    if !rpc.name.is_empty() && rpc.name != op_channel {
        return refuse(
            "rpc_channel_info.name",
            "the rpc channel is invalid, the channel name should be the same as the source config",
            &format!("write {op_channel}, or leave it out"),
        );
    }
    check_mapping(record, max)?;
    positions::check(record)?;
    if record.task_id.is_empty() { Ok(()) } else { check_new_id(&record.task_id) }
}

fn check_target(record: &TaskRecord) -> Result<(), Refusal> {
    let milvus = &record.milvus_connect_param;
    let kafka = !record.kafka_connect_param.address.is_empty();
    let named = !milvus.uri.is_empty() || !milvus.host.is_empty() || milvus.port > 0;
    let here = |key: &str, what: &str, remedy: &str| {
        refuse(&format!("milvus_connect_param.{key}"), what, remedy)
    };
    match (named, kafka) {
        (false, false) => return here("uri", "the downstream address is empty", HOW_TO_NAME),
        (true, true) => {
            let what = "don't support milvus and kafka at the same time now";
            return refuse("kafka_connect_param", what, "make two tasks of it");
        }
        _ => {}
    }
    if kafka {
        if record.kafka_connect_param.topic.is_empty() {
            let what = "the kafka topic is empty";
            return refuse("kafka_connect_param.topic", what, "name the topic");
        }
        return check_kafka(record);
    }
    if milvus.uri.is_empty() {
        if milvus.host.is_empty() {
            return here("host", "the milvus host is empty", HOW_TO_NAME);
        }
        if milvus.port <= 0 {
            return here("port", "the milvus port is less or equal zero", HOW_TO_NAME);
        }
    }
    if milvus.username.is_empty() != milvus.password.is_empty() {
        let what = "cannot set only one of the milvus username and password";
        return here("username", what, "give both or none, or `token`");
    }
    if milvus.connect_timeout < 0 {
        let what = "the milvus connect timeout is less zero";
        return here("connect_timeout", what, "write seconds, or 0 for the default");
    }
    match TargetAddress::parse(&milvus.uri()) {
        Ok(_) => Ok(()),
        Err(wrong) => {
            let detail = format!("the milvus uri is invalid, {}", wrong.problem);
            here("uri", &detail, &wrong.remedy)
        }
    }
}

fn check_kafka(record: &TaskRecord) -> Result<(), Refusal> {
    // No check depends on the id, which may not exist yet.
    match record.kafka_connect_param.options("task") {
        Ok(_) => Ok(()),
        Err(wrong) => {
            let field = format!("kafka_connect_param.{}", wrong.field);
            let detail = format!("{field} is invalid, {}", wrong.problem);
            refuse(&field, &detail, &wrong.remedy)
        }
    }
}

fn check_infos(field: &str, infos: &[CollectionInfo], max: usize) -> Result<(), Refusal> {
    if infos.is_empty() {
        let remedy = "name a collection, or `*` for all of them";
        return refuse(field, "empty collection info", remedy);
    }
    for info in infos {
        let positions = info.positions.iter().flatten();
        if info.name == ANY && positions.clone().next().is_some() {
            let what = "the collection name is `*`, the positions should be empty";
            return refuse(field, what, "name the collection that the positions are of");
        }
        for (channel, _) in positions {
            if !channel.rsplit('_').next().is_some_and(|shard| shard.contains('v')) {
                let what = format!("the position channel name is not virtual channel, {channel}");
                return refuse(field, &what, positions::HOW_TO_GIVE);
            }
        }
    }
    if infos.iter().any(|i| i.name.is_empty()) {
        let what = "there is a collection name that is empty. ";
        return refuse(field, what, "name a collection, or `*` for all of them");
    }
    let long: Vec<String> =
        infos.iter().filter(|i| i.name.len() > max).map(|i| i.name.clone()).collect();
    if long.is_empty() {
        return Ok(());
    }
    let what = format!(
        "there are some collection names whose length exceeds {max} characters, {}",
        in_brackets(long)
    );
    refuse(field, &what, "shorten them, or raise maxNameLength")
}

/// Every name of the mapping must be a name of its own, not a pattern.
fn check_mapping(record: &TaskRecord, max: usize) -> Result<(), Refusal> {
    for rule in record.name_mapping.iter().flatten() {
        let sources = std::iter::once(named(&rule.source_db))
            .chain(rule.collection_mapping.keys().map(String::as_str));
        let targets = std::iter::once(named(&rule.target_db))
            .chain(rule.collection_mapping.values().map(String::as_str));
        for name in sources.chain(targets) {
            if name.is_empty() || name.len() > max || name == ANY {
                let remedy = format!("write names of 1 to {max} characters, `*` is not one");
                let what = format!("the name mapping is invalid, {name:?}: {remedy}");
                return refuse("name_mapping", &what, &remedy);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(in crate::http) mod fuzz {
    use super::*;

    /// What fuzz targets ask of any task that a body asks for: it is refused, or what is stored is
    /// read the same.
    pub(in crate::http) fn check_and_store(record: TaskRecord) {
        if check(&record, 256, "by-dev-replicate-msg").is_err() {
            return;
        }
        let _ = record.warnings();
        let stored = serde_json::to_vec(&record).unwrap();
        let again: TaskRecord = serde_json::from_slice(&stored).unwrap();
        assert_eq!(serde_json::to_vec(&again).unwrap(), stored);
    }
}
