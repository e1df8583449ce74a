//! The configuration: all faults at once, overrides, the files of the Go tool, and a dump that can
//! be read again and shows no secret.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod secrets;
mod sections;

use milvus_wire::timestamp::Timestamp;
use replication::ports::{Change, Ddl, Transaction};
use serde_json::{Value, json};
use server::compose;
use server::config::{self, Config, Faults, QueueConfig, StoreConfig, keys};
use server::tasks::TaskRecord;
use server::world::TargetClient;
use std::collections::BTreeMap;
use std::time::Duration;

const MINIMAL: &str = "
sourceConfig:
  replicateChan: by-dev-replicate-msg
  kafka: {address: 'broker:9092'}
";

fn read(text: &str, env: &[(&str, &str)]) -> (Option<Config>, Faults) {
    let mut faults = Faults::default();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let config = config::parse(text, env, &mut faults);
    (config, faults)
}

/// Reads a configuration that must be valid.
fn good(text: &str, env: &[(&str, &str)]) -> Config {
    let (config, faults) = read(text, env);
    config.unwrap_or_else(|| panic!("{:#?}", faults.errors))
}

#[test]
fn three_keys_are_enough() {
    let (config, faults) = read(MINIMAL, &[]);
    let config = config.unwrap();
    assert_eq!(faults.warnings, Vec::<String>::new());
    assert_eq!(config.address, "127.0.0.1:8444");
    assert_eq!((config.max_task_num, config.max_name_length), (100, 256));
    assert!(
        matches!(config.store, StoreConfig::Sqlite(file) if file.as_os_str() == "milvus-cdc.db")
    );
    assert_eq!(config.source.catalog.endpoints, ["127.0.0.1:2379"]);
    assert_eq!(config.source.catalog.root_path, "by-dev");
    assert_eq!(config.source.catalog.meta_sub_path, "meta");
    assert_eq!(config.limits.idle_tick, Duration::from_millis(500));
    assert_eq!(config.log.level, "info");
}

#[test]
fn the_environment_alone_can_be_the_configuration() {
    let config = good(
        "",
        &[
            ("MILVUS_CDC_SOURCECONFIG__REPLICATECHAN", "a-replicate-msg"),
            ("MILVUS_CDC_SOURCECONFIG__KAFKA__ADDRESS", "b1:1,b2:2"),
            ("MILVUS_CDC_SOURCECONFIG__ETCD__ADDRESS", "e1:1, e2:2"),
            ("MILVUS_CDC_SOURCECONFIG__KAFKA__CONSUMER__SSL_CA_LOCATION", "/ca.pem"),
            ("MILVUS_CDC_MAXTASKNUM", "7"),
            ("MILVUS_CDC_SERVER", "http://x"),
            ("PATH", "/bin"),
        ],
    );
    let QueueConfig::Kafka(kafka) = config.source.queue else { panic!("another queue") };
    assert_eq!(kafka.brokers, "b1:1,b2:2");
    assert_eq!(kafka.consumer["ssl.ca.location"], "/ca.pem");
    assert_eq!(config.source.catalog.endpoints, ["e1:1", "e2:2"]);
    assert_eq!(config.max_task_num, 7);
}

#[test]
fn the_environment_overrides_the_file_and_an_unknown_variable_is_a_warning() {
    let env =
        [("MILVUS_CDC_ADDRESS", "127.0.0.1:1"), ("MILVUS_CDC_SOURCECONFIG__KAFKA__ADRESS", "x:1")];
    let (config, faults) = read(&format!("address: 127.0.0.1:2\n{MINIMAL}"), &env);
    assert_eq!(config.unwrap().address, "127.0.0.1:1");
    assert_eq!(
        faults.warnings,
        ["environment variable MILVUS_CDC_SOURCECONFIG__KAFKA__ADRESS: unknown, it has no \
             effect; did you mean sourceConfig.kafka.address?"]
    );
}

