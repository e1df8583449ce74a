//! The request for a new task: the keys of `create` in `/cdc`, in their exact spelling. Unknown
//! keys are refused. Never checks the values; the shared `create` does.

use crate::http::whole_number::whole;
use crate::secret::Secret;
use crate::tasks::{
    BufferConfig, CollectionInfo, DialConfig, ExtraInfo, KafkaParam, KafkaSasl, MilvusParam,
    RpcChannel, State, TaskRecord, VERSION,
};
use replication::selection::NameRule;
use serde::de::{self, MapAccess, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// A new task. Null means the same as an absent key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub(in crate::http) struct NewTask {
    /// Its id. If it is empty or absent, the service makes one. If there is a task of this id
    /// already, nothing is changed.
    #[schema(pattern = "^[A-Za-z0-9_-]{0,128}$", example = "orders")]
    task_id: Option<String>,
    /// A target that is a Milvus.
    milvus_connect_param: Option<NewTarget>,
    /// A target that is a Kafka.
    kafka_connect_param: Option<NewKafka>,
    /// Accepted without effect.
    buffer_config: Option<NewBuffer>,
    /// Collections of the database `default`.
    collection_infos: Option<Vec<NewSelector>>,
    /// Collections by database; database and name may be `*`.
    db_collections: Option<BTreeMap<String, Vec<NewSelector>>>,
    /// Names on the target.
    name_mapping: Option<Vec<NewMapping>>,
    /// Where to begin on the op channel.
    rpc_channel_info: Option<NewRpc>,
    /// Further options.
    extra_info: Option<NewExtra>,
    /// Whether the task starts only now, and is paused when the service starts the next time.
    disable_auto_start: Option<bool>,
}

/// How to reach a target Milvus.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
struct NewTarget {
    /// Its address. `https://` means TLS.
    #[schema(example = "http://target:19530")]
    uri: Option<String>,
    /// `user:password`
    #[schema(format = Password)]
    token: Option<String>,
    /// Files for TLS on the machine of the service.
    dial_config: Option<NewDial>,
    /// Seconds; 0 means the default.
    #[schema(minimum = 0)]
    #[serde(default, deserialize_with = "optional_whole")]
    connect_timeout: Option<i64>,
    /// Whether partitions are neither created nor dropped.
    ignore_partition: Option<bool>,
    /// Not needed: the target is asked.
    #[serde(default, deserialize_with = "optional_whole")]
    channel_num: Option<i64>,
    /// The older form of `uri`.
    #[schema(deprecated)]
    host: Option<String>,
    /// The older form of `uri`.
    #[schema(deprecated)]
    #[serde(default, deserialize_with = "optional_whole")]
    port: Option<i64>,
    /// The older form of `uri`.
    #[schema(deprecated)]
    enable_tls: Option<bool>,
    /// The older form of `token`.
    #[schema(deprecated)]
    username: Option<String>,
    /// The older form of `token`.
    #[schema(deprecated, format = Password)]
    password: Option<String>,
}

/// PEM files for TLS to the target.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
struct NewDial {
    /// The name in the target's certificate, if it is not the host.
    server_name: Option<String>,
    /// The authorities that may sign the target's certificate, for one-way TLS.
    server_pem_path: Option<String>,
    /// The authorities that may sign the target's certificate, for two-way TLS.
    ca_pem_path: Option<String>,
    /// Our certificate.
    client_pem_path: Option<String>,
    /// Its key.
    client_key_path: Option<String>,
}

