//! The stored form of a task: the Go tool's `TaskInfo`, key by key, and a version.
//! Never shown as it is: it contains secrets in clear text.

use super::kafka_param::KafkaParam;
use super::milvus_param::MilvusParam;
use super::target_address::TargetAddress;
use connectors::InvalidOption;
use milvus_wire::ids::CollectionName;
use replication::records::identity::Names;
use replication::records::keys;
use replication::selection::{ANY, NameRule, named};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// The version of the stored form that this program writes, and the newest it reads.
pub const VERSION: u32 = 1;

/// What a task is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Stored and never started.
    Initial,
    /// It runs, or will as soon as it can.
    Running,
    /// It does not run until somebody resumes it.
    Paused,
}

impl State {
    /// The number that the Go tool stores and exports as a metric.
    pub fn number(self) -> u8 {
        match self {
            Self::Initial => 0,
            Self::Running => 1,
            Self::Paused => 2,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            0 => Ok(Self::Initial),
            1 => Ok(Self::Running),
            2 => Ok(Self::Paused),
            n => Err(serde::de::Error::custom(format!("unknown state {n}"))),
        }
    }
}

/// One task. The names on the outside are the Go tool's field names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskRecord {
    /// See [`VERSION`].
    #[serde(default)]
    pub version: u32,
    /// Its id.
    #[serde(rename = "TaskID")]
    pub task_id: String,
    /// A target that is a Milvus.
    pub milvus_connect_param: MilvusParam,
    /// A target that is a Kafka; unused if its address is empty.
    #[serde(default)]
    pub kafka_connect_param: KafkaParam,
    /// Stored and not used, as in the Go tool.
    #[serde(default)]
    pub writer_cache_config: BufferConfig,
    /// Collections of the default database.
    #[serde(default)]
    pub collection_infos: Option<Vec<CollectionInfo>>,
    /// Collections by database.
    #[serde(default, rename = "DBCollections")]
    pub db_collections: Option<BTreeMap<String, Vec<CollectionInfo>>>,
    /// What the target calls them.
    #[serde(default)]
    pub name_mapping: Option<Vec<NameRule>>,
    /// Where the op channel begins.
    #[serde(default, rename = "RPCRequestChannelInfo")]
    pub rpc_channel: RpcChannel,
    /// Further options.
    #[serde(default)]
    pub extra_info: ExtraInfo,
    /// `database.collection` that belong to other tasks; either part may be `*`.
    #[serde(default)]
    pub exclude_collections: Option<Vec<String>>,
    /// The task is paused when the service starts.
    #[serde(default)]
    pub disable_auto_start: bool,
    /// What it is to do.
    pub state: State,
    /// Why it is paused.
    #[serde(default)]
    pub reason: String,
}

impl TaskRecord {
    /// The target Milvus that it writes to.
    pub fn milvus(&self) -> Result<TargetAddress, InvalidOption> {
        TargetAddress::parse(&self.milvus_connect_param.uri())
    }

    /// Whether it writes to a Kafka.
    pub fn is_to_kafka(&self) -> bool {
        !self.kafka_connect_param.address.is_empty()
    }

    /// Whether it may write where another task does, so that both must not write the same
    /// collection.
    pub fn may_conflict_with(&self, other: &Self, names: &Names) -> bool {
        let [here, there] = [self, other].map(|task| &task.kafka_connect_param);
        match (self.is_to_kafka(), other.is_to_kafka()) {
            (true, true) => here.may_conflict_with(&self.task_id, there, &other.task_id),
            (false, false) => match (self.target(), other.target()) {
                (Ok(here), Ok(there)) => names.of(&here) == names.of(&there),
                _ => false,
            },
            _ => false,
        }
    }

    /// The name of what it writes to; of a Milvus its address, which may be one of several.
    pub fn target(&self) -> Result<String, InvalidOption> {
        if self.is_to_kafka() {
            return Ok(self.kafka_connect_param.name());
        }
        Ok(self.milvus()?.to_string())
    }

    /// The address that its lease is on.
    pub fn lease(&self, names: &Names) -> Result<String, InvalidOption> {
        if self.is_to_kafka() {
            return Ok(keys::log_address(&self.task_id));
        }
        Ok(names.of(&self.target()?).to_owned())
    }

    /// The names that it selects; either part may be `*`.
    pub fn names(&self) -> Vec<CollectionName> {
        self.selectors().map(|(db, info)| CollectionName::new(db, &*info.name)).collect()
    }

    /// Its selectors with the database of each.
    pub fn selectors(&self) -> impl Iterator<Item = (&str, &CollectionInfo)> {
        let plain = self.collection_infos.iter().flatten().map(|c| (named(""), c));
        let by_database = self.db_collections.iter().flatten();
        plain.chain(by_database.flat_map(|(db, cs)| cs.iter().map(move |c| (named(db), c))))
    }

    /// The names that it leaves to other tasks; either part may be `*`.
    pub fn excludes(&self) -> Vec<CollectionName> {
        let excludes = self.exclude_collections.iter().flatten();
        excludes.filter_map(|e| e.split_once('.')).map(|(d, c)| CollectionName::new(d, c)).collect()
    }

    /// The source names of the name mapping; `*` where a rule is for a whole database.
    pub fn mapped_names(&self) -> Vec<CollectionName> {
        let rules = self.name_mapping.iter().flatten();
        let names = rules.flat_map(|rule| {
            let mut collections: Vec<&str> =
                rule.collection_mapping.keys().map(String::as_str).collect();
            if collections.is_empty() {
                collections.push(ANY);
            }
            let database = named(&rule.source_db);
            collections.into_iter().map(move |c| CollectionName::new(database, c))
        });
        names.collect()
    }

    /// Options that have no effect, or not with every source. None is ignored silently.
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.writer_cache_config != BufferConfig::default() {
            warnings.push("buffer_config has no effect");
        }
        if self.milvus_connect_param.channel_num != 0 {
            warnings.push("channel_num has no effect, the target is asked for its channels");
        }
        if self.extra_info.enable_user_role {
            warnings.push(
                "enable_user_role carries over no users of a source of Milvus 2.3: it does not log \
                 them, and its etcd has only a hash of their passwords; create them on the target, \
                 then they get their roles, which follow like grants",
            );
        }
        warnings
    }
}

/// One selector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CollectionInfo {
    /// A collection's name or `*`.
    pub name: String,
    /// By virtual channel, base64 of a `MsgPosition`.
    pub positions: Option<BTreeMap<String, String>>,
    /// From the collection's first message on.
    pub use_start_position: bool,
}

/// Where the op channel begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RpcChannel {
    /// The op channel's topic; empty: the configured one.
    pub name: String,
    /// base64 of a `MsgPosition`; empty: now.
    pub position: String,
}

/// Further options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExtraInfo {
    /// Users and roles too.
    pub enable_user_role: bool,
}

/// Stored and not used, as in the Go tool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BufferConfig {
    /// Unused.
    pub period: i64,
    /// Unused.
    pub size: i64,
}
