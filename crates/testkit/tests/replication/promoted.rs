//! Tests `milvus-cdc promote`, which makes a standby an ordinary Milvus while it runs, and what it
//! leaves behind where it refuses or fails. Never restarts a server.

use lab::{EtcdClient, PairOptions};
use serde_json::{Value, json};
use std::process::{Output, Stdio};
use std::time::Duration;
use testkit::milvus::{CollectionSpec, Reading};
use testkit::wait;
use tokio::process::Command;

use super::bench::{Bench, EQUAL_WITHIN, batch, keys};

/// The lab's root paths.
const SOURCE: &str = "src";
const TARGET: &str = "dst";

/// Below this root path another etcd passes for the target's.
const COPY: &str = "copy";

const SETTING: &str = "config/common/ttMsgEnabled";

/// A Milvus of this version, on channels that several shards share, would forget what is not
/// flushed if it were restarted.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_promoted_while_it_runs_and_keeps_every_row() {
    let mut world = World::start().await;
    let spec = world.specs[0].clone();
    let (source_etcd, target_etcd) = world.etcds();
    // Both have a proxy of the same number.
    for (etcd, root, remedy) in [
        (&source_etcd.endpoint, SOURCE, "--root-path src are not shown to be those of the target"),
        (&target_etcd.endpoint, "no-such-path", "none is registered there"),
    ] {
        let refused = world.promote(etcd, root, &["--yes"]).await;
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains(remedy), "{}", said(&refused));
    }
    let unreachable = world.promote("127.0.0.1:1", TARGET, &["--yes"]).await;
    assert_eq!(unreachable.status.code(), Some(3), "{}", said(&unreachable));
    assert!(said(&unreachable).contains("--etcd"), "{}", said(&unreachable));
    let shown = world.promote(&target_etcd.endpoint, TARGET, &[]).await;
    assert_eq!(shown.status.code(), Some(1), "{}", said(&shown));
    for task in &world.tasks {
        assert!(said(&shown).contains(task), "{}", said(&shown));
    }
    assert!(said(&shown).contains("give --yes"), "{}", said(&shown));
    assert_eq!(setting(&target_etcd, TARGET), None);
    world.goes_on().await;

    let done = ["--yes", "--timeout", "90", "--output", "json"];
    let done = world.promote(&target_etcd.endpoint, TARGET, &done).await;
    assert!(done.status.success(), "{}", said(&done));
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(answer["promoted"], true);
    assert_eq!(answer["deleted_tasks"].as_array().unwrap().len(), world.tasks.len());
    assert_eq!(world.bench.service.api().tasks().await.unwrap(), Vec::<Value>::new());
    assert_eq!(setting(&target_etcd, TARGET).as_deref(), Some("true"));

    let target = &world.bench.target;
    for spec in &world.specs {
        let count = target.count(spec.name(), "", &[], Reading::Strong).await.unwrap();
        assert_eq!(count, world.rows, "{}", spec.name());
    }
    target.insert(batch(&spec, "", 10_000..10_100, 0)).await.unwrap();
    let count = async || target.count(spec.name(), "", &[], Reading::Strong).await.unwrap();
    assert_eq!(count().await, world.rows + 100);
    target.delete_keys(spec.name(), "id", &keys(&spec, 0..10_100)).await.unwrap();
    assert_eq!(count().await, 0);

    // A run that was killed before it had deleted the tasks is repeated.
    let address = world.bench.pair.target.address();
    world.tasks = vec![world.bench.service.api().create_task_for_all(&address).await.unwrap()];
    let shown = world.promote(&target_etcd.endpoint, TARGET, &[]).await;
    assert_eq!(shown.status.code(), Some(1), "{}", said(&shown));
    let done = world.promote(&target_etcd.endpoint, TARGET, &["--yes"]).await;
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(world.bench.service.api().tasks().await.unwrap(), Vec::<Value>::new());
    world.finish().await;
}

