//! The configuration as the program sees it: complete, checked, with its defaults.
//! Never reads a file or the environment; `dump` shows it.

use crate::api_tokens::Tokens;
use crate::listener_tls::ListenerFiles;
use crate::secret::Secret;
use connectors::pulsar::PulsarLogin;
use connectors::store::MysqlOptions;
use connectors::{KafkaLogin, TlsFiles};
use replication::task::{Limits, Policies};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that was configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the HTTP API listens, `host:port`.
    pub address: String,
    /// How the HTTP API is secured.
    pub api: ApiConfig,
    /// How many tasks there may be.
    pub max_task_num: usize,
    /// The longest name of a database or collection, in bytes.
    pub max_name_length: usize,
    /// How many requests may be in work at a time.
    pub requests_max: usize,
    /// What is logged and how.
    pub log: Log,
    /// Where tasks and checkpoints are kept.
    pub store: StoreConfig,
    /// The shared stores that the configuration names, whether they are in use or not.
    pub shared: SharedStores,
    /// Where this machine's name in a shared store is kept.
    pub state_folder: PathBuf,
    /// The Milvus that is read.
    pub source: SourceConfig,
    /// The pause after the first failure of a task; it doubles up to `limits.backoff_max`.
    pub backoff_first: Duration,
    /// What a task does about what can't be replicated as it is.
    pub policies: Policies,
    /// Neither targets nor checkpoints are written.
    pub dry_run: bool,
    /// Bounds of every task.
    pub limits: Limits,
}

/// The security of the HTTP API.
#[derive(Clone, Debug, Default)]
pub struct ApiConfig {
    /// TLS, if the API speaks it.
    pub tls: Option<ListenerFiles>,
    /// Who may do what. Without tokens everybody may do everything.
    pub tokens: Tokens,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// One JSON object per line instead of text.
    pub json: bool,
}

/// The kind of store.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// A file, relative to the working directory.
    Sqlite(PathBuf),
    /// Memory, lost with the process.
    Memory,
    /// An etcd, below `root_path`.
    Etcd(EtcdConfig),
    /// A database.
    Mysql(MysqlOptions),
}

/// The stores that several machines can share. The Go tool keeps its records in one of them.
#[derive(Clone, Debug, Default)]
pub struct SharedStores {
    /// `metaStoreConfig.etcd`.
    pub etcd: Option<EtcdConfig>,
    /// `metaStoreConfig.mysqlSourceUrl`.
    pub mysql: Option<MysqlOptions>,
}

/// The source Milvus.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Its metadata.
    pub catalog: EtcdConfig,
    /// Its message queue.
    pub queue: QueueConfig,
    /// The topic of its op channel, `<prefix>-replicate-msg`.
    pub op_channel: String,
    /// `rootCoord.dmlChannelNum` of the source; sizes the reading buffers.
    pub channels: usize,
}

/// The etcd of the source, or of a store.
#[derive(Clone, Debug)]
pub struct EtcdConfig {
    /// `host:port` or URLs.
    pub endpoints: Vec<String>,
    /// Milvus's `etcd.rootPath`, or the store's root.
    pub root_path: String,
    /// Milvus's `etcd.metaSubPath`; a store has none.
    pub meta_sub_path: String,
    /// User and password, if it asks for them.
    pub login: Option<(String, Secret)>,
    /// TLS, if it is used.
    pub tls: Option<TlsFiles>,
}

/// The queue of the source. Another kind gets its variant here, its keys in `keys` and its
/// constructor in `compose`.
#[derive(Clone, Debug)]
pub enum QueueConfig {
    /// Apache Kafka.
    Kafka(KafkaConfig),
    /// Apache Pulsar.
    Pulsar(PulsarConfig),
}

/// A Kafka.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// The login of our clients.
    pub login: KafkaLogin,
    /// Settings for librdkafka.
    pub consumer: BTreeMap<String, String>,
}

/// A Pulsar.
#[derive(Clone, Debug)]
pub struct PulsarConfig {
    /// `host:port`.
    pub brokers: Vec<String>,
    /// The tenant of the source's topics.
    pub tenant: String,
    /// Their namespace.
    pub namespace: String,
    /// The login to the brokers.
    pub login: PulsarLogin,
    /// TLS, if it is used.
    pub tls: Option<TlsFiles>,
}

impl std::fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values of `consumer` may be secrets.
        f.debug_struct("KafkaConfig").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}
