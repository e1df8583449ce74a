//! The stored form of a task: the Go tool's `TaskInfo`, key by key, and a version.
//! Never shown to anybody: it holds secrets in clear.

use super::address::TargetAddress;
use super::kafka_param::KafkaParam;
use crate::secret::{self, Secret};
use connectors::TlsFiles;
use replication::records::keys;
use replication::selection::{NameRule, named};
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
    /// It runs, or is on its way to.
    Running,
    /// It does not run until somebody resumes it.
    Paused,
}

impl State {
    /// The number that the Go tool stores and exports.
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
    /// The target.
    pub milvus_connect_param: MilvusParam,
    /// Or a target Kafka; empty without an address.
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
    pub fn milvus(&self) -> Result<TargetAddress, String> {
        TargetAddress::parse(&self.milvus_connect_param.uri())
    }

    /// Whether it writes to a Kafka.
    pub fn is_to_kafka(&self) -> bool {
        !self.kafka_connect_param.address.is_empty()
    }

    /// Whether it may write where another task does, so that they must not write the same.
    pub fn meets(&self, other: &Self) -> bool {
        let [here, there] = [self, other].map(|task| &task.kafka_connect_param);
        match (self.is_to_kafka(), other.is_to_kafka()) {
            (true, true) => here.meets(&self.task_id, there, &other.task_id),
            (false, false) => self.target().is_ok_and(|target| other.target() == Ok(target)),
            _ => false,
        }
    }

    /// The name of what it writes to.
    pub fn target(&self) -> Result<String, String> {
        if self.is_to_kafka() {
            return Ok(self.kafka_connect_param.name());
        }
        Ok(self.milvus()?.to_string())
    }

    /// What the lease is on under which it is replicated.
    pub fn lease(&self) -> Result<String, String> {
        if self.is_to_kafka() { Ok(keys::log_address(&self.task_id)) } else { self.target() }
    }

    /// Its selectors as database and collection; either may be `*`.
    pub fn names(&self) -> Vec<(String, String)> {
        self.selectors().map(|(db, info)| (db.to_owned(), info.name.clone())).collect()
    }

    /// Its selectors with the database of each.
    pub fn selectors(&self) -> impl Iterator<Item = (&str, &CollectionInfo)> {
        let plain = self.collection_infos.iter().flatten().map(|c| (named(""), c));
        let by_database = self.db_collections.iter().flatten();
        plain.chain(by_database.flat_map(|(db, cs)| cs.iter().map(move |c| (named(db), c))))
    }

    /// What belongs to other tasks, as database and collection.
    pub fn excludes(&self) -> Vec<(String, String)> {
        let excludes = self.exclude_collections.iter().flatten();
        excludes.filter_map(|e| e.split_once('.')).map(|(d, c)| (d.into(), c.into())).collect()
    }
}

/// How to reach a target Milvus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MilvusParam {
    /// Deprecated; see [`Self::uri`].
    pub host: String,
    /// Deprecated.
    pub port: i64,
    /// Deprecated.
    pub enable_tls: bool,
    /// `http(s)://host:port`.
    pub uri: String,
    /// `user:password`.
    #[serde(with = "secret::stored", skip_serializing_if = "Secret::is_empty")]
    pub token: Secret,
    /// Deprecated.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Deprecated.
    #[serde(with = "secret::stored", skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    /// Files for TLS.
    pub dial_config: DialConfig,
    /// The target's `rootCoord.dmlChannelNum`; not needed, the target is asked.
    pub channel_num: i64,
    /// Creating and dropping partitions is left out.
    pub ignore_partition: bool,
    /// Seconds; zero: the default.
    pub connect_timeout: i64,
}

impl MilvusParam {
    /// The address, from whichever form was given; empty if none was.
    pub fn uri(&self) -> String {
        if !self.uri.is_empty() {
            self.uri.clone()
        } else if self.host.contains("http://") || self.host.contains("https://") {
            self.host.clone()
        } else if !self.host.is_empty() && self.port > 0 {
            let scheme = if self.enable_tls { "https" } else { "http" };
            format!("{scheme}://{}:{}", self.host, self.port)
        } else {
            String::new()
        }
    }

    /// `user:password`, from whichever form was given; empty if none was.
    pub fn login(&self) -> Secret {
        if !self.token.is_empty() {
            self.token.clone()
        } else if self.username.is_empty() {
            Secret::default()
        } else {
            Secret::new(format!("{}:{}", self.username, self.password.expose()))
        }
    }
}

/// Files for TLS to the target, on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DialConfig {
    /// The name in the target's certificate, if it is not the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// Root certificate; one-way TLS.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_pem_path: String,
    /// Root certificate; two-way TLS.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca_pem_path: String,
    /// Our certificate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_pem_path: String,
    /// Its key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_key_path: String,
}

impl DialConfig {
    /// As the client takes them; says what is missing of two-way TLS.
    pub fn files(&self) -> Result<TlsFiles, &'static str> {
        let two_way = [&self.ca_pem_path, &self.client_pem_path, &self.client_key_path];
        let (ca, cert, key) = match two_way.map(|path| path.is_empty()) {
            [true, true, true] => (&self.server_pem_path, "", ""),
            [false, false, false] => {
                (&self.ca_pem_path, &*self.client_pem_path, &*self.client_key_path)
            }
            _ => {
                return Err("two-way TLS to the target needs ca_pem_path, client_pem_path and \
                            client_key_path");
            }
        };
        let server_name = self.server_name.clone();
        Ok(TlsFiles { server_name, ca: ca.into(), cert: cert.into(), key: key.into() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_two_way_tls_is_refused() {
        let one_way = DialConfig { server_pem_path: "/s".into(), ..DialConfig::default() };
        let files = one_way.files().unwrap();
        assert_eq!((files.ca, files.cert), ("/s".into(), "".into()));
        let half = DialConfig { ca_pem_path: "/ca".into(), ..one_way };
        assert!(half.files().unwrap_err().contains("client_key_path"));
        let (client_pem_path, client_key_path) = ("/c".to_owned(), "/k".to_owned());
        let files = DialConfig { client_pem_path, client_key_path, ..half }.files().unwrap();
        assert_eq!((files.ca, files.cert, files.key), ("/ca".into(), "/c".into(), "/k".into()));
    }
}