/// A target that does not take the setting without a restart looks like this.
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_the_target_does_not_follow_is_undone() {
    let mut world = World::start().await;
    let (etcd, target_etcd) = world.etcds();
    world.make_copy(&etcd, &target_etcd);
    let endpoint = etcd.endpoint.clone();

    let failed = world.promote(&endpoint, COPY, &["--yes", "--timeout", "90"]).await;
    assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
    for told in ["without a restart", "is as before", "the tasks run again"] {
        assert!(said(&failed).contains(told), "{told}: {}", said(&failed));
    }
    assert_eq!(setting(&etcd, COPY), None);
    world.goes_on().await;

    // Interrupted while it waits for the target.
    etcd.run(&["put", &format!("{COPY}/{SETTING}"), "false"]).unwrap();
    let mut command = world.command(&endpoint, COPY, &["--yes", "--no-drain"]);
    let running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait::until("the setting to be written", EQUAL_WITHIN, || async {
        Ok((setting(&etcd, COPY).as_deref() == Some("true")).then_some(()))
    })
    .await
    .unwrap();
    let id = running.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    let stopped = running.wait_with_output().await.unwrap();
    assert_eq!(stopped.status.code(), Some(1), "{}", said(&stopped));
    assert!(said(&stopped).contains("interrupted"), "{}", said(&stopped));
    assert_eq!(setting(&etcd, COPY).as_deref(), Some("false"));
    world.goes_on().await;
    world.finish().await;
}

/// Two tasks on one target, each with a collection.
struct World {
    bench: Bench,
    tasks: Vec<String>,
    /// The tasks that it began with.
    created: Vec<String>,
    specs: Vec<CollectionSpec>,
    /// How many rows each collection has.
    rows: u64,
}

impl World {
    async fn start() -> Self {
        let options = PairOptions { target_channels: 2, ..PairOptions::default() };
        let mut bench = Bench::of(options).await;
        let specs = ["kept", "kept_too"].map(|name| CollectionSpec::small(name, 8).shards(2));
        let mut tasks = Vec::new();
        for spec in &specs {
            bench.source.create_ready(spec).await.unwrap();
            tasks.push(bench.task(json!({"collection_infos": [{"name": spec.name()}]})).await);
        }
        let mut world = Self { bench, created: tasks.clone(), tasks, specs: specs.into(), rows: 0 };
        world.goes_on().await;
        world
    }

    /// Its etcds, the source's and the target's.
    fn etcds(&self) -> (EtcdClient, EtcdClient) {
        (self.bench.pair.source_etcd.client(), self.bench.pair.target_etcd.client())
    }

    /// Rows of the source arrive, and are not flushed.
    async fn goes_on(&mut self) {
        let more = self.rows..self.rows + 200;
        self.rows = more.end;
        for spec in &self.specs {
            self.bench.source.insert(batch(spec, "", more.clone(), 0)).await.unwrap();
        }
        for spec in &self.specs {
            assert_eq!(self.bench.equal(spec.name()).await.target_rows, self.rows);
        }
    }

    /// Makes an etcd pass for the target's.
    fn make_copy(&self, etcd: &EtcdClient, target: &EtcdClient) {
        let sessions = target.keys(&format!("{TARGET}/meta/session/proxy-")).unwrap();
        assert!(!sessions.is_empty());
        let fields = target.keys(&format!("{TARGET}/meta/root-coord/fields/")).unwrap();
        assert!(!fields.is_empty());
        for key in sessions.iter().chain(&fields) {
            let rest = key.strip_prefix(TARGET).unwrap();
            etcd.run(&["put", &format!("{COPY}{rest}"), "{}"]).unwrap();
        }
    }

    fn command(&self, etcd: &str, root: &str, more: &[&str]) -> Command {
        let server = format!("http://{}", self.bench.service.address());
        let mut command = Command::new(self.bench.service.program());
        command.args(["promote", &self.tasks[0], "--server", &server]);
        command.args(["--etcd", etcd, "--root-path", root]).args(more);
        command.kill_on_drop(true);
        command
    }

    async fn promote(&self, etcd: &str, root: &str, more: &[&str]) -> Output {
        let ran = self.command(etcd, root, more).output();
        tokio::time::timeout(Duration::from_secs(180), ran).await.unwrap().unwrap()
    }

    async fn finish(mut self) {
        let left = self.bench.service.api().tasks().await.unwrap();
        if left.is_empty() {
            self.created.iter().for_each(|task| self.bench.forget(task));
        }
        self.bench.finish().await;
    }
}

/// The setting in an etcd, if it is there.
fn setting(etcd: &EtcdClient, root: &str) -> Option<String> {
    let shown = etcd.run(&["get", "--print-value-only", &format!("{root}/{SETTING}")]).unwrap();
    Some(shown.trim().to_owned()).filter(|value| !value.is_empty())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
