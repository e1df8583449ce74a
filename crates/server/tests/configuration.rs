//! The configuration: every fault at once, overrides, what the Go tool's files mean here, and that
//! a dump can be read again and shows no secret.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use connectors::pulsar::PulsarLogin;
use milvus_wire::timestamp::Timestamp;
use replication::ports::{Change, Ddl, Transaction};
use serde_json::{Value, json};
use server::compose;
use server::config::{self, Config, Faults, QueueConfig, StoreConfig, keys};
use server::tasks::TaskRecord;
use server::world::Client;
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

/// Reads a configuration that must be right.
fn good(text: &str, env: &[(&str, &str)]) -> Config {
    let (config, faults) = read(text, env);
    config.unwrap_or_else(|| panic!("{:#?}", faults.errors))
}

#[test]
fn little_has_to_be_said() {
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
fn everything_can_be_said_in_the_environment_alone() {
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
fn the_environment_lies_over_the_file_and_an_unknown_variable_is_a_warning() {
    let env =
        [("MILVUS_CDC_ADDRESS", "127.0.0.1:1"), ("MILVUS_CDC_SOURCECONFIG__KAFKA__ADRESS", "x:1")];
    let (config, faults) = read(&format!("address: 127.0.0.1:2\n{MINIMAL}"), &env);
    assert_eq!(config.unwrap().address, "127.0.0.1:1");
    assert_eq!(
        faults.warnings,
        [
            "environment variable MILVUS_CDC_SOURCECONFIG__KAFKA__ADRESS: unknown, it has no effect; \
          did you mean sourceConfig.kafka.address?"
        ]
    );
}

/// The keys that the next test gets wrong.
const WRONG: [&str; 34] = [
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
target: {settleTime: 30, laneWaitMax: soon, keepAlive: sometimes}
limits: {roundSize: -1, callSize: big, finishMax: 1d, requests: 0}
sourceConfig:
  timeTickInterval: fast
  channelNum: x
  etcd: {address: [x], enableAuth: maybe, enableTLS: true, tlsCertPath: /no/such, tlsMinVersion: '2'}
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
fn unknown_keys_are_warnings_that_name_the_nearest() {
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
fn deprecated_keys_are_honoured_with_a_warning() {
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
fn a_file_of_the_go_tool_is_read_and_what_has_no_effect_is_said() {
    let text = "
address: 0.0.0.0:8444
maxTaskNum: 100
metaStoreConfig:
  storeType: sqlite
  etcd: {address: ['http://127.0.0.1:2379'], enableAuth: false, rootPath: cdc}
  mysqlSourceUrl: root:hunter2@tcp(127.0.0.1:3306)/milvus-cdc
  rootPath: cdc-by-dev
sourceConfig:
  etcd: {address: ['http://127.0.0.1:2379'], rootPath: by-dev, metaSubPath: meta, enableAuth: false, username: root, password: hunter2}
  readChanLen: 4
  defaultPartitionName: other
  replicateChan: by-dev-replicate-msg
  kafka: {address: '127.0.0.1:9092'}
  pulsar: {address: '', webPort: 80, tenant: public}
batchMode: true
maxNameLength: 256
logLevel: info
detectDeadLock: false
retry: {retryTimes: 3, initBackOff: 1, maxBackOff: 1}
packer: {timerInterval: 5000, maxCount: 10, maxMsgSize: 0, memoryLimit: 0}
";
    let (config, faults) = read(text, &[]);
    assert_eq!(faults.errors, []);
    let config = config.unwrap();
    assert_eq!(config.limits.held_bytes_max, 512 << 20, "zero means the default");
    assert_eq!(config.limits.backoff_max, Duration::from_secs(1));
    for key in [
        "batchMode",
        "retry.retryTimes",
        "packer.maxCount",
        "metaStoreConfig.etcd.rootPath",
        "sourceConfig.etcd.username",
        "sourceConfig.defaultPartitionName",
    ] {
        assert!(
            faults.warnings.iter().any(|w| w.starts_with(key)),
            "{key}: {:#?}",
            faults.warnings
        );
    }
    assert!(!faults.warnings.iter().any(|w| w.contains("hunter2") || w.contains("detectDeadLock")));
}

/// The Go tool sends what it holds; here a task stops.
#[test]
fn a_memory_limit_that_would_stop_tasks_is_a_warning() {
    for (kib, is_warned) in [("1024", true), ("65535", true), ("65536", false), ("0", false)] {
        let (config, faults) = read(&format!("{MINIMAL}packer: {{memoryLimit: {kib}}}\n"), &[]);
        assert!(config.is_some(), "{:?}", faults.errors);
        let warned = faults.warnings.iter().any(|w| w.starts_with("packer.memoryLimit: "));
        assert_eq!(warned, is_warned, "{kib}: {:?}", faults.warnings);
    }
}

#[test]
fn a_shared_store_is_what_the_go_tools_keys_say() {
    let with = |lines: &str| good(&format!("{MINIMAL}\nmetaStoreConfig:\n{lines}"), &[]);
    let etcd = "  storeType: etcd
  rootPath: my-cdc
  etcd: {address: 'e:1', enableAuth: true, username: u, password: hunter2}
  mysqlSourceUrl: root:hunter3@tcp(h:3306)/d
";
    let config = with(etcd);
    let StoreConfig::Etcd(store) = &config.store else { panic!("{:?}", config.store) };
    assert_eq!(
        (store.endpoints.as_slice(), store.root_path.as_str()),
        (&["e:1".into()][..], "my-cdc")
    );
    let mysql = config.shared.mysql.as_ref().unwrap();
    assert_eq!((mysql.dsn.to_string().as_str(), mysql.root_path.as_str()), ("h:3306/d", "my-cdc"));
    let dump = config.dump();
    assert!(!dump.contains("hunter") && !format!("{config:?}").contains("hunter"), "{dump}");
    assert_eq!(good(&dump, &[]).dump(), dump);

    let config = with("  storeType: mysql\n  mysqlSourceUrl: u:p@tcp(h:1)/d?tls=true\n");
    let StoreConfig::Mysql(store) = &config.store else { panic!("{:?}", config.store) };
    assert_eq!((store.root_path.as_str(), store.dsn.tls()), ("cdc-by-dev", true));
    assert!(config.shared.etcd.is_none());
    let config =
        with("  storeType: etcd\n  etcdEndpoints: ['old:1']\n  etcd: {address: 'new:1'}\n");
    assert_eq!(config.shared.etcd.unwrap().endpoints, ["old:1"]);
}

#[test]
fn a_shared_store_that_is_not_named_is_an_error_with_the_missing_key() {
    for (lines, key) in [
        ("storeType: etcd", "metaStoreConfig.etcd.address"),
        ("storeType: mysql", "metaStoreConfig.mysqlSourceUrl"),
        (
            "storeType: mysql, mysqlSourceUrl: 'u@/d', mysql: {tlsCACertPath: Cargo.toml}",
            "metaStoreConfig.mysql.tlsCACertPath",
        ),
        (
            "storeType: mysql, mysqlSourceUrl: 'u:hunter2@udp(h)/d'",
            "metaStoreConfig.mysqlSourceUrl",
        ),
    ] {
        let (config, faults) = read(&format!("{MINIMAL}\nmetaStoreConfig: {{{lines}}}\n"), &[]);
        assert!(config.is_none());
        assert_eq!(faults.errors.len(), 1, "{:#?}", faults.errors);
        assert_eq!(faults.errors[0].key, key);
        assert!(!format!("{faults:?}").contains("hunter"));
    }
}

#[test]
fn own_keys_reach_the_limits() {
    let text = format!(
        "{MINIMAL}
target: {{settleTime: 45s, laneWaitMax: 2m, keepAlive: 'off'}}
limits: {{roundSize: 1024, callSize: 512, finishMax: 3s, requests: 9}}
packer: {{memoryLimit: 2048}}
"
    );
    let config = good(&text, &[]);
    let limits = config.limits;
    assert_eq!(
        (limits.settle, limits.lane_wait_max),
        (Duration::from_secs(45), Duration::from_secs(120))
    );
    assert_eq!(limits.keep_alive_after, None);
    assert_eq!(
        (limits.round_bytes, limits.call_bytes, limits.held_bytes_max),
        (1 << 20, 512 << 10, 2 << 20)
    );
    assert_eq!((limits.finish_max, config.requests_max), (Duration::from_secs(3), 9));
}

#[test]
fn a_dump_can_be_read_again_and_shows_no_secret() {
    let text = "
logFormat: json
sourceConfig:
  replicateChan: r
  etcd: {enableAuth: true, username: u, password: hunter2}
  kafka:
    address: b:1
    saslUsername: k
    saslPassword: hunter3
    securityProtocol: sasl_ssl
    consumer: {ssl.key.password: hunter4, fetch.min.bytes: 7}
target: {keepAlive: 7s}
";
    let config = good(text, &[]);
    let dump = config.dump();
    assert!(!dump.contains("hunter"), "{dump}");
    assert_eq!(dump.matches("***").count(), 3, "{dump}");
    assert!(!format!("{config:?}").contains("hunter"));
    let (again, faults) = read(&dump, &[]);
    assert_eq!(faults.warnings, Vec::<String>::new());
    assert_eq!(again.unwrap().dump(), dump);
}

/// A Pulsar with these keys.
fn pulsar(keys: &str) -> (Option<Config>, Faults) {
    read(&format!("sourceConfig: {{replicateChan: r, pulsar: {{{keys}}}}}"), &[])
}

#[test]
fn pulsar_is_chosen_by_its_address_and_wins_over_kafka() {
    let (config, faults) = read(&format!("{MINIMAL}  pulsar: {{address: 'p:6650'}}\n"), &[]);
    let QueueConfig::Pulsar(pulsar) = config.unwrap().source.queue else { panic!("not Pulsar") };
    assert_eq!(pulsar.brokers, ["p:6650"]);
    assert_eq!((&*pulsar.tenant, &*pulsar.namespace), ("public", "default"));
    assert_eq!((pulsar.login, pulsar.tls), (PulsarLogin::None, None));
    assert!(faults.warnings.iter().any(|w| w.starts_with("sourceConfig.kafka.address")));
}

#[test]
fn the_ways_to_log_in_to_pulsar_are_those_of_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "hunter2\n").unwrap();
    let file = file.display();
    let plugin = "org.apache.pulsar.client.impl.auth.Authentication";
    for (keys, login) in [
        ("authPlugin: token, authParams: 'token:hunter2'".to_owned(), true),
        (format!("authPlugin: {plugin}Token, authParams: 'file://{file}'"), true),
        (format!("authPlugin: {plugin}Basic, authParams: 'username:u,password:hunter2'"), true),
        (format!("authPlugin: tls, authParams: 'tlsCertFile:{file},tlsKeyFile:{file}'"), false),
    ] {
        let (config, faults) = pulsar(&format!("address: 'pulsar+ssl://p:1,q:2', {keys}"));
        let config = config.unwrap_or_else(|| panic!("{:#?}", faults.errors));
        assert!(!format!("{config:?} {}", config.dump()).contains("hunter"));
        let (again, _) = read(&config.dump(), &[]);
        assert_eq!(again.unwrap().dump(), config.dump());
        let QueueConfig::Pulsar(pulsar) = config.source.queue else { panic!("not Pulsar") };
        assert_eq!(pulsar.brokers, ["p:1", "q:2"]);
        assert_eq!(pulsar.login != PulsarLogin::None, login);
        assert_eq!(pulsar.tls.unwrap().cert.as_os_str().is_empty(), login);
    }
}

#[test]
fn what_is_wrong_about_a_pulsar_names_the_key_and_never_the_secret() {
    for (keys, key) in [
        ("address: 'pulsar://nohost'", "address"),
        ("address: 'pulsar://a:1,pulsar+ssl://b:2'", "address"),
        ("address: 'a:1', tlsTrustCertsFilePath: /dev/null", "address"),
        ("address: 'a:1', tlsTrustCertsFilePath: /no/such", "tlsTrustCertsFilePath"),
        ("address: 'a:1', namespace: 'public/default'", "namespace"),
        ("address: 'a:1', authParams: 'token:hunter2'", "authPlugin"),
        ("address: 'a:1', authPlugin: athenz", "authPlugin"),
        ("address: 'a:1', authPlugin: token", "authParams"),
        ("address: 'a:1', authPlugin: token, authParams: hunter2", "authParams"),
        ("address: 'a:1', authPlugin: token, authParams: 'token:hunter2,x'", "authParams"),
        ("address: 'a:1', authPlugin: token, authParams: 'token:x,more:hunter2'", "authParams"),
        ("address: 'a:1', authPlugin: token, authParams: 'file:/no/such'", "authParams"),
        ("address: 'a:1', authPlugin: basic, authParams: 'username:u'", "authParams"),
        ("address: 'a:1', authPlugin: tls, authParams: 'tlsCertFile:x,tlsKeyFile:y'", "authParams"),
    ] {
        let (config, faults) = pulsar(keys);
        assert!(config.is_none(), "{keys}");
        let key = format!("sourceConfig.pulsar.{key}");
        assert!(faults.errors.iter().any(|error| error.key == key), "{keys}: {faults:?}");
        assert!(faults.errors.iter().all(|error| !error.to_string().contains("hunter")));
    }
}

#[test]
fn the_api_is_secured_by_tokens_and_certificates_that_are_never_shown() {
    let token = "hunter2-hunter2-hunter2";
    let with = |api: &str| format!("api: {{{api}}}\n{MINIMAL}");
    let text = with(&format!("manageTokens: [{token}, other-{token}], readTokens: read-{token}"));
    let config = good(&text, &[]);
    assert_eq!((config.api.tokens.manage.len(), config.api.tokens.read.len()), (2, 1));
    assert!(config.api.tokens.are_asked_for() && config.api.tls.is_none());
    assert!(!config.dump().contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    assert_eq!(config.dump().matches("***").count(), 3);
    let (again, _) = read(&config.dump(), &[]);
    assert!(again.is_none(), "what stands for a token must not become one");
    let one = [("MILVUS_CDC_API__MANAGETOKENS", token), ("MILVUS_CDC_API_TOKEN", "the client's")];
    assert_eq!(good(MINIMAL, &one).api.tokens.manage.len(), 1);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hunter2.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let file = file.to_str().unwrap();
    for (api, key) in [
        ("manageTokens: hunter2".to_owned(), "api.manageTokens"),
        ("manageTokens: hunter2 hunter2 hunter2".to_owned(), "api.manageTokens"),
        (format!("readTokens: {token}"), "api.manageTokens"),
        (format!("readTokens: {token}, manageTokens: {token}"), "api.readTokens"),
        ("tlsCertPath: /no/such, tlsKeyPath: /no/such".to_owned(), "api.tlsCertPath"),
        (format!("tlsCertPath: {file}"), "api.tlsCertPath"),
        (format!("tlsClientCAPath: {file}"), "api.tlsClientCAPath"),
        (format!("tlsCertPath: {file}, tlsKeyPath: {file}"), "api.tlsCertPath"),
    ] {
        let (config, faults) = read(&with(&api), &[]);
        assert!(config.is_none(), "{api}");
        assert!(faults.errors.iter().any(|e| e.key == key), "{api}: {:#?}", faults.errors);
        let tokens = faults.errors.iter().filter(|e| e.key.ends_with("Tokens"));
        tokens.for_each(|e| assert!(!e.to_string().contains("hunter2"), "{e}"));
    }
}

#[test]
fn an_error_about_a_secret_does_not_show_it() {
    let text = format!(
        "{MINIMAL}    saslPassword: x\n  etcd: {{enableAuth: true, username: u, password: [hunter2]}}\n"
    );
    let text = text.replace(
        "{address: 'broker:9092'}\n    saslPassword: x",
        "{address: 'b:1', saslUsername: u, saslPassword: {hunter3: hunter3}}",
    );
    let (_, faults) = read(&text, &[]);
    assert_eq!(faults.errors.len(), 4, "{:#?}", faults.errors);
    let said =
        format!("{faults:?} {}", faults.errors.iter().map(ToString::to_string).collect::<String>());
    assert!(!said.contains("hunter"), "{said}");
}

#[test]
fn every_key_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    for key in keys::KEYS {
        assert!(text.contains(&format!("`{}`", key.path)), "{} is not in {path}", key.path);
    }
}

/// A task of each kind, at addresses where nobody listens.
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
async fn a_dry_run_has_no_way_to_any_target_and_keeps_its_progress_to_itself() {
    let memory = format!("{MINIMAL}metaStoreConfig: {{storeType: memory}}\n");
    let world = compose::world(&good(&memory, &[])).await.unwrap();
    let [milvus, kafka] = tasks();
    assert!(matches!(world.targets.open(&milvus).unwrap(), Client::Milvus(_)));
    let Client::Log(sink) = world.targets.open(&kafka).unwrap() else { panic!() };
    assert!(sink.ping().await.is_err(), "there is a Kafka");
    let dry = compose::dry(world.clone()).await.unwrap();
    for task in tasks() {
        let Client::Log(log) = dry.targets.open(&task).unwrap() else { panic!() };
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
