//! Captures the stores that a version of milvus-cdc writes, and what it shows of them, for the
//! tests of later versions (`crates/testkit/stores`). Never a part of a normal run of the tests:
//! somebody starts it once for each version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{Kafka, KafkaOptions, PairOptions, READY_WITHIN, Server};
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::milvus as pb;
use milvus_wire::proto::msg::ImportMsg;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::counting::{CountingOptions, CountingProcess};
use testkit::milvus::{CollectionSpec, Milvus};
use testkit::service::Service;
use testkit::source_log;
use testkit::stores::{self, Kind, Record, Store, Text, shown};
use testkit::topic;
use testkit::wait;
use testkit::workload::Workload;

use super::bench::{Bench, EQUAL_WITHIN, batch, equal, keys};
use super::go_store::{GoStore, import};
use super::requests::{PASSWORDS, base, op};

/// Names the folder to write to.
const INTO: &str = "TESTKIT_CAPTURE_INTO";

/// The address that each target gets in the texts instead of its own. Nobody listens there.
const TARGETS: [&str; 3] = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"];

/// A target that never was there.
const NEVER_THERE: &str = "127.0.0.1:4";

/// What had its answer before the targets were frozen is stored by then, and the next window
/// opened.
const CAUGHT_WITHIN: Duration = Duration::from_secs(2);

/// The group and the topic whose offset has the marks of the task `to_kafka`.
const MARKS_OF: (&str, &str) = ("milvus-cdc-to_kafka", "to_kafka.events");

#[tokio::test(flavor = "multi_thread")]
#[ignore = "captures the stores of a version: see crates/testkit/stores/README.md"]
async fn the_stores_that_this_version_writes_are_captured() {
    let into = PathBuf::from(std::env::var(INTO).expect("the folder to write to, in its variable"));
    std::fs::create_dir_all(&into).unwrap();
    for kind in Kind::ALL {
        let text = write_store(kind, &into).await;
        text.write(&into, kind).unwrap();
        let shown = serde_json::to_string_pretty(&show(kind, &text).await).unwrap();
        let file = into.join(format!("{}.shown.json", kind.name()));
        std::fs::write(file, shown + "\n").unwrap();
    }
}

/// What this version shows of a store while nobody else is there.
async fn show(kind: Kind, text: &Text) -> Value {
    let folder = TempDir::new().unwrap();
    let store = Store::start(kind, folder.path()).unwrap();
    store.load(text).await.unwrap();
    let mut service = Service::start(store.config(folder.path())).await.unwrap();
    wait::until("milvus-cdc to look after its tasks", READY_WITHIN, || async {
        Ok((service.api().get_status("/readyz").await? == 200).then_some(()))
    })
    .await
    .unwrap();
    let shown = shown(&service.address(), service.program()).await.unwrap();
    service.stop().unwrap();
    shown
}

/// Lets milvus-cdc write records of every kind, kills it, and returns its store.
async fn write_store(kind: Kind, into: &Path) -> Text {
    let mut scene = Scene::new(kind).await;
    scene.take_over().await;
    scene.begin().await;
    scene.change().await;
    scene.miss().await;
    scene.stop_some().await;
    let text = scene.killed_in_the_middle(into).await;
    scene.bench.pair.stop().unwrap();
    text
}

struct Scene {
    kind: Kind,
    bench: Bench,
    go: GoStore,
    kafka: Kafka,
    /// A target that is away later.
    counting: Option<CountingProcess>,
    counting_address: String,
    folder: TempDir,
}