/// The keys that have a fault in the next test.
const WRONG: [&str; 35] = [
    "address",
    "maxTaskNum",
    "maxNameLength",
    "logLevel",
    "logFormat",
    "replicateID",
    "metaStoreConfig.storeType",
    "metaStoreConfig.mysqlSourceUrl",
    "metaStoreConfig.etcd.address",
    "packer.memoryLimit",
    "retry.maxBackOff",
    "retry.initBackOff",
    "target.settleTime",
    "target.laneWaitMax",
    "target.keepAlive",
    "target.flushEvery",
    "limits.roundSize",
    "limits.callSize",
    "limits.finishMax",
    "limits.requests",
    "sourceConfig.timeTickInterval",
    "sourceConfig.channelNum",
    "sourceConfig.etcd.address",
    "sourceConfig.etcd.enableAuth",
    "sourceConfig.etcd.tlsCertPath",
    "sourceConfig.etcd.tlsMinVersion",
    "sourceConfig.kafka.address",
    "sourceConfig.kafka.saslUsername",
    "sourceConfig.kafka.saslMechanisms",
    "sourceConfig.kafka.securityProtocol",
    "sourceConfig.pulsar.address",
    "sourceConfig.pulsar.authParams",
    "sourceConfig.pulsar.authPlugin",
    "sourceConfig.pulsar.tenant",
    "sourceConfig.replicateChan",
];

#[test]
fn all_errors_are_reported_at_once_with_key_value_and_remedy() {
    let text = "
address: nowhere
maxTaskNum: 0
maxNameLength: many
logLevel: loud
logFormat: xml
replicateID: r
metaStoreConfig: {storeType: postgres, mysqlSourceUrl: 'u:p@udp(h:1)/d', etcd: {address: [x]}}
packer: {memoryLimit: 1}
retry: {maxBackOff: 99999, initBackOff: x}
target: {settleTime: 30, laneWaitMax: soon, keepAlive: sometimes, flushEvery: 3s}
limits: {roundSize: -1, callSize: big, finishMax: 1d, requests: 0}
sourceConfig:
  timeTickInterval: fast
  channelNum: x
  etcd:
    {address: [x], enableAuth: maybe, enableTLS: true, tlsCertPath: /no/such, tlsMinVersion: '2'}
  kafka: {address: [nohost], saslUsername: u, saslMechanisms: GSSAPI, securityProtocol: ftp}
  pulsar: {address: 'http://p:1', tenant: a/b, authPlugin: athenz, authParams: 'a:b,c'}
";
    let (config, faults) = read(text, &[]);
    assert!(config.is_none());
    let said: BTreeMap<&str, String> =
        faults.errors.iter().map(|e| (e.key.as_str(), e.to_string())).collect();
    for key in WRONG {
        assert!(said.contains_key(key), "{key} is not in {said:#?}");
    }
    assert_eq!(
        said["limits.requests"],
        "limits.requests: \"0\": not a whole number in the range; write one from 1 to 10000, or \
         leave the key out for 64"
    );
    assert!(said["metaStoreConfig.mysqlSourceUrl"].contains("protocol udp is not understood"));
    assert!(faults.errors.iter().all(|e| !e.remedy.is_empty()));
}

#[test]
fn an_unknown_key_is_a_warning_that_names_the_most_similar_one() {
    let text = format!("{MINIMAL}  kafk: {{address: x}}\nadress: y\nsomething: [1]\n");
    let (config, faults) = read(&text, &[]);
    assert!(config.is_some());
    let warned = |start: &str, end: &str| {
        let found = faults.warnings.iter().any(|w| w.starts_with(start) && w.ends_with(end));
        assert!(found, "{start} … {end}: {:#?}", faults.warnings);
    };
    warned("adress: unknown", "did you mean address?");
    warned("sourceConfig.kafk: unknown", "?");
    warned("something: unknown, it has no effect", "");
}

