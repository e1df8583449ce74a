//! The store of a Go Milvus-CDC with the records that it would have left, and the import from it.
//! Never made by the Go tool itself: the form is that of records that one really left
//! (`crates/server/tests/takeover/go-records.json`).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab::{Etcd, EtcdOptions, Mariadb, MariadbOptions, READY_WITHIN, Server};
use milvus::proto::msg::MsgPosition;
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::service::Service;

use super::bench::Bench;

/// As the Go tool's `metaStoreConfig.rootPath`.
const ROOT: &str = "go-cdc";

/// Where the Go tool has kept its records, and the imported tasks are to live as well.
pub(crate) enum GoStore {
    Etcd(Etcd),
    Mysql(Mariadb),
}

impl GoStore {
    pub(crate) fn etcd(folder: &TempDir) -> Self {
        let mut etcd = Etcd::start(&folder.path().join("etcd"), EtcdOptions::default()).unwrap();
        etcd.wait_ready(READY_WITHIN).unwrap();
        Self::Etcd(etcd)
    }

    pub(crate) fn mysql(folder: &TempDir) -> Self {
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

    /// What the Go tool would have left of a task that selects this: the task itself, the positions
    /// of its collections, by their ids on the source, those of the op channel if it had carried
    /// out a request, and a placeholder.
    pub(crate) fn leave(
        &self,
        bench: &Bench,
        task: &str,
        selection: Value,
        names: &BTreeMap<i64, String>,
        positions: &Value,
    ) {
        let mut record = json!({
            "TaskID": task,
            "MilvusConnectParam": {
                "host": "", "port": 0, "enable_tls": false, "dial_config": {}, "channel_num": 16,
                "uri": format!("http://{}", bench.pair.target.address()),
                "ignore_partition": false, "connect_timeout": 10,
            },
            "KafkaConnectParam": {"address": "", "topic": "", "enable_sasl": false, "sasl": {}},
            "WriterCacheConfig": {"period": 0, "size": 0}, "NameMapping": null,
            "RPCRequestChannelInfo": {"name": "", "position": ""},
            "ExtraInfo": {"enable_user_role": false}, "ExcludeCollections": null,
            "DisableAutoStart": false, "State": 1, "Reason": "",
        });
        for (key, value) in selection.as_object().unwrap() {
            record[key] = value.clone();
        }
        self.put_task(&record);
        self.put_position(task, -1, "*", json!({}));
        let of = |id: Option<i64>| {
            let key = if id.is_some() { "positions" } else { "op_positions" };
            let all = positions[key].as_array().unwrap().iter();
            let its = all.filter(|at| id.is_none_or(|id| at["collection_id"] == id));
            Value::Object(its.map(saved).collect())
        };
        for (id, name) in names {
            self.put_position(task, *id, name, of(Some(*id)));
        }
        if !positions["op_positions"].is_null() {
            self.put_position(task, -10, "-10", of(None));
        }
    }

    pub(crate) fn put_task(&self, task: &Value) {
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

    fn put_position(&self, task: &str, collection: i64, name: &str, positions: Value) {
        let key = format!("{ROOT}/task_position/{task}/{collection}");
        match self {
            Self::Etcd(etcd) => {
                let position = json!({
                    "TaskID": task, "CollectionID": collection, "CollectionName": name,
                    "Positions": positions, "OpPositions": null, "TargetPositions": {},
                });
                etcd.client().run(&["put", &key, &position.to_string()]).unwrap();
            }
            Self::Mysql(mariadb) => {
                let row = format!(
                    "INSERT INTO task_position VALUES
                     ('{key}', '{task}', {collection}, '{name}', '{positions}', '{{}}', '{{}}')"
                );
                mariadb.run(&[], &row).unwrap();
            }
        }
    }

    /// All that lies there and is the Go tool's.
    pub(crate) fn records(&self) -> String {
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
    pub(crate) fn environment(&self, state: &Path) -> Vec<(String, String)> {
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

/// A position as the Go tool keeps it: by channel.
fn saved(position: &Value) -> (String, Value) {
    let channel = position["channel_name"].as_str().unwrap();
    let id = STANDARD.decode(position["msg_id"].as_str().unwrap()).unwrap();
    let id = STANDARD.encode(MsgPosition::decode(id.as_slice()).unwrap().msg_id);
    // The time lies ahead of the rows, as it does when channels share one of the target.
    let time = position["time"].as_u64().unwrap_or_default() + 3_600_000;
    let pair = json!({"key": channel, "data": id});
    let entry = json!({"StartTime": 0, "Time": time, "DataPair": pair, "Dropped": false});
    (channel.to_owned(), entry)
}

/// Runs `milvus-cdc import` as a user would, on the configuration of the service.
pub(crate) fn import(service: &mut Service, more: &[&str]) -> Value {
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
    let plan: Value = serde_json::from_slice(&stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    let refused = plan["tasks"].as_array().unwrap().iter().any(|task| task["fate"] == "refused");
    assert_eq!(status.code(), Some(refused.into()), "{said}");
    plan
}
