//! Reads the request for a new task. Never checks the values; the shared `create` does.

use super::fields::{Fields, Mismatches};
use crate::secret::Secret;
use crate::tasks::{
    BufferConfig, CollectionInfo, DialConfig, ExtraInfo, KafkaParam, KafkaSasl, MilvusParam,
    RpcChannel, State, TaskRecord, VERSION,
};
use replication::selection::NameRule;

/// Reads the fields of the request, and collects those with the wrong type.
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
        format: f.text("format", m),
        delivery: f.text("delivery", m),
        vectors: f.text("vectors", m),
        tombstones: f.flag("tombstones", m),
        events_topic: f.text("events_topic", m),
        partitions: f.number("partitions", m),
        replication_factor: f.number("replication_factor", m),
        producer: f.texts("producer", m).unwrap_or_default(),
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

#[cfg(test)]
mod fuzz {
    use super::*;
    use crate::http::create::fuzz::check_and_store;

    #[test]
    fn any_body_is_a_task_or_refused() {
        bolero::check!().for_each(|body: &[u8]| {
            let Ok(value) = serde_json::from_slice(body) else { return };
            let mut wrong = Mismatches::default();
            let record = read(&Fields::new("", Some(&value), &mut wrong), &mut wrong);
            if wrong.text().is_none() {
                check_and_store(record);
            }
        });
    }
}
