//! The part of a configuration that names the source Milvus: its etcd and its queue.
//! Never opens a connection; looks at files only to see that they can be read.

use super::pulsar;
use super::resolve::Reader;
use super::resolved::{EtcdConfig, KafkaConfig, QueueConfig, SourceConfig};
use crate::secret::Secret;
use connectors::TlsFiles;
use std::path::PathBuf;

/// Milvus's default for `rootCoord.dmlChannelNum`.
const CHANNELS: usize = 16;

/// A topic name's longest form: Kafka's limit.
const TOPIC_MAX: usize = 249;

pub(super) fn resolve(reader: &mut Reader<'_>) -> SourceConfig {
    let partition = reader.text("sourceConfig.defaultPartitionName");
    if !partition.is_empty() && partition != "_default" {
        reader.wrong(
            "sourceConfig.defaultPartitionName",
            "another name than `_default` is not supported yet by this version",
            "remove the key",
        );
    }
    SourceConfig {
        catalog: etcd(reader),
        queue: queue(reader),
        op_channel: op_channel(reader),
        channels: reader.positive("sourceConfig.channelNum", 1..=4096, CHANNELS),
    }
}

fn op_channel(reader: &mut Reader<'_>) -> String {
    const KEY: &str = "sourceConfig.replicateChan";
    const REMEDY: &str = "write the source's msgChannel.chanNamePrefix.cluster and `-replicate-msg`, for example by-dev-replicate-msg";
    let name = reader.text(KEY);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        reader.wrong(KEY, "is required and missing", REMEDY);
    } else if name.len() > TOPIC_MAX || !name.chars().all(fits) {
        reader.wrong(KEY, "not the name of a topic", REMEDY);
    }
    name
}

/// Pulsar if its address is given, as in the Go tool, else Kafka.
fn queue(reader: &mut Reader<'_>) -> QueueConfig {
    let kafka = kafka(reader);
    if let Some(pulsar) = pulsar::resolve(reader) {
        if !kafka.brokers.is_empty() {
            let what = "is not used, since sourceConfig.pulsar.address is given";
            reader.faults.warn("sourceConfig.kafka.address", what);
        }
        return QueueConfig::Pulsar(pulsar);
    }
    if kafka.brokers.is_empty() {
        reader.wrong(
            "sourceConfig.kafka.address",
            "is required and missing",
            "write the brokers of the source's Kafka, for example 127.0.0.1:9092, or its Pulsar \
             under sourceConfig.pulsar.address",
        );
    }
    QueueConfig::Kafka(kafka)
}

fn kafka(reader: &mut Reader<'_>) -> KafkaConfig {
    let brokers = reader.list("sourceConfig.kafka.address");
    if brokers.iter().any(|b| !is_host_and_port(b)) {
        reader.wrong(
            "sourceConfig.kafka.address",
            "not a list of brokers",
            "write host:port, several separated by commas",
        );
    }
    let username = reader.text("sourceConfig.kafka.saslUsername");
    let password = reader.verbatim("sourceConfig.kafka.saslPassword");
    if username.is_empty() != password.is_empty() {
        reader.wrong(
            "sourceConfig.kafka.saslUsername",
            "only one of saslUsername and saslPassword is set",
            "set both or none",
        );
    }
    let consumer = match reader.raw.get("sourceConfig.kafka.consumer") {
        Some(super::raw::Written::Map(map)) => map.clone(),
        _ => Default::default(),
    };
    KafkaConfig {
        brokers: brokers.join(","),
        sasl_username: username,
        sasl_password: Secret::new(password),
        sasl_mechanisms: reader.word(
            "sourceConfig.kafka.saslMechanisms",
            &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        ),
        security_protocol: reader.word(
            "sourceConfig.kafka.securityProtocol",
            &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        ),
        consumer,
    }
}

