//! `create`: reads what a user asks for, checks it, and stores it as a running task.
//! Never connects to anything: a source or target that is away shows as the task's waiting reason.

use super::answer::{Data, Refusal};
use super::fields::{Fields, Mismatches};
use super::positions;
use super::state::ApiState;
use crate::secret::Secret;
use crate::supervisor::Settled;
use crate::tasks::{
    BufferConfig, CollectionInfo, CreateError, DialConfig, ExtraInfo, KafkaParam, KafkaSasl,
    MilvusParam, RpcChannel, State, TargetAddress, TaskRecord, VERSION, check_id, differences,
    in_brackets,
};
use replication::ports::Transaction;
use replication::selection::{ANY, NameRule, named};
use serde_json::json;
use std::time::Duration;

/// How long a creation waits for the supervisor to have seen it; the task is stored anyway.
const START_WITHIN: Duration = Duration::from_secs(2);

/// Reads the request's types.
pub(super) fn read(fields: &Fields<'_>, m: &mut Mismatches) -> TaskRecord {
    TaskRecord {
        version: VERSION,
        task_id: fields.text("task_id", m),
        milvus_connect_param: milvus(&fields.object("milvus_connect_param", m), m),
        kafka_connect_param: kafka(&fields.object("kafka_connect_param", m), m),
        writer_cache_config: buffer(&fields.object("buffer_config", m), m),
        collection_infos: fields.list("collection_infos", m).map(|list| infos(&list, m)),
        db_collections: fields
            .lists("db_collections", m)
            .map(|map| map.into_iter().map(|(db, list)| (db, infos(&list, m))).collect()),
        name_mapping: fields.list("name_mapping", m).map(|list| mappings(&list, m)),
        rpc_channel: rpc(&fields.object("rpc_channel_info", m), m),
        extra_info: ExtraInfo {
            enable_user_role: fields.object("extra_info", m).flag("enable_user_role", m),
        },
        exclude_collections: None,
        disable_auto_start: fields.flag("disable_auto_start", m),
        state: State::Running,
        reason: String::new(),
    }
}

/// Checks and stores.
pub(super) async fn create(api: &ApiState, mut record: TaskRecord) -> Result<Data, Refusal> {
    check(api, &record)?;
    if record.task_id.is_empty() {
        record.task_id = uuid::Uuid::new_v4().simple().to_string();
    } else {
        check_id(&record.task_id).map_err(Refusal::bad)?;
        let known = api.book.get(&record.task_id).await.map_err(|e| Refusal::store(&e))?;
        if known.is_some() {
            return Ok(created(&record.task_id, Vec::new()));
        }
    }
    let id = record.task_id.clone();
    let warnings = differences(&record);
    match api.book.create(record, api.limits.tasks_max, Transaction::default()).await {
        Ok(()) => {}
        Err(CreateError::Refused(what)) => return Err(Refusal::bad(what)),
        Err(CreateError::Full(max)) => {
            return Err(Refusal::failed(format!("the task num has reach the limit, {max}")));
        }
        Err(CreateError::Store(error)) => return Err(Refusal::store(&error)),
    }
    tracing::info!(task = id, "task created");
    if api.desk.poke(START_WITHIN).await == Settled::NotInTime {
        tracing::warn!(task = id, "task is stored and will start later");
    }
    Ok(created(&id, warnings))
}

fn created(id: &str, warnings: Vec<&str>) -> Data {
    let mut data = Data::new();
    data.insert("task_id".into(), json!(id));
    if !warnings.is_empty() {
        data.insert("warnings".into(), json!(warnings));
    }
    data
}

/// The checks of the Go tool, in its order and words; several selectors are allowed here.
fn check(api: &ApiState, record: &TaskRecord) -> Result<(), Refusal> {
    check_target(record)?;
    let buffer = &record.writer_cache_config;
    if buffer.period < 0 {
        return Err(Refusal::bad("the cache period is less zero"));
    }
    if buffer.size < 0 {
        return Err(Refusal::bad("the cache size is less zero"));
    }
    let empty = |list: Option<usize>| list.is_none_or(|len| len == 0);
    if empty(record.collection_infos.as_ref().map(Vec::len))
        && empty(record.db_collections.as_ref().map(|m| m.len()))
    {
        return Err(Refusal::bad("the collection info is empty"));
    }
    let max = api.limits.name_length_max;
    if let Some(infos) = record.collection_infos.as_ref().filter(|l| !l.is_empty()) {
        check_infos(infos, max)?;
    }
    for (database, infos) in record.db_collections.iter().flatten() {
        if database.len() > max {
            let what = format!("the db name length exceeds {max} characters, {database}");
            return Err(Refusal::bad(what));
        }
        check_infos(infos, max)?;
    }
    let rpc = &record.rpc_channel;
    if !rpc.name.is_empty() && rpc.name != api.op_channel {
        return Err(Refusal::bad(
            "the rpc channel is invalid, the channel name should be the same as the source config",
        ));
    }
    check_mapping(record, max)?;
    positions::check(record)
}