/// How to reach a target Kafka.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
struct NewKafka {
    /// Brokers, `host:port`, separated by commas.
    #[schema(example = "kafka:9092")]
    address: Option<String>,
    /// The topic, or a template: `{task}` and, for change events, `{database}` and `{collection}`.
    #[schema(example = "milvus.{database}.{collection}")]
    topic: Option<String>,
    /// Whether SASL is spoken.
    enable_sasl: Option<bool>,
    /// Its settings.
    sasl: Option<NewSasl>,
    /// `replicate`, which is the Go tool's, or `change_event`: one record a row. Default:
    /// `replicate`.
    #[schema(pattern = "^(replicate|change_event)?$", example = "change_event")]
    format: Option<String>,
    /// `exactly_once` writes in transactions of Kafka. Default: `at_least_once`.
    #[schema(pattern = "^(at_least_once|exactly_once)?$", example = "exactly_once")]
    delivery: Option<String>,
    /// Vectors in change events, `array` or `base64`. Default: `array`.
    #[schema(pattern = "^(array|base64)?$", example = "array")]
    vectors: Option<String>,
    /// Whether a delete is followed by a record with its key and no value, for compacted topics.
    tombstones: Option<bool>,
    /// The topic of schema changes and progress, a template with `{task}`. Default:
    /// `{task}.events`.
    events_topic: Option<String>,
    /// Partitions of topics that are created; 0 means the broker's default.
    #[schema(minimum = 0, maximum = 65535)]
    #[serde(default, deserialize_with = "optional_whole")]
    partitions: Option<i64>,
    /// Their replicas; 0 means the broker's default.
    #[schema(minimum = 0, maximum = 65535)]
    #[serde(default, deserialize_with = "optional_whole")]
    replication_factor: Option<i64>,
    /// Settings of librdkafka for TLS, the network and speed; docs/kafka-sink.md lists them.
    producer: Option<BTreeMap<String, String>>,
}

/// SASL of a target Kafka.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
struct NewSasl {
    /// User.
    username: Option<String>,
    /// Its password.
    #[schema(format = Password)]
    password: Option<String>,
    /// Mechanisms.
    mechanisms: Option<String>,
    /// Protocol.
    security_protocol: Option<String>,
}

/// Accepted without effect.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
struct NewBuffer {
    /// Unused.
    #[schema(minimum = 0)]
    #[serde(default, deserialize_with = "optional_whole")]
    period: Option<i64>,
    /// Unused.
    #[schema(minimum = 0)]
    #[serde(default, deserialize_with = "optional_whole")]
    size: Option<i64>,
}

/// Which collections.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
struct NewSelector {
    /// A collection's name, or `*`.
    #[schema(min_length = 1, example = "orders")]
    name: String,
    /// Where to begin, by virtual channel, as the positions of a task show them.
    positions: Option<BTreeMap<String, String>>,
    /// Whether a collection that exists is read from the first message that the queue still has,
    /// not from the next one.
    use_start_position: Option<bool>,
}

/// What the target calls a database and its collections.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
struct NewMapping {
    /// The source's database; empty means `default`.
    #[schema(example = "sales")]
    source_db: Option<String>,
    /// The target's database; empty means `default`.
    #[schema(example = "sales_copy")]
    target_db: Option<String>,
    /// Source collection to target collection; if there are none, the whole database is mapped.
    collection_mapping: Option<BTreeMap<String, String>>,
}

/// Where to begin on the op channel.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
struct NewRpc {
    /// The op channel, which can only be the configured one.
    name: Option<String>,
    /// A position; without one the task begins now.
    position: Option<String>,
}

/// Further options.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
struct NewExtra {
    /// Roles, grants and who has which role too; users and their passwords of sources that log
    /// them: Milvus 2.4 and later.
    enable_user_role: Option<bool>,
}

impl From<NewTask> for TaskRecord {
    fn from(new: NewTask) -> Self {
        let selectors =
            |list: Vec<NewSelector>| list.into_iter().map(CollectionInfo::from).collect();
        let rpc = new.rpc_channel_info.map(RpcChannel::from);
        let buffer = new.buffer_config.map(|b| BufferConfig {
            period: b.period.unwrap_or_default(),
            size: b.size.unwrap_or_default(),
        });
        Self {
            version: VERSION,
            task_id: new.task_id.unwrap_or_default(),
            milvus_connect_param: new.milvus_connect_param.map(Into::into).unwrap_or_default(),
            kafka_connect_param: new.kafka_connect_param.map(Into::into).unwrap_or_default(),
            writer_cache_config: buffer.unwrap_or_default(),
            collection_infos: new.collection_infos.map(selectors),
            db_collections: new
                .db_collections
                .map(|by_db| by_db.into_iter().map(|(db, list)| (db, selectors(list))).collect()),
            name_mapping: new
                .name_mapping
                .map(|rules| rules.into_iter().map(NameRule::from).collect()),
            rpc_channel: rpc.unwrap_or_default(),
            extra_info: ExtraInfo {
                enable_user_role: new
                    .extra_info
                    .and_then(|extra| extra.enable_user_role)
                    .unwrap_or_default(),
            },
            exclude_collections: None,
            disable_auto_start: new.disable_auto_start.unwrap_or_default(),
            state: State::Running,
            reason: String::new(),
        }
    }
}