fn etcd(reader: &mut Reader<'_>) -> EtcdConfig {
    let old = reader.list("sourceConfig.etcdAddress");
    // As in the Go tool the deprecated three are used together or not at all.
    let (endpoints, root, meta) = if old.is_empty() {
        (
            reader.list("sourceConfig.etcd.address"),
            reader.text("sourceConfig.etcd.rootPath"),
            reader.text("sourceConfig.etcd.metaSubPath"),
        )
    } else {
        (old, reader.text("sourceConfig.etcdRootPath"), reader.text("sourceConfig.etcdMetaSubPath"))
    };
    if endpoints.iter().any(|e| !is_host_and_port(strip_scheme(e))) {
        reader.wrong(
            "sourceConfig.etcd.address",
            "not a list of endpoints",
            "write host:port, for example 127.0.0.1:2379",
        );
    }
    let or =
        |given: String, default: &str| if given.is_empty() { default.to_owned() } else { given };
    EtcdConfig {
        endpoints: if endpoints.is_empty() { vec!["127.0.0.1:2379".into()] } else { endpoints },
        root_path: or(root, "by-dev"),
        meta_sub_path: or(meta, "meta"),
        login: login(reader),
        tls: tls(reader),
    }
}

fn login(reader: &mut Reader<'_>) -> Option<(String, Secret)> {
    let enabled = reader.flag("sourceConfig.etcd.enableAuth");
    let username = reader.text("sourceConfig.etcd.username");
    let password = reader.verbatim("sourceConfig.etcd.password");
    if !enabled {
        if !username.is_empty() || !password.is_empty() {
            reader.faults.warn(
                "sourceConfig.etcd.username",
                "is not used while sourceConfig.etcd.enableAuth is false",
            );
        }
        return None;
    }
    if username.is_empty() || password.is_empty() {
        reader.wrong(
            "sourceConfig.etcd.username",
            "enableAuth is true, but username or password is missing",
            "set both, or enableAuth: false",
        );
    }
    Some((username, Secret::new(password)))
}

fn tls(reader: &mut Reader<'_>) -> Option<TlsFiles> {
    let version = reader.word("sourceConfig.etcd.tlsMinVersion", &["1.0", "1.1", "1.2", "1.3"]);
    if !reader.flag("sourceConfig.etcd.enableTLS") {
        return None;
    }
    // The client speaks 1.2 and 1.3 and takes the best that the server has.
    match version.as_str() {
        "1.0" | "1.1" => {
            reader.faults.warn("sourceConfig.etcd.tlsMinVersion", "TLS below 1.2 is never spoken")
        }
        "1.3" => reader.faults.warn(
            "sourceConfig.etcd.tlsMinVersion",
            "1.3 is preferred but can't be demanded; forbid 1.2 on the server",
        ),
        _ => {}
    }
    let cert = file(reader, "sourceConfig.etcd.tlsCertPath");
    let key = file(reader, "sourceConfig.etcd.tlsKeyPath");
    if cert.as_os_str().is_empty() != key.as_os_str().is_empty() {
        reader.wrong(
            "sourceConfig.etcd.tlsCertPath",
            "only one of tlsCertPath and tlsKeyPath is set",
            "set both or none",
        );
    }
    let ca = file(reader, "sourceConfig.etcd.tlsCACertPath");
    Some(TlsFiles { server_name: String::new(), ca, cert, key })
}

/// The name of a file that can be read; empty if none is given.
pub(super) fn file(reader: &mut Reader<'_>, path: &'static str) -> PathBuf {
    let name = reader.text(path);
    if name.is_empty() {
        return PathBuf::new();
    }
    readable(reader, path, &name)
}

/// A file that a key names; an error if it can't be read.
pub(super) fn readable(reader: &mut Reader<'_>, key: &'static str, name: &str) -> PathBuf {
    if let Err(e) = std::fs::File::open(name) {
        reader.wrong(
            key,
            &format!("the file can't be read: {e}"),
            "name a file that this user may read",
        );
    }
    name.into()
}

fn strip_scheme(endpoint: &str) -> &str {
    let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    rest.unwrap_or(endpoint).trim_end_matches('/')
}

pub(super) fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|p| p > 0)
    })
}
