//! Stores that earlier versions wrote (`crates/testkit/stores`). This version shows their tasks as
//! those versions did. The tasks go on where they were, and the earlier version can still read the
//! store. The store is a real file; source and targets are scripted (`outside`).

mod newer;
mod outside;

use crate::support::{CONFIG, answered, eventually};
use connectors::etcd::EtcdMembers;
use connectors::store::SqliteStore;
use outside::{Outside, TheirTargets};
use replication::ports::Store;
use serde_json::{Value, json};
use server::config::{self, Config, Faults};
use server::logging::LogLevel;
use server::service::Service;
use server::world::{RealPath, World};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::stores::{Kind, Store as OnDisk, Text, Written, differences, shown};
use tokio_util::sync::CancellationToken;

const PROGRAM: &str = env!("CARGO_BIN_EXE_milvus-cdc");

/// A service on a store that was written by another one.
struct Opened {
    folder: TempDir,
    outside: Arc<Outside>,
    address: String,
    http: reqwest::Client,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Opened {
    /// With source and targets as the store has them.
    async fn with_outside(text: &Text) -> Self {
        Self::on(text, true).await
    }

    /// While nobody else is there.
    async fn alone(text: &Text) -> Self {
        Self::on(text, false).await
    }

    async fn on(text: &Text, is_there: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = OnDisk::start(Kind::Sqlite, folder.path()).unwrap();
        place.load(text).await.unwrap();
        let store = SqliteStore::open(file(&place)).await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let outside = if is_there { Outside::of(&store).await } else { Outside::away() };
        let outside = Arc::new(outside);
        let world = World {
            store,
            source: outside.clone(),
            catalog: outside.clone(),
            targets: Arc::new(TheirTargets(outside.clone())),
            path: Arc::new(RealPath),
            members: EtcdMembers::default(),
        };
        let service = Service::bind(&config(), world, LogLevel::default()).await.unwrap();
        let address = service.address().unwrap().to_string();
        let stop = CancellationToken::new();
        let running = tokio::spawn(service.run(stop.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let opened = Self { folder, outside, address, http, stop, running };
        eventually(async || {
            let url = format!("http://{}/readyz", opened.address);
            let answer = opened.http.get(url).send().await.unwrap();
            if answer.status() == 200 { Ok(()) } else { Err(answer.text().await.unwrap()) }
        })
        .await;
        opened
    }

    /// A request on the tasks; HTTP status and body.
    async fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        let url = format!("http://{}/api/v1/tasks{path}", self.address);
        answered(self.http.request(method.parse().unwrap(), url).send().await.unwrap()).await
    }

    async fn task(&self, id: &str) -> Value {
        let (status, task) = self.ask("GET", &format!("/{id}")).await;
        assert_eq!(status, 200, "{task}");
        task
    }

    /// Waits until a task waits for something that is told in these words.
    async fn waits(&self, id: &str, words: &str) -> Value {
        eventually(async || {
            let task = self.task(id).await;
            let waiting = task["status"]["waiting"].as_str().unwrap_or_default();
            if waiting.contains(words) { Ok(task) } else { Err(task) }
        })
        .await
    }

    /// Waits until these places have been opened.
    async fn reads_from(&self, places: &BTreeSet<(String, String)>) {
        eventually(async || {
            let opened = self.opened();
            let missing: Vec<_> = places.difference(&opened).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} of {opened:?}")) }
        })
        .await;
    }

    /// The places that have been opened: channel and message id.
    fn opened(&self) -> BTreeSet<(String, String)> {
        self.outside.opened.lock().unwrap().clone()
    }

    /// Stops the service as SIGTERM does; the store as it is then.
    async fn stop(self) -> Text {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        let place = OnDisk::start(Kind::Sqlite, self.folder.path()).unwrap();
        place.dump().await.unwrap()
    }
}

fn file(place: &OnDisk) -> &Path {
    let OnDisk::Sqlite(file) = place else { panic!("{place:?}") };
    file
}

fn config() -> Config {
    let mut faults = Faults::default();
    let text = CONFIG.replace("maxTaskNum: 5", "maxTaskNum: 50");
    let text = format!("{text}unsupportedRequests: continue\n");
    let mut config = config::parse(&text, std::iter::empty(), &mut faults)
        .unwrap_or_else(|| panic!("{:?}", faults.errors));
    config.backoff_first = Duration::from_millis(20);
    config.limits.backoff_max = Duration::from_millis(200);
    config
}

/// The stores in SQLite of every earlier version.
fn written() -> impl Iterator<Item = (Written, Text)> {
    Written::by_all().unwrap().into_iter().map(|written| {
        let text = written.text(Kind::Sqlite).unwrap();
        (written, text)
    })
}

/// Where a task has stored that it goes on: channel and message id. The op channel is one of them.
fn stored_places(text: &Text, task: &str) -> BTreeSet<(String, String)> {
    let record = |key: String| -> Value {
        let value = text.value(&key).unwrap_or_else(|| panic!("{key} is not stored"));
        serde_json::from_str(value).unwrap()
    };
    let id = |position: &Value| position.as_str().unwrap().to_owned();
    let channels = record(format!("checkpoint/{task}"));
    let channels = channels["channels"].as_object().unwrap().iter();
    let mut places: BTreeSet<_> =
        channels.map(|(channel, position)| (channel.clone(), id(&position["id"]))).collect();
    places.insert(("src-replicate-msg".into(), id(&record(format!("op/{task}"))["next"])));
    places
}

#[tokio::test]
async fn the_tasks_of_an_earlier_versions_store_are_shown_as_that_version_showed_them() {
    for (written, text) in written() {
        let opened = Opened::alone(&text).await;
        let now = shown(&opened.address, Path::new(PROGRAM)).await.unwrap();
        let then = written.shown(Kind::Sqlite).unwrap();
        let differences = differences(&then, &now);
        assert!(differences.is_empty(), "{}: {differences:#?}", written.version());
        for (task, words) in [("never_begun", "away"), ("waits", "away"), ("runs", "away")] {
            let task = opened.waits(task, words).await;
            assert_eq!(task["state"], "Running", "{task}");
        }
        let after = opened.stop().await;
        text.kept_in(&after, &["alive/", "lease/"]).unwrap();
    }
}

#[tokio::test]
async fn the_tasks_of_an_earlier_versions_store_go_on_where_it_left_them() {
    let running = ["runs", "roles", "taken_over", "to_kafka", "to_kafka_go"];
    let paused = ["faulty", "faulty_later", "not_started", "paused", "taken_over_paused"];
    for (_, text) in written() {
        let opened = Opened::with_outside(&text).await;
        let places = |tasks: &[&str]| -> BTreeSet<_> {
            tasks.iter().flat_map(|task| stored_places(&text, task)).collect()
        };
        let all = places(&running);
        opened.reads_from(&all).await;
        assert_eq!(opened.opened(), all, "nothing is read from anywhere else");
        for task in paused {
            assert_eq!(opened.task(task).await["state"], "Paused", "{task}");
            let (status, answer) = opened.ask("POST", &format!("/{task}/resume")).await;
            assert_eq!(status, 204, "{answer}");
        }
        let all: BTreeSet<_> = all.union(&places(&paused)).cloned().collect();
        opened.reads_from(&all).await;
        assert_eq!(opened.opened(), all, "nothing is read from anywhere else");
        for task in running.iter().chain(&paused) {
            let shown = opened.task(task).await;
            assert_eq!(
                (&shown["state"], &shown["status"]["waiting"]),
                (&json!("Running"), &Value::Null)
            );
        }
        let (status, answer) = opened.ask("DELETE", "/waits").await;
        assert_eq!(status, 204, "{answer}");
        let after = opened.stop().await;
        let left =
            after.records.iter().filter(|record| record.key.split('/').any(|p| p == "waits"));
        assert_eq!(left.count(), 0, "what is stored of a task goes with it");
        let of = |task: &str| {
            ["task/", "checkpoint/", "collection/"].map(|kind| format!("{kind}{task}"))
        };
        let mut may_change: Vec<String> = paused.iter().flat_map(|task| of(task)).collect();
        may_change
            .extend(["alive/", "lease/", "lane/", "fence/taken_over_paused"].map(str::to_owned));
        may_change.extend(
            ["task/waits", "op/waits", "checkpoint/waits", "task-roster"].map(str::to_owned),
        );
        may_change
            .extend(["collection/waits/", "serving/waits/", "missed/waits/"].map(str::to_owned));
        let may_change: Vec<&str> = may_change.iter().map(String::as_str).collect();
        text.kept_in(&after, &may_change).unwrap();
    }
}

/// Those of the data path are looked at in `replication`.
#[test]
fn the_record_of_a_task_is_written_as_earlier_versions_wrote_it() {
    for written in Written::by_all().unwrap() {
        for kind in Kind::ALL {
            let text = written.text(kind).unwrap();
            let tasks = text.records.iter().filter(|record| record.key.starts_with("task/"));
            assert_eq!(tasks.clone().count(), 12, "{kind:?}");
            for record in tasks {
                let task: server::tasks::TaskRecord = serde_json::from_str(&record.value).unwrap();
                assert_eq!(serde_json::to_string(&task).unwrap(), record.value, "{}", record.key);
            }
            assert_eq!(text.value("task-roster"), Some("{}"));
        }
    }
}
