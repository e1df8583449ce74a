//! The configuration file of a milvus-cdc under test. Never holds more than a user would write.

use std::fmt::Write;
use std::path::Path;

/// What differs from one test to the next.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// `host:port` of the source's etcd.
    pub etcd: String,
    /// The root path of the source in etcd.
    pub root_path: String,
    /// The source's queue: a Pulsar if it begins with `pulsar`, else the brokers of a Kafka.
    pub queue: String,
    /// The source's op channel.
    pub replicate_channel: String,
    /// What it logs: `debug`, `info`, `warn`.
    pub log_level: String,
    /// Lines of YAML that are added at the top level.
    pub more: String,
    /// Added to its environment.
    pub environment: Vec<(String, String)>,
}

impl ServiceConfig {
    /// For the source of a pair.
    pub fn of_pair(pair: &lab::Pair) -> Self {
        let source = &pair.source.options.name;
        Self::new(&pair.source_etcd.endpoint(), source, &pair.queue.address())
    }

    /// For a source whose channels are named after its root path.
    pub fn new(etcd: &str, root_path: &str, queue: &str) -> Self {
        Self {
            etcd: etcd.to_owned(),
            root_path: root_path.to_owned(),
            queue: queue.to_owned(),
            replicate_channel: format!("{root_path}-replicate-msg"),
            log_level: "info".to_owned(),
            more: String::new(),
            environment: vec![],
        }
    }

    pub(super) fn yaml(&self, address: &str, folder: &Path) -> String {
        let mut yaml = String::new();
        // Quoted as JSON, which YAML reads: no value can break the file.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let queue = if self.queue.starts_with("pulsar") { "  pulsar" } else { "  kafka" };
        let store = folder.join("milvus-cdc.db");
        let lines = [
            ("address", quoted(address)),
            ("maxTaskNum", "100".to_owned()),
            ("logLevel", quoted(&self.log_level)),
            ("metaStoreConfig", "".to_owned()),
            ("  storeType", "sqlite".to_owned()),
            ("  sqlite", "".to_owned()),
            ("    path", quoted(&store.to_string_lossy())),
            ("sourceConfig", "".to_owned()),
            ("  replicateChan", quoted(&self.replicate_channel)),
            ("  etcd", "".to_owned()),
            ("    address", format!("[{}]", quoted(&self.etcd))),
            ("    rootPath", quoted(&self.root_path)),
            ("    metaSubPath", "meta".to_owned()),
            (queue, "".to_owned()),
            ("    address", quoted(&self.queue)),
        ];
        for (key, value) in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(yaml, "{key}: {value}");
        }
        yaml + &self.more
    }
}