impl From<NewTarget> for MilvusParam {
    fn from(new: NewTarget) -> Self {
        Self {
            host: new.host.unwrap_or_default(),
            port: new.port.unwrap_or_default(),
            enable_tls: new.enable_tls.unwrap_or_default(),
            uri: new.uri.unwrap_or_default(),
            token: Secret::new(new.token.unwrap_or_default()),
            username: new.username.unwrap_or_default(),
            password: Secret::new(new.password.unwrap_or_default()),
            dial_config: new.dial_config.map(DialConfig::from).unwrap_or_default(),
            channel_num: new.channel_num.unwrap_or_default(),
            ignore_partition: new.ignore_partition.unwrap_or_default(),
            connect_timeout: new.connect_timeout.unwrap_or_default(),
        }
    }
}

impl From<NewDial> for DialConfig {
    fn from(new: NewDial) -> Self {
        Self {
            server_name: new.server_name.unwrap_or_default(),
            server_pem_path: new.server_pem_path.unwrap_or_default(),
            ca_pem_path: new.ca_pem_path.unwrap_or_default(),
            client_pem_path: new.client_pem_path.unwrap_or_default(),
            client_key_path: new.client_key_path.unwrap_or_default(),
        }
    }
}

impl From<NewKafka> for KafkaParam {
    fn from(new: NewKafka) -> Self {
        let sasl = new.sasl.map(|sasl| KafkaSasl {
            username: sasl.username.unwrap_or_default(),
            password: Secret::new(sasl.password.unwrap_or_default()),
            mechanisms: sasl.mechanisms.unwrap_or_default(),
            security_protocol: sasl.security_protocol.unwrap_or_default(),
        });
        Self {
            address: new.address.unwrap_or_default(),
            topic: new.topic.unwrap_or_default(),
            enable_sasl: new.enable_sasl.unwrap_or_default(),
            sasl: sasl.unwrap_or_default(),
            format: new.format.unwrap_or_default(),
            delivery: new.delivery.unwrap_or_default(),
            vectors: new.vectors.unwrap_or_default(),
            tombstones: new.tombstones.unwrap_or_default(),
            events_topic: new.events_topic.unwrap_or_default(),
            partitions: new.partitions.unwrap_or_default(),
            replication_factor: new.replication_factor.unwrap_or_default(),
            producer: new.producer.unwrap_or_default(),
        }
    }
}

impl From<NewSelector> for CollectionInfo {
    fn from(new: NewSelector) -> Self {
        Self {
            name: new.name,
            positions: new.positions,
            use_start_position: new.use_start_position.unwrap_or_default(),
        }
    }
}

impl From<NewMapping> for NameRule {
    fn from(new: NewMapping) -> Self {
        Self {
            source_db: new.source_db.unwrap_or_default(),
            target_db: new.target_db.unwrap_or_default(),
            collection_mapping: new.collection_mapping.unwrap_or_default(),
        }
    }
}

impl From<NewRpc> for RpcChannel {
    fn from(new: NewRpc) -> Self {
        Self { name: new.name.unwrap_or_default(), position: new.position.unwrap_or_default() }
    }
}

/// Reads a whole number.
fn optional_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    whole(&number)
        .map(Some)
        .ok_or_else(|| de::Error::custom("the number is not whole, or too large"))
}

/// Reads these types from objects only: the derived code would accept a list of values too.
macro_rules! read_from_objects {
    ($($new:ident),*) => { $(
        impl<'de> Deserialize<'de> for $new {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;

                impl<'de> de::Visitor<'de> for Object {
                    type Value = $new;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$new, A::Error> {
                        // The derived function, not this one.
                        $new::deserialize(MapAccessDeserializer::new(map))
                    }
                }

                deserializer.deserialize_map(Object)
            }
        }
    )* };
}

read_from_objects!(
    NewTask,
    NewTarget,
    NewDial,
    NewKafka,
    NewSasl,
    NewBuffer,
    NewSelector,
    NewMapping,
    NewRpc,
    NewExtra
);

#[cfg(test)]
mod fuzz {
    use super::*;
    use crate::http::create::fuzz::check_and_store;
    use crate::http::v1::input;

    #[test]
    fn any_body_is_a_task_or_refused() {
        bolero::check!().for_each(|body: &[u8]| {
            if let Ok(new) = input::read::<NewTask>(body) {
                check_and_store(new.into());
            }
        });
    }
}
