//! Tasks of a Go Milvus-CDC are taken over from its store: its records say less than it had sent, the
//! source has gone on since, and in the end both sides are equal, each row once.
//!
//! An earlier milvus-cdc with a store that the later one does not know stands in for the Go tool: it
//! leaves rows on the target, and its positions, put into Go's form, are older than these rows.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab::{Etcd, EtcdOptions, Mariadb, MariadbOptions, READY_WITHIN, Server};
use milvus::proto::msg::MsgPosition;
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::milvus::CollectionSpec;
use testkit::service::Service;
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch, keys};

/// As the Go tool's `metaStoreConfig.rootPath`.
const ROOT: &str = "go-cdc";

const EVENTS: &str = "milvus_cdc_replicate_events_total";

/// Where the Go tool has kept its records, and the imported tasks are to live as well.
enum GoStore {
    Etcd(Etcd),
    Mysql(Mariadb),
}

impl GoStore {
    fn etcd(folder: &TempDir) -> Self {
        let mut etcd = Etcd::start(&folder.path().join("etcd"), EtcdOptions::default()).unwrap();
        etcd.wait_ready(READY_WITHIN).unwrap();
        Self::Etcd(etcd)
    }

    fn mysql(folder: &TempDir) -> Self {
        let options = MariadbOptions::default();
        let mut mariadb = Mariadb::start(&folder.path().join("mariadb"), options).unwrap();
        mariadb.wait_ready(READY_WITHIN).unwrap();
        let tables = "CREATE TABLE task_info (task_info_key VARCHAR(255) PRIMARY KEY,
                task_id VARCHAR(255) NOT NULL, task_info_value JSON NOT NULL);
            CREATE TABLE task_position (task_position_key VARCHAR(255) PRIMARY KEY,
                task_id VARCHAR(255) NOT NULL, collection_id BIGINT NOT NULL,
                collection_name VARCHAR(255) NOT NULL, task_position_value JSON NOT NULL,
                op_position_value JSON, target_position_value JSON)";
        mariadb.run(&[], tables).unwrap();
        Self::Mysql(mariadb)
    }

    fn put_task(&self, task: &Value) {
        let id = task["TaskID"].as_str().unwrap();
        let key = format!("{ROOT}/task_info/{id}");
        match self {
            Self::Etcd(etcd) => {
                etcd.client().run(&["put", &key, &task.to_string()]).unwrap();
            }
            Self::Mysql(mariadb) => {
                let row = format!("INSERT INTO task_info VALUES ('{key}', '{id}', '{task}')");
                mariadb.run(&[], &row).unwrap();
            }
        }
    }

    fn put_position(&self, position: &Value) {
        let task = position["TaskID"].as_str().unwrap();
        let (collection, name) = (&position["CollectionID"], &position["CollectionName"]);
        let key = format!("{ROOT}/task_position/{task}/{collection}");
        match self {
            Self::Etcd(etcd) => {
                etcd.client().run(&["put", &key, &position.to_string()]).unwrap();
            }
            Self::Mysql(mariadb) => {
                let (name, positions) = (name.as_str().unwrap(), &position["Positions"]);
                let row = format!(
                    "INSERT INTO task_position VALUES
                     ('{key}', '{task}', {collection}, '{name}', '{positions}', '{{}}', '{{}}')"
                );
                mariadb.run(&[], &row).unwrap();
            }
        }
    }

    /// All that lies there and is the Go tool's.
    fn records(&self) -> String {
        match self {
            Self::Etcd(etcd) => {
                let prefix = format!("{ROOT}/task_");
                etcd.client().run(&["get", "--prefix", "--write-out=json", &prefix]).map(of_kvs)
            }
            Self::Mysql(mariadb) => {
                mariadb.run(&[], "SELECT * FROM task_info; SELECT * FROM task_position")
            }
        }
        .unwrap()
    }

    /// What a user would write into `metaStoreConfig`.
    fn environment(&self, state: &Path) -> Vec<(String, String)> {
        let mut lines =
            vec![("ROOTPATH", ROOT.to_owned()), ("STATEFOLDER", state.display().to_string())];
        match self {
            Self::Etcd(etcd) => {
                lines.push(("STORETYPE", "etcd".into()));
                lines.push(("ETCD__ADDRESS", etcd.endpoint()));
            }
            Self::Mysql(mariadb) => {
                let (user, password) = (Mariadb::USER, Mariadb::PASSWORD);
                let (address, database) = (mariadb.address(), Mariadb::DATABASE);
                lines.push(("STORETYPE", "mysql".into()));
                let url = format!("{user}:{password}@tcp({address})/{database}?parseTime=true");
                lines.push(("MYSQLSOURCEURL", url));
            }
        }
        let named = |(key, value)| (format!("MILVUS_CDC_METASTORECONFIG__{key}"), value);
        lines.into_iter().map(named).collect()
    }
}