impl Scene {
    async fn new(kind: Kind) -> Self {
        let folder = TempDir::new().unwrap();
        let go = match kind {
            Kind::Sqlite | Kind::Etcd => GoStore::etcd(&folder),
            Kind::Mysql => GoStore::mysql(&folder),
        };
        let installed = lab::install_servers().unwrap();
        let at = folder.path().join("kafka");
        let mut kafka = Kafka::start(&installed, &at, KafkaOptions::default()).unwrap();
        kafka.wait_ready(READY_WITHIN).unwrap();
        let options = CountingOptions::default();
        let counting = CountingProcess::start(&options, folder.path()).await.unwrap();
        let counting_address = counting.address();
        let mut bench = Bench::of(PairOptions::default()).await;
        bench.service.config().more.push_str("unsupportedRequests: continue\n");
        Self { kind, bench, go, kafka, counting: Some(counting), counting_address, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("captured.db")
    }

    /// The store under capture, which is also where the Go tool's records are, unless it is a file.
    fn environment(&self) -> Vec<(String, String)> {
        let mut environment = self.go.environment(&self.folder.path().join("state"));
        if self.kind == Kind::Sqlite {
            let key = |name| format!("MILVUS_CDC_METASTORECONFIG__{name}");
            environment.retain(|(name, _)| *name != key("STORETYPE"));
            environment.push((key("STORETYPE"), "sqlite".into()));
            environment.push((key("SQLITE__PATH"), self.file().display().to_string()));
        }
        environment
    }

    async fn text(&self) -> Text {
        match (&self.go, self.kind) {
            (_, Kind::Sqlite) => stores::dump_sqlite(&self.file()).await,
            (GoStore::Etcd(etcd), _) => stores::dump_etcd(etcd),
            (GoStore::Mysql(mariadb), _) => stores::dump_mysql(mariadb),
        }
        .unwrap()
    }

    async fn until_stored(&self, what: &str) {
        wait::until(format!("{what} to be stored"), EQUAL_WITHIN, || async {
            let text = self.text().await;
            let has = |record: &Record| record.key.contains(what) || record.value.contains(what);
            Ok(text.records.iter().any(has).then_some(()))
        })
        .await
        .unwrap();
    }

    fn milvus(&self) -> Value {
        let target = self.bench.pair.target.address();
        json!({"uri": format!("http://{target}"), "token": "root:Milvus"})
    }

    /// Two tasks of a Go tool: one that goes on, and one that stays paused. A milvus-cdc on a store
    /// of its own stands in for that tool.
    async fn take_over(&mut self) {
        let bench = &mut self.bench;
        let names = ["taken", "taken_paused"];
        let specs = names.map(|name| CollectionSpec::small(name, 8));
        for spec in &specs {
            bench.source.create_ready(spec).await.unwrap();
        }
        let selected = names.map(|name| json!({"name": name}));
        let stand_in = bench.task(json!({"collection_infos": selected})).await;
        for spec in &specs {
            bench.source.insert(batch(spec, "", 0..100, 0)).await.unwrap();
            bench.equal(spec.name()).await;
        }
        let positions = bench.service.api().position(&stand_in).await.unwrap();
        for (task, name, state) in
            [("taken_over", "taken", 1), ("taken_over_paused", "taken_paused", 2)]
        {
            let id = self.bench.source.describe(name).await.unwrap().collection_id;
            let reason = if state == 2 { "manually pause through http interface" } else { "" };
            let record = json!({
                "CollectionInfos": [{"name": name, "positions": null, "use_start_position": false}],
                "MilvusConnectParam": self.milvus(), "State": state, "Reason": reason,
            });
            let names = BTreeMap::from([(id, name.to_owned())]);
            self.go.leave(&self.bench, task, record, &names, &positions);
        }
        // Sent, and beyond the positions.
        let bench = &mut self.bench;
        for spec in &specs {
            bench.source.insert(batch(spec, "", 100..150, 0)).await.unwrap();
            bench.equal(spec.name()).await;
        }
        bench.service.api().delete(&stand_in).await.unwrap();
        bench.forget(&stand_in);
        bench.service.stop().unwrap();
        self.bench.service.config().environment = self.environment();
        let from = if self.kind == Kind::Mysql { "mysql" } else { "etcd" };
        let plan = import(&mut self.bench.service, &["--from", from]);
        let fates: Vec<_> = plan["tasks"].as_array().unwrap().iter().map(|t| &t["fate"]).collect();
        assert_eq!(fates, ["imported", "imported"], "{plan:#}");
        self.bench.service.restart().await.unwrap();
        self.bench.source.insert(batch(&specs[0], "", 150..200, 0)).await.unwrap();
        equal(&self.bench.source, &self.bench.target, "taken").await;
    }

    /// The other tasks, from the narrow ones to the one that leaves all those out.
    async fn begin(&mut self) {
        let (source, target) = (self.bench.source.clone(), self.bench.target.clone());
        roles(&source, &target).await;
        for database in ["mapped", "waiting"] {
            source.create_database(database).await.unwrap();
        }
        let small = |name: &str| CollectionSpec::small(name, 8);
        source.database("mapped").create_ready(&small("orders")).await.unwrap();
        source.database("waiting").create_ready(&small("seen")).await.unwrap();
        for name in ["granted", "asleep", "clash", "first_name"] {
            source.create_ready(&small(name)).await.unwrap();
        }
        // With other fields, and one that is not from a task.
        for name in ["clash", "late"] {
            target.create_collection(&CollectionSpec::small(name, 16)).await.unwrap();
        }
        let live = small("live").shards(2).property("collection.ttl.seconds", "86400");
        source.create_ready(&live).await.unwrap();
        source.create_alias("live", "live_alias").await.unwrap();

        let milvus = self.milvus();
        let of = |id: &str, more: Value| {
            let mut request = json!({"task_id": id, "milvus_connect_param": milvus});
            for (key, value) in more.as_object().unwrap() {
                request[key] = value.clone();
            }
            request
        };
        let user_role = json!({"enable_user_role": true});
        let granted = json!({"collection_infos": [{"name": "granted"}], "extra_info": user_role});
        self.bench.task_as(of("roles", granted)).await;
        let rule = json!({"source_db": "mapped", "target_db": "mapped_copy",
            "collection_mapping": {"orders": "orders_copy"}});
        let mapped = json!({"db_collections": {"mapped": [{"name": "*"}]}, "name_mapping": [rule]});
        self.bench.task_as(of("paused", mapped)).await;
        let asleep = json!({"collection_infos": [{"name": "asleep"}], "disable_auto_start": true});
        self.bench.task_as(of("not_started", asleep)).await;
        let clash = of("faulty", json!({"collection_infos": [{"name": "clash"}]}));
        self.bench.task_that_pauses(clash).await;
        let late = of("faulty_later", json!({"collection_infos": [{"name": "late"}]}));
        self.bench.task_as(late).await;
        source.create_collection(&small("late")).await.unwrap();
        self.until_stored(r#""stage":"awaited""#).await;
        let api = self.bench.service.api();
        api.wait_state("faulty_later", "Paused", READY_WITHIN).await.unwrap();
        let waiting = json!({"db_collections": {"waiting": [{"name": "*"}]},
            "milvus_connect_param": {"uri": format!("http://{}", self.counting_address)}});
        self.bench.task_as(of("waits", waiting)).await;
        let nobody = json!({"db_collections": {"*": [{"name": "*"}]},
            "milvus_connect_param": {"uri": format!("http://{NEVER_THERE}")}});
        self.bench.service.api().request("create", of("never_begun", nobody)).await.unwrap();
        self.begin_into_kafka().await;
        let rest = json!({"db_collections": {"default": [{"name": "*"}]}});
        self.bench.task_as(of("runs", rest)).await;
        for name in ["live", "first_name", "granted", "asleep"] {
            equal(&source, &target, name).await;
        }
    }

    async fn begin_into_kafka(&mut self) {
        let address = self.kafka.broker();
        let exact = json!({
            "address": address, "topic": "{task}.{database}.{collection}", "partitions": 3,
            "format": "change_event", "delivery": "exactly_once", "vectors": "base64",
            "tombstones": true, "producer": {"compression.type": "lz4"},
        });
        let go = json!({"address": address, "topic": "to_kafka_go"});
        for (id, kafka) in [("to_kafka", exact), ("to_kafka_go", go)] {
            let request = json!({"task_id": id, "kafka_connect_param": kafka,
                "collection_infos": [{"name": "live"}]});
            self.bench.task_as(request).await;
        }
    }

    /// Rows, a partition, a new name.
    async fn change(&mut self) {
        let (source, target) = (&self.bench.source, &self.bench.target);
        let live = CollectionSpec::small("live", 8);
        source.create_partition("live", "p1").await.unwrap();
        source.load("live").await.unwrap();
        source.insert(batch(&live, "", 0..200, 0)).await.unwrap();
        source.insert(batch(&live, "p1", 200..300, 0)).await.unwrap();
        source.delete_keys("live", "id", &keys(&live, 50..100)).await.unwrap();
        source.rename("first_name", "second_name").await.unwrap();
        let orders = CollectionSpec::small("orders", 8);
        source.database("mapped").insert(batch(&orders, "", 0..100, 0)).await.unwrap();
        assert_eq!(equal(source, target, "live").await.target_rows, 250);
        equal(source, target, "second_name").await;
        let copy = target.database("mapped_copy");
        wait::until("the rows of mapped", EQUAL_WITHIN, || async {
            let strong = testkit::milvus::Reading::Strong;
            Ok((copy.count("orders_copy", "", &[], strong).await? == 100).then_some(()))
        })
        .await
        .unwrap();
        self.until_stored("access/roles/reader").await;
        self.until_stored("live_alias").await;
    }

    /// A bulk import, and a request that no version knows.
    async fn miss(&mut self) {
        let described = self.bench.source.describe("live").await.unwrap();
        let import = ImportMsg {
            base: base(MsgType::Import),
            collection_name: "live".to_owned(),
            collection_id: described.collection_id,
            ..Default::default()
        };
        let topic = &described.physical_channel_names[0];
        source_log::append(&self.bench.pair.queue.address(), topic, &import).await.unwrap();
        let base = MsgBase { msg_type: 9999, ..base(MsgType::CreateRole).unwrap() };
        op(&self.bench, pb::CreateRoleRequest { base: Some(base), entity: None }).await;
        self.until_stored("missed/runs/").await;
        self.until_stored("-Import-live").await;
        self.until_stored("-type 9999-").await;
    }

    /// Pauses one, restarts milvus-cdc, and takes a target away.
    async fn stop_some(&mut self) {
        self.bench.service.api().pause("paused").await.unwrap();
        self.bench.service.restart().await.unwrap();
        self.bench.service.api().wait_state("not_started", "Paused", READY_WITHIN).await.unwrap();
        let seen = CollectionSpec::small("seen", 8);
        let source = self.bench.source.database("waiting");
        source.insert(batch(&seen, "", 0..100, 0)).await.unwrap();
        wait::until("rows for the target that is counted", EQUAL_WITHIN, || async {
            let counts = self.counting.as_ref().unwrap().counts().await?;
            Ok((counts.inserted >= 100).then_some(()))
        })
        .await
        .unwrap();
        self.counting = None;
        let api = self.bench.service.api();
        wait::until("a reason to wait", EQUAL_WITHIN, || async {
            let task = api.task("waits").await?;
            Ok((!task["status"]["waiting"].is_null()).then_some(()))
        })
        .await
        .unwrap();
    }

    /// Kills milvus-cdc while a window is open on a lane and another one on its way into the log.
    async fn killed_in_the_middle(&mut self, into: &Path) -> Text {
        let first_key = 1 << 32;
        let load = Workload::mixed(vec![CollectionSpec::small("live", 8)], 7);
        let load = Workload { first_key, ..load }.start(&self.bench.source).unwrap();
        let is_in_the_middle = |text: &Text| {
            let is_open = |record: &Record| record.value.contains(r#""open":{"#);
            text.records.iter().any(is_open) && text.value("next/to_kafka").is_some()
        };
        let mut is_caught = false;
        while !is_caught {
            let written = load.stats().acknowledged();
            self.bench.pair.target.thaw().unwrap();
            self.kafka.thaw().unwrap();
            wait::until("more writes", EQUAL_WITHIN, || async {
                Ok((load.stats().acknowledged() > written + 50).then_some(()))
            })
            .await
            .unwrap();
            self.bench.pair.target.freeze().unwrap();
            self.kafka.freeze().unwrap();
            // It may have been between two windows, with none of them open.
            let caught = wait::until("a window in the middle", CAUGHT_WITHIN, || async {
                Ok(is_in_the_middle(&self.text().await).then_some(()))
            });
            is_caught = caught.await.is_ok();
        }
        self.bench.service.kill().unwrap();
        let text = self.text().await;
        assert!(is_in_the_middle(&text), "{text:?}");
        self.kafka.thaw().unwrap();
        self.bench.pair.target.thaw().unwrap();
        load.stop().await.unwrap();
        let (kafka, (group, topic)) = (self.kafka.broker(), MARKS_OF);
        let marks = tokio::task::spawn_blocking(move || topic::committed(&kafka, group, topic));
        let (_, marks) = marks.await.unwrap().unwrap().unwrap();
        std::fs::write(into.join(format!("{}.marks.txt", self.kind.name())), marks + "\n").unwrap();
        let was =
            [self.bench.pair.target.address(), self.counting_address.clone(), self.kafka.broker()];
        was.iter().zip(TARGETS).fold(text, |text, (was, is)| text.replaced(was, is))
    }
}

/// A role that may do something, and a user who has it, on both sides.
async fn roles(source: &Milvus, target: &Milvus) {
    use pb::{OperatePrivilegeType as Privilege, OperateUserRoleType as Role};
    for side in [source, target] {
        side.create_user("ann", PASSWORDS[0]).await.unwrap();
    }
    source.create_role("reader").await.unwrap();
    source.change_grant("reader", ("Search", "granted"), Privilege::Grant).await.unwrap();
    source.change_member("ann", "reader", Role::AddUserToRole).await.unwrap();
}