fn check_target(record: &TaskRecord) -> Result<(), Refusal> {
    let milvus = &record.milvus_connect_param;
    let kafka = !record.kafka_connect_param.address.is_empty();
    let named = !milvus.uri.is_empty() || !milvus.host.is_empty() || milvus.port > 0;
    let refuse = |what: &str| Err(Refusal::bad(what));
    match (named, kafka) {
        (false, false) => return refuse("the downstream address is empty"),
        (true, true) => return refuse("don't support milvus and kafka at the same time now"),
        _ => {}
    }
    if kafka {
        if record.kafka_connect_param.topic.is_empty() {
            return refuse("the kafka topic is empty");
        }
        return refuse(
            "kafka_connect_param: a Kafka target is not supported yet by this version, give milvus_connect_param",
        );
    }
    if milvus.uri.is_empty() {
        if milvus.host.is_empty() {
            return refuse("the milvus host is empty");
        }
        if milvus.port <= 0 {
            return refuse("the milvus port is less or equal zero");
        }
    }
    if milvus.username.is_empty() != milvus.password.is_empty() {
        return refuse("cannot set only one of the milvus username and password");
    }
    if milvus.connect_timeout < 0 {
        return refuse("the milvus connect timeout is less zero");
    }
    match TargetAddress::parse(&milvus.uri()) {
        Ok(_) => Ok(()),
        Err(what) => refuse(&format!("the milvus uri is invalid, {what}")),
    }
}

fn check_infos(infos: &[CollectionInfo], max: usize) -> Result<(), Refusal> {
    if infos.is_empty() {
        return Err(Refusal::bad("empty collection info"));
    }
    for info in infos {
        let positions = info.positions.iter().flatten();
        if info.name == ANY && positions.clone().next().is_some() {
            let what = "the collection name is `*`, the positions should be empty";
            return Err(Refusal::bad(what));
        }
        for (channel, _) in positions {
            if !channel.rsplit('_').next().is_some_and(|shard| shard.contains('v')) {
                let what = format!("the position channel name is not virtual channel, {channel}");
                return Err(Refusal::bad(what));
            }
        }
    }
    if infos.iter().any(|i| i.name.is_empty()) {
        return Err(Refusal::bad("there is a collection name that is empty. "));
    }
    let long: Vec<String> =
        infos.iter().filter(|i| i.name.len() > max).map(|i| i.name.clone()).collect();
    if long.is_empty() {
        return Ok(());
    }
    Err(Refusal::bad(format!(
        "there are some collection names whose length exceeds {max} characters, {}",
        in_brackets(long)
    )))
}

/// A name on the target must be one, and may not stand for a pattern.
fn check_mapping(record: &TaskRecord, max: usize) -> Result<(), Refusal> {
    for rule in record.name_mapping.iter().flatten() {
        let sources = std::iter::once(named(&rule.source_db))
            .chain(rule.collection_mapping.keys().map(String::as_str));
        let targets = std::iter::once(named(&rule.target_db))
            .chain(rule.collection_mapping.values().map(String::as_str));
        for name in sources.chain(targets) {
            if name.is_empty() || name.len() > max || name == ANY {
                let what = format!(
                    "the name mapping is invalid, {name:?}: write names of 1 to {max} characters, `*` is not one"
                );
                return Err(Refusal::bad(what));
            }
        }
    }
    Ok(())
}

fn milvus(f: &Fields<'_>, m: &mut Mismatches) -> MilvusParam {
    let dial = f.object("dial_config", m);
    MilvusParam {
        host: f.text("host", m),
        port: f.number("port", m),
        enable_tls: f.flag("enable_tls", m),
        uri: f.text("uri", m),
        token: Secret::new(f.text("token", m)),
        username: f.text("username", m),
        password: Secret::new(f.text("password", m)),
        dial_config: DialConfig {
            server_name: dial.text("server_name", m),
            server_pem_path: dial.text("server_pem_path", m),
            ca_pem_path: dial.text("ca_pem_path", m),
            client_pem_path: dial.text("client_pem_path", m),
            client_key_path: dial.text("client_key_path", m),
        },
        channel_num: f.number("channel_num", m),
        ignore_partition: f.flag("ignore_partition", m),
        connect_timeout: f.number("connect_timeout", m),
    }
}

fn kafka(f: &Fields<'_>, m: &mut Mismatches) -> KafkaParam {
    let sasl = f.object("sasl", m);
    KafkaParam {
        address: f.text("address", m),
        topic: f.text("topic", m),
        enable_sasl: f.flag("enable_sasl", m),
        sasl: KafkaSasl {
            username: sasl.text("username", m),
            password: Secret::new(sasl.text("password", m)),
            mechanisms: sasl.text("mechanisms", m),
            security_protocol: sasl.text("security_protocol", m),
        },
    }
}

fn buffer(f: &Fields<'_>, m: &mut Mismatches) -> BufferConfig {
    BufferConfig { period: f.number("period", m), size: f.number("size", m) }
}

fn rpc(f: &Fields<'_>, m: &mut Mismatches) -> RpcChannel {
    RpcChannel { name: f.text("name", m), position: f.text("position", m) }
}

fn infos(list: &[Fields<'_>], m: &mut Mismatches) -> Vec<CollectionInfo> {
    let read = |f: &Fields<'_>| CollectionInfo {
        name: f.text("name", m),
        positions: f.texts("positions", m),
        use_start_position: f.flag("use_start_position", m),
    };
    list.iter().map(read).collect()
}

fn mappings(list: &[Fields<'_>], m: &mut Mismatches) -> Vec<NameRule> {
    let read = |f: &Fields<'_>| NameRule {
        source_db: f.text("source_db", m),
        target_db: f.text("target_db", m),
        collection_mapping: f.texts("collection_mapping", m).unwrap_or_default(),
    };
    list.iter().map(read).collect()
}
