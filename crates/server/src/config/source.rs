//! The part of a configuration that names the source Milvus: its etcd and its queue.
//! Never opens a connection.

use super::etcd::SOURCE;
use super::pulsar;
use super::reader::{Reader, is_host_and_port};
use super::resolved::{EtcdConfig, KafkaConfig, QueueConfig, SourceConfig};
use crate::secret::Secret;
use connectors::KafkaLogin;

/// Milvus's default for `rootCoord.dmlChannelNum`.
const CHANNELS: usize = 16;

/// The longest name of a topic, which is Kafka's limit.
const TOPIC_MAX: usize = 249;

pub(super) fn resolve(reader: &mut Reader<'_>) -> SourceConfig {
    SourceConfig {
        catalog: etcd(reader),
        queue: queue(reader),
        op_channel: op_channel(reader),
        channels: reader.positive("sourceConfig.channelNum", 1..=4096, CHANNELS),
    }
}

fn op_channel(reader: &mut Reader<'_>) -> String {
    const KEY: &str = "sourceConfig.replicateChan";
    const REMEDY: &str = "write the source's msgChannel.chanNamePrefix.cluster and \
                          `-replicate-msg`, for example by-dev-replicate-msg";
    let name = reader.text(KEY);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        reader.wrong(KEY, "is required and missing", REMEDY);
    } else if name.len() > TOPIC_MAX || !name.chars().all(fits) {
        reader.wrong(KEY, "not the name of a topic", REMEDY);
    }
    name
}

/// Pulsar if its address is given, otherwise Kafka, as in the Go tool.
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
        login: KafkaLogin {
            username,
            password: Secret::new(password),
            mechanisms: reader.word(
                "sourceConfig.kafka.saslMechanisms",
                &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
            ),
            protocol: reader.word(
                "sourceConfig.kafka.securityProtocol",
                &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
            ),
        },
        consumer,
    }
}

fn etcd(reader: &mut Reader<'_>) -> EtcdConfig {
    let old = reader.list("sourceConfig.etcdAddress");
    // As in the Go tool, the three deprecated keys are used together or not at all.
    let (endpoints, root, meta) = if old.is_empty() {
        (
            reader.list("sourceConfig.etcd.address"),
            reader.text("sourceConfig.etcd.rootPath"),
            reader.text("sourceConfig.etcd.metaSubPath"),
        )
    } else {
        (old, reader.text("sourceConfig.etcdRootPath"), reader.text("sourceConfig.etcdMetaSubPath"))
    };
    SOURCE.check_endpoints(reader, &endpoints);
    let or =
        |given: String, default: &str| if given.is_empty() { default.to_owned() } else { given };
    EtcdConfig {
        endpoints: if endpoints.is_empty() { vec!["127.0.0.1:2379".into()] } else { endpoints },
        root_path: or(root, "by-dev"),
        meta_sub_path: or(meta, "meta"),
        login: SOURCE.login(reader),
        tls: SOURCE.tls(reader),
    }
}
