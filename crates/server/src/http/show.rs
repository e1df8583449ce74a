//! Tasks as users see them, the same in both APIs. Never shows a user name, password or token.

use super::refusal::Refusal;
use super::state::ApiState;
use crate::monitoring::live::{self, RunStage};
use crate::secret;
use crate::tasks::{CollectionInfo, DialConfig, TaskRecord};
use milvus_wire::timestamp::Timestamp;
use replication::records::identity::Names;
use replication::selection::NameRule;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

/// All tasks.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Tasks {
    /// By id.
    pub tasks: Vec<Task>,
    /// Stored tasks that can't be read, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub broken: Vec<String>,
}

/// A task.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Task {
    /// Its id.
    #[schema(example = "orders")]
    pub task_id: String,
    /// What is stored: `Initial`, `Running` or `Paused`.
    #[schema(example = "Running")]
    pub state: String,
    /// The target.
    pub milvus_connect_param: Target,
    /// Or a Kafka target; its address is empty if there is none.
    pub kafka_connect_param: KafkaTarget,
    /// Collections of the database `default`.
    pub collection_infos: Option<Vec<CollectionInfo>>,
    /// Collections by database.
    pub db_collections: Option<BTreeMap<String, Vec<CollectionInfo>>>,
    /// Names on the target.
    pub name_mapping: Option<Vec<MappedNames>>,
    /// The collections that it leaves to other tasks, as `database.collection`.
    pub exclude_collections: Option<Vec<String>>,
    /// Whether it is paused when the service starts.
    pub disable_auto_start: bool,
    /// Why it is paused and, after a fault, what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "manually pause through http interface")]
    pub reason: String,
    /// Its current status.
    pub status: Status,
}

/// What the target calls a database and its collections.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MappedNames {
    /// The source's database.
    #[schema(example = "sales")]
    pub source_db: String,
    /// The target's database.
    #[schema(example = "sales_copy")]
    pub target_db: String,
    /// Source collection to target collection; if there are none, the whole database is mapped.
    pub collection_mapping: BTreeMap<String, String>,
}

impl From<NameRule> for MappedNames {
    fn from(rule: NameRule) -> Self {
        let NameRule { source_db, target_db, collection_mapping } = rule;
        Self { source_db, target_db, collection_mapping }
    }
}

/// A target Milvus, without its login.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Target {
    /// The older form of `uri`.
    pub host: String,
    /// The older form of `uri`.
    pub port: i64,
    /// The older form of `uri`.
    pub enable_tls: bool,
    /// Its address.
    #[schema(example = "http://target:19530")]
    pub uri: String,
    /// The address under which this Milvus was known before, if it is another one. Tasks on both
    /// share one target.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, example = "10.0.0.7:19530")]
    pub same_as: Option<String>,
    /// Files for TLS on the machine of the service.
    pub dial_config: DialConfig,
    /// Not needed: the target is asked.
    pub channel_num: i64,
    /// Partitions are neither created nor dropped.
    pub ignore_partition: bool,
    /// Seconds; 0 means the default.
    pub connect_timeout: i64,
}

/// A target Kafka, without its login.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct KafkaTarget {
    /// Brokers.
    pub address: String,
    /// Topic.
    pub topic: String,
    /// Whether SASL is spoken.
    pub enable_sasl: bool,
    /// Never shown.
    pub sasl: BTreeMap<String, String>,
    /// `replicate` or `change_event`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "change_event")]
    pub format: String,
    /// `at_least_once` or `exactly_once`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "exactly_once")]
    pub delivery: String,
    /// `array` or `base64`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "array")]
    pub vectors: String,
    /// Whether deletes are followed by a record without a value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub tombstones: bool,
    /// The topic of schema changes and progress.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub events_topic: String,
    /// Partitions of topics that are created.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub partitions: Option<i64>,
    /// Their replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub replication_factor: Option<i64>,
    /// Settings of the producer, as librdkafka names them; secrets are masked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub producer: BTreeMap<String, String>,
}

/// The current status of a task. It is not stored.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct Status {
    /// `running`, `retrying` (the task failed and is started again), `stopping` or `stopped`.
    #[schema(example = "running")]
    pub stage: &'static str,
    /// What the task waits for.
    pub waiting: Option<String>,
    /// The version of the target when the task began to run, if it is a Milvus that names one.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false, example = "v2.3.5")]
    pub target_version: String,
    /// How often it was started again after a fault since the service started.
    pub restarts: u64,
    /// How far it is behind on the worst of its channels.
    #[schema(example = 0.2)]
    pub lag_seconds: Option<f64>,
    /// The time of this status, unix milliseconds.
    #[schema(example = 1_700_000_000_000_u64)]
    pub at_ms: u64,
    /// The source's channels that it reads.
    pub channels: Vec<Channel>,
    /// The collections that can't be replicated for now, while the task goes on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub out_of_step: Vec<OutOfStep>,
}