#[test]
fn values_of_the_wrong_shape_are_errors() {
    let text = format!("{MINIMAL}address: [a, b]\npacker: 7\nmaxTaskNum: {{x: 1}}\n");
    let (_, faults) = read(&text, &[]);
    let keys: Vec<&str> = faults.errors.iter().map(|e| e.key.as_str()).collect();
    assert_eq!(keys, ["address", "packer", "maxTaskNum"]);
    for text in ["[1, 2]", "a: b: c", "x"] {
        assert_eq!(read(text, &[]).1.errors[0].key, "", "{text}");
    }
}

#[test]
fn keys_have_any_case_and_scalars_become_texts() {
    let text = "
ADDRESS: 127.0.0.1:9
sourceconfig:
  REPLICATECHAN: 17
  Kafka: {ADDRESS: 'b:1', consumer: {fetch.min.bytes: 5, x: true}}
  etcd: {rootPath: 1.5}
maxtasknum: '8'
";
    let config = good(text, &[]);
    assert_eq!(config.source.op_channel, "17");
    assert_eq!(config.source.catalog.root_path, "1.5");
    assert_eq!(config.max_task_num, 8);
    let QueueConfig::Kafka(kafka) = config.source.queue else { panic!("another queue") };
    assert_eq!(
        (kafka.consumer["fetch.min.bytes"].as_str(), kafka.consumer["x"].as_str()),
        ("5", "true")
    );
}

#[test]
fn deprecated_keys_are_used_with_a_warning() {
    let text =
        format!("{MINIMAL}  etcdAddress: [old:1]\n  etcdRootPath: r\n  etcdMetaSubPath: m\n");
    let (config, faults) = read(&text, &[]);
    let etcd = config.unwrap().source.catalog;
    assert_eq!(
        (etcd.endpoints, etcd.root_path, etcd.meta_sub_path),
        (vec!["old:1".to_owned()], "r".into(), "m".into())
    );
    assert_eq!(
        faults.warnings[0],
        "sourceConfig.etcdAddress: is deprecated, write sourceConfig.etcd.address"
    );
}

#[test]
fn every_key_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    for key in keys::KEYS {
        assert!(text.contains(&format!("`{}`", key.path)), "{} is not in {path}", key.path);
    }
}

/// A task for each kind of target, at addresses where nobody listens.
fn tasks() -> [TaskRecord; 2] {
    let to = |milvus: Value, kafka: Value| {
        serde_json::from_value(json!({
            "TaskID": "a", "MilvusConnectParam": milvus, "KafkaConnectParam": kafka, "State": 1,
        }))
        .unwrap()
    };
    let kafka = json!({"address": "127.0.0.1:1", "topic": "a"});
    [to(json!({"uri": "http://127.0.0.1:1"}), json!({})), to(json!({}), kafka)]
}

#[tokio::test]
async fn a_dry_run_reaches_no_target_and_stores_no_progress() {
    let memory = format!("{MINIMAL}metaStoreConfig: {{storeType: memory}}\n");
    let world = compose::world(&good(&memory, &[])).await.unwrap();
    let [milvus, kafka] = tasks();
    assert!(matches!(world.targets.open(&milvus).unwrap(), TargetClient::Milvus(_)));
    let TargetClient::Log(sink) = world.targets.open(&kafka).unwrap() else { panic!() };
    assert!(sink.ping().await.is_err(), "there is a Kafka");
    let dry = compose::for_dry_run(world.clone()).await.unwrap();
    for task in tasks() {
        let TargetClient::Log(log) = dry.targets.open(&task).unwrap() else { panic!() };
        log.open().await.unwrap();
        log.ping().await.unwrap();
        let ddl = Ddl::CreateDatabase("shop".into());
        log.append("1", &[Change::Request(&ddl, Timestamp::ZERO)]).await.unwrap();
    }
    let put = Transaction { puts: vec![("a".into(), vec![1])], ..Default::default() };
    dry.store.commit(put).await.unwrap();
    assert!(dry.store.get("a").await.unwrap().is_some());
    assert!(world.store.get("a").await.unwrap().is_none());
}
