//! `get` and `list`: tasks as users see them. Never shows a user name, password or token.

use super::answer::{Data, Refusal};
use super::state::ApiState;
use crate::tasks::{CollectionInfo, TaskRecord};
use milvus_wire::timestamp::Timestamp;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// One task.
pub(super) async fn get(api: &ApiState, id: &str) -> Result<Data, Refusal> {
    if id.is_empty() {
        return Err(Refusal::bad("task_id is empty"));
    }
    let record = api.book.get(id).await.map_err(|e| Refusal::store(&e))?;
    let record = record.ok_or_else(|| Refusal::bad(format!("not found: [{id}]")))?;
    let mut data = Data::new();
    data.insert("task".into(), task(api, &record));
    Ok(data)
}

/// All tasks.
pub(super) async fn list(api: &ApiState) -> Result<Data, Refusal> {
    let listing = api.book.list().await.map_err(|e| Refusal::store(&e))?;
    let mut data = Data::new();
    data.insert("tasks".into(), listing.records.iter().map(|r| task(api, r)).collect());
    if !listing.broken.is_empty() {
        let broken: Vec<&str> = listing.broken.iter().map(|e| e.what.as_str()).collect();
        data.insert("broken".into(), json!(broken));
    }
    Ok(data)
}

fn task(api: &ApiState, record: &TaskRecord) -> Value {
    let milvus = &record.milvus_connect_param;
    let kafka = &record.kafka_connect_param;
    let mut shown = json!({
        "task_id": record.task_id,
        "state": record.state.to_string(),
        "milvus_connect_param": {
            "host": milvus.host,
            "port": milvus.port,
            "enable_tls": milvus.enable_tls,
            "uri": milvus.uri,
            "dial_config": json!(milvus.dial_config),
            "channel_num": milvus.channel_num,
            "ignore_partition": milvus.ignore_partition,
            "connect_timeout": milvus.connect_timeout,
        },
        "kafka_connect_param": {
            "address": kafka.address,
            "topic": kafka.topic,
            "enable_sasl": kafka.enable_sasl,
            "sasl": {},
        },
        "collection_infos": infos(record.collection_infos.as_deref()),
        "db_collections": record.db_collections.as_ref().map(|by_db| {
            let shown = by_db.iter().map(|(db, list)| (db.clone(), infos(Some(list))));
            Value::Object(shown.collect())
        }),
        // Behind here are our own; the Go tool's clients skip what they don't know.
        "name_mapping": record.name_mapping,
        "exclude_collections": record.exclude_collections,
        "disable_auto_start": record.disable_auto_start,
        "status": status(api, record),
    });
    if !record.reason.is_empty() {
        shown["reason"] = json!(record.reason);
    }
    shown
}

fn infos(list: Option<&[CollectionInfo]>) -> Value {
    list.map_or(Value::Null, |list| list.iter().map(|info| json!(info)).collect())
}

/// What is known right now; stored nowhere.
fn status(api: &ApiState, record: &TaskRecord) -> Value {
    let Some(live) = api.live.get(&record.task_id) else { return json!({ "stage": "stopped" }) };
    let facts = live.facts();
    let channels = api.lag.of(&live);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let worst = channels.iter().filter_map(|c| c.lag).max_by(f64::total_cmp);
    let channels: Vec<Value> = channels
        .iter()
        .map(|c| {
            json!({
                "channel_name": c.channel,
                "read_ms": known(c.read),
                "acknowledged_ms": known(c.acknowledged),
                "source_ms": c.newest.map(Timestamp::ms),
                "looked_ms": c.looked.map(|ago| now.saturating_sub(ago).as_millis() as u64),
                "lag_seconds": c.lag,
            })
        })
        .collect();
    json!({
        "stage": facts.stage.word(),
        "waiting": facts.waiting,
        "restarts": facts.restarts,
        "lag_seconds": worst,
        "at_ms": now.as_millis() as u64,
        "channels": channels,
    })
}

fn known(tick: Timestamp) -> Option<u64> {
    (tick > Timestamp::ZERO).then(|| tick.ms())
}