/// A collection that is out of step with its task.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct OutOfStep {
    /// Its id on the source.
    #[schema(example = 446_000_000_000_000_001_i64)]
    pub collection_id: i64,
    /// Its database and name on the source.
    #[schema(example = "sales.orders")]
    pub collection: String,
    /// What somebody has to do.
    pub reason: String,
    /// How far the task was on the source then, unix milliseconds; null: it had just begun.
    pub since_ms: Option<u64>,
}

/// One channel of the source. Times are the source's, unix milliseconds, except `looked_ms`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Channel {
    /// Its name.
    #[schema(example = "by-dev-rootcoord-dml_0")]
    pub channel_name: String,
    /// The last tick read.
    pub read_ms: Option<u64>,
    /// Everything up to it is on the target.
    pub acknowledged_ms: Option<u64>,
    /// The newest time at the queue's end.
    pub source_ms: Option<u64>,
    /// When the queue's end was last read.
    pub looked_ms: Option<u64>,
    /// How far the target is behind the queue's end.
    pub lag_seconds: Option<f64>,
}

/// One task, if there is one of this id.
pub(super) async fn find(api: &ApiState, id: &str) -> Result<Option<Task>, Refusal> {
    let record = api.book.get(id).await.map_err(|e| Refusal::store(&e))?;
    let names = api.book.names().await.map_err(|e| Refusal::store(&e))?;
    Ok(record.map(|record| task(api, record, &names)))
}

/// All tasks.
pub(super) async fn all(api: &ApiState) -> Result<Tasks, Refusal> {
    let listing = api.book.list().await.map_err(|e| Refusal::store(&e))?;
    let names = api.book.names().await.map_err(|e| Refusal::store(&e))?;
    Ok(Tasks {
        tasks: listing.records.into_iter().map(|record| task(api, record, &names)).collect(),
        broken: listing.broken.into_iter().map(|error| error.what).collect(),
    })
}

fn task(api: &ApiState, record: TaskRecord, names: &Names) -> Task {
    let address = record.milvus().map(|address| address.to_string()).unwrap_or_default();
    let same_as = Some(names.of(&address).to_owned()).filter(|name| *name != address);
    let milvus = record.milvus_connect_param;
    let kafka = record.kafka_connect_param;
    Task {
        state: record.state.to_string(),
        milvus_connect_param: Target {
            host: milvus.host,
            port: milvus.port,
            enable_tls: milvus.enable_tls,
            uri: milvus.uri,
            same_as,
            dial_config: milvus.dial_config,
            channel_num: milvus.channel_num,
            ignore_partition: milvus.ignore_partition,
            connect_timeout: milvus.connect_timeout,
        },
        kafka_connect_param: KafkaTarget {
            address: kafka.address,
            topic: kafka.topic,
            enable_sasl: kafka.enable_sasl,
            sasl: BTreeMap::new(),
            format: kafka.format,
            delivery: kafka.delivery,
            vectors: kafka.vectors,
            tombstones: kafka.tombstones,
            events_topic: kafka.events_topic,
            partitions: Some(kafka.partitions).filter(|given| *given != 0),
            replication_factor: Some(kafka.replication_factor).filter(|given| *given != 0),
            producer: secret::masked(kafka.producer),
        },
        collection_infos: record.collection_infos,
        db_collections: record.db_collections,
        name_mapping: record
            .name_mapping
            .map(|rules| rules.into_iter().map(MappedNames::from).collect()),
        exclude_collections: record.exclude_collections,
        disable_auto_start: record.disable_auto_start,
        reason: record.reason,
        status: status(api, &record.task_id),
        task_id: record.task_id,
    }
}

/// The current status of a stored task.
pub(super) fn status(api: &ApiState, id: &str) -> Status {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at_ms = now.as_millis() as u64;
    let Some(live) = api.live.get(id) else {
        return Status { stage: RunStage::Stopped.name(), at_ms, ..Status::default() };
    };
    let facts = live.facts();
    let channels = api.lag.by_channel(&live);
    let worst = channels.iter().filter_map(|c| c.lag).max_by(f64::total_cmp);
    let channels = channels.into_iter().map(|c| Channel {
        channel_name: c.channel,
        read_ms: known(c.read),
        acknowledged_ms: known(c.acknowledged),
        source_ms: c.newest.map(Timestamp::ms),
        looked_ms: c.looked.map(|ago| now.saturating_sub(ago).as_millis() as u64),
        lag_seconds: c.lag,
    });
    Status {
        stage: facts.stage.name(),
        waiting: facts.waiting,
        target_version: facts.target_version,
        restarts: facts.restarts,
        lag_seconds: worst,
        at_ms,
        channels: channels.collect(),
        out_of_step: facts.out_of_step.into_iter().map(out_of_step).collect(),
    }
}

fn out_of_step((id, it): (i64, live::OutOfStep)) -> OutOfStep {
    OutOfStep {
        collection_id: id,
        collection: it.collection,
        reason: it.reason,
        since_ms: known(it.since),
    }
}

fn known(tick: Timestamp) -> Option<u64> {
    (tick > Timestamp::ZERO).then(|| tick.ms())
}
