//! The sections of a configuration: what the Go tool's keys mean here, stores, limits and a Pulsar.

use crate::{MINIMAL, good, read};
use connectors::pulsar::PulsarLogin;
use server::config::{Config, Faults, QueueConfig, StoreConfig};
use std::time::Duration;

#[test]
fn a_file_of_the_go_tool_is_read_and_keys_without_effect_are_reported() {
    let text = "
address: 0.0.0.0:8444
maxTaskNum: 100
metaStoreConfig:
  storeType: sqlite
  etcd: {address: ['http://127.0.0.1:2379'], enableAuth: false, rootPath: cdc}
  mysqlSourceUrl: root:hunter2@tcp(127.0.0.1:3306)/milvus-cdc
  rootPath: cdc-by-dev
sourceConfig:
  etcd:
    address: ['http://127.0.0.1:2379']
    rootPath: by-dev
    metaSubPath: meta
    enableAuth: false
    username: root
    password: hunter2
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

/// At this limit the Go tool sends what it has in memory, and a task of ours stops.
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
fn the_keys_of_the_go_tool_choose_a_shared_store() {
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
fn keys_that_the_go_tool_lacks_set_the_limits() {
    let text = format!(
        "{MINIMAL}
target: {{settleTime: 45s, laneWaitMax: 2m, keepAlive: 'off', flushEvery: 'off'}}
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
    assert_eq!((limits.keep_alive_after, limits.flush_every), (None, None));
    assert_eq!(
        (limits.round_bytes, limits.call_bytes, limits.held_bytes_max),
        (1 << 20, 512 << 10, 2 << 20)
    );
    assert_eq!((limits.finish_max, config.requests_max), (Duration::from_secs(3), 9));
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
fn logins_to_pulsar_are_written_as_its_clients_write_them() {
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
fn a_fault_about_pulsar_names_the_key_and_never_the_secret() {
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