/// Keys, values and how often each was written; without the revision of the whole etcd.
fn of_kvs(answer: String) -> String {
    serde_json::from_str::<Value>(&answer).unwrap()["kvs"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_the_go_tools_etcd_goes_on_without_loss_or_duplicates() {
    let folder = TempDir::new().unwrap();
    take_over(&GoStore::etcd(&folder), &folder, "taken_from_etcd").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_the_go_tools_mysql_goes_on_without_loss_or_duplicates() {
    let folder = TempDir::new().unwrap();
    take_over(&GoStore::mysql(&folder), &folder, "taken_from_mysql").await;
}

async fn take_over(store: &GoStore, folder: &TempDir, name: &str) {
    let mut bench = Bench::new().await;
    let spec = CollectionSpec::small(name, 8).shards(2);
    bench.source.create_ready(&spec).await.unwrap();
    let task = bench.task(json!({"collection_infos": [{"name": name}]})).await;
    bench.source.insert(batch(&spec, "", 0..1000, 0)).await.unwrap();
    bench.equal(name).await;
    let positions = bench.service.api().position(&task).await.unwrap();

    // Sent, and beyond the positions.
    bench.source.insert(batch(&spec, "", 1000..2000, 0)).await.unwrap();
    bench.source.upsert(batch(&spec, "", 0..300, 1)).await.unwrap();
    bench.source.delete_keys(name, "id", &keys(&spec, 300..500)).await.unwrap();
    bench.source.delete_keys(name, "id", &keys(&spec, 1900..1950)).await.unwrap();
    bench.equal(name).await;
    bench.service.api().delete(&task).await.unwrap();
    bench.service.stop().unwrap();

    // Not sent.
    let database = format!("{name}_later");
    bench.source.create_database(&database).await.unwrap();
    bench.source.insert(batch(&spec, "", 2000..2500, 0)).await.unwrap();
    bench.source.upsert(batch(&spec, "", 1000..1100, 1)).await.unwrap();
    bench.source.delete_keys(name, "id", &keys(&spec, 500..600)).await.unwrap();

    leave_go_records(store, &bench, &task, name, &positions);
    let before = store.records();
    bench.service.config().environment = store.environment(&folder.path().join("state"));
    for _ in 0..2 {
        let plan = import(&mut bench.service, &["--dry-run"]);
        assert_eq!(plan["tasks"][0]["fate"], "imported", "{plan:#}");
        assert_eq!(plan["tasks"][1]["fate"], "refused", "{plan:#}");
    }
    let plan = import(&mut bench.service, &[]);
    let taken = &plan["tasks"][0];
    assert_eq!((&taken["fate"], &taken["state"]), (&json!("imported"), &json!("Running")));
    assert_eq!(taken["collections"][0]["name"], format!("default.{name}"));
    assert!(plan["tasks"][1]["reason"].as_str().unwrap().contains("Kafka"), "{plan:#}");
    let again = import(&mut bench.service, &[]);
    assert_eq!(again["tasks"][0]["fate"], "exists", "{again:#}");

    bench.service.restart().await.unwrap();
    bench.source.insert(batch(&spec, "", 2500..2600, 0)).await.unwrap();
    let there = wait::until("the database to be there", EQUAL_WITHIN, || async {
        Ok(bench.target.databases().await?.contains(&database).then_some(()))
    });
    bench.while_running(there).await.unwrap();
    let report = bench.equal(name).await;
    assert_eq!(report.target_rows, 2600 - 200 - 50 - 100);
    // The stretch was sent again, and replaced what was there.
    assert!(bench.service.api().metric(EVENTS, "fenced").await.unwrap() > 0.0);
    assert_eq!(store.records(), before, "the old records are as they were");
    bench.source.drop_database(&database).await.unwrap();
    bench.source.drop_collection(name).await.unwrap();
    bench.gone(name).await;
    bench.finish().await;
}

/// What the Go tool would have left: the task itself, a position of its collection, a placeholder, and
/// a task on a Kafka without a topic, which is not taken over. In etcd one of the op channel too; in
/// MySQL it had carried out no request.
fn leave_go_records(store: &GoStore, bench: &Bench, task: &str, name: &str, positions: &Value) {
    store.put_task(&json!({
        "TaskID": task,
        "MilvusConnectParam": {
            "host": "", "port": 0, "enable_tls": false, "dial_config": {}, "channel_num": 16,
            "uri": format!("http://{}", bench.pair.target.address()),
            "ignore_partition": false, "connect_timeout": 10,
        },
        "KafkaConnectParam": {"address": "", "topic": "", "enable_sasl": false, "sasl": {}},
        "WriterCacheConfig": {"period": 0, "size": 0},
        "CollectionInfos": [{"name": name, "positions": null, "use_start_position": false}],
        "DBCollections": {format!("{name}_later"): [{"name": "*"}]}, "NameMapping": null,
        "RPCRequestChannelInfo": {"name": "", "position": ""},
        "ExtraInfo": {"enable_user_role": false}, "ExcludeCollections": null,
        "DisableAutoStart": false, "State": 1, "Reason": "",
    }));
    store.put_task(&json!({
        "TaskID": "to-a-kafka", "MilvusConnectParam": {"uri": ""},
        "KafkaConnectParam": {"address": "127.0.0.1:9", "topic": ""},
        "CollectionInfos": [{"name": "elsewhere"}], "State": 2, "Reason": "",
    }));
    let of = |list: &Value| {
        let entries = list.as_array().unwrap().iter().map(|position| {
            let channel = position["channel_name"].as_str().unwrap();
            let id = STANDARD.decode(position["msg_id"].as_str().unwrap()).unwrap();
            let id = STANDARD.encode(MsgPosition::decode(id.as_slice()).unwrap().msg_id);
            // The time lies ahead of the rows, as it does when channels share one of the target.
            let time = position["time"].as_u64().unwrap_or_default() + 3_600_000;
            let pair = json!({"key": channel, "data": id});
            let entry = json!({"StartTime": 0, "Time": time, "DataPair": pair, "Dropped": false});
            (channel.to_owned(), entry)
        });
        Value::Object(entries.collect())
    };
    let collection = positions["positions"][0]["collection_id"].clone();
    let op = (json!(-10), "-10", of(&positions["op_positions"]));
    let ops = Some(op).filter(|_| matches!(store, GoStore::Etcd(_)));
    let rows = [(json!(-1), "*", json!({})), (collection, name, of(&positions["positions"]))];
    for (id, name, entries) in rows.into_iter().chain(ops) {
        store.put_position(&json!({
            "TaskID": task, "CollectionID": id, "CollectionName": name, "Positions": entries,
            "OpPositions": null, "TargetPositions": {},
        }));
    }
}

/// Runs the command as a user would, on the configuration of the service.
fn import(service: &mut Service, more: &[&str]) -> Value {
    let config = service.folder().join("cdc.yaml");
    let environment = service.config().environment.clone();
    let Output { stdout, stderr, status } = Command::new(service.program())
        .args(["import", "--output", "json", "--config"])
        .arg(config)
        .args(more)
        .envs(environment)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "one task is refused: {said}");
    serde_json::from_slice(&stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
}
