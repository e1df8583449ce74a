//! Tests two milvus-cdc on one store: one works, the other waits and takes over when the first is
//! gone. Never do both work at a time.

use lab::{Etcd, EtcdOptions, READY_WITHIN, Server};
use serde_json::json;
use tempfile::TempDir;
use testkit::milvus::{CollectionSpec, Reading};
use testkit::service::{Service, ServiceConfig};
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch};

const ALL: &str = "*";

/// Names another binary for the one that stands by: that of an earlier version.
const STANDBY: &str = "TESTKIT_STANDBY_BIN";

/// A store for two, and where each keeps its name.
struct Shared {
    folder: TempDir,
    etcd: Etcd,
}

impl Shared {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut etcd = Etcd::start(&folder.path().join("etcd"), EtcdOptions::default()).unwrap();
        etcd.wait_ready(READY_WITHIN).unwrap();
        Self { folder, etcd }
    }

    fn environment(&self, state: &str) -> Vec<(String, String)> {
        let state = self.folder.path().join(state).display().to_string();
        let lines = [
            ("STORETYPE", "etcd".to_owned()),
            ("ETCD__ADDRESS", self.etcd.endpoint()),
            ("STATEFOLDER", state),
        ];
        let named = |(key, value)| (format!("MILVUS_CDC_METASTORECONFIG__{key}"), value);
        lines.into_iter().map(named).collect()
    }

    /// The bench's own service, on this store.
    async fn bench(&self) -> Bench {
        let mut bench = Bench::new().await;
        bench.service.config().environment = self.environment("first");
        bench.service.restart().await.unwrap();
        bench
    }

    /// Another one, as soon as it waits for the bench's.
    async fn second(&self, bench: &mut Bench, task: &str) -> Service {
        let environment = self.environment("second");
        let config = ServiceConfig { environment, ..bench.service.config().clone() };
        let second = match std::env::var_os(STANDBY) {
            Some(program) => Service::start_program(program.into(), config).await.unwrap(),
            None => Service::start(config).await.unwrap(),
        };
        waits(&second, task).await;
        second
    }
}

/// Waits until a service leaves a task to the other one.
async fn waits(service: &Service, task: &str) {
    wait::until("one to wait for the other", EQUAL_WITHIN, || async {
        let seen = service.api().task(task).await?;
        Ok(seen.to_string().contains("another milvus-cdc (").then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_on_one_store_one_works_and_the_other_takes_over() {
    let shared = Shared::start();
    let mut bench = shared.bench().await;
    let spec = CollectionSpec::small("shared_store", 8).shards(2);
    bench.source.create_ready(&spec).await.unwrap();
    let task = bench.task_for_all().await;
    bench.source.insert(batch(&spec, "", 0..200, 0)).await.unwrap();
    bench.equal("shared_store").await;

    let mut second = shared.second(&mut bench, &task).await;
    bench.source.insert(batch(&spec, "", 200..400, 0)).await.unwrap();
    bench.equal("shared_store").await;

    bench.service.kill().unwrap();
    bench.source.insert(batch(&spec, "", 400..600, 0)).await.unwrap();
    bench.equal("shared_store").await;
    second.must_run().unwrap();
    second.stop().unwrap();
    bench.service.restart().await.unwrap();
    bench.source.drop_collection("shared_store").await.unwrap();
    bench.gone("shared_store").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stood_still_sends_nothing_more_and_takes_its_turn_again() {
    let shared = Shared::start();
    let mut bench = shared.bench().await;
    let spec = CollectionSpec::small("stood_still", 8).shards(2);
    bench.source.create_ready(&spec).await.unwrap();
    let task = bench.task_for_all().await;
    bench.source.insert(batch(&spec, "", 0..200, 0)).await.unwrap();
    bench.equal("stood_still").await;
    let mut second = shared.second(&mut bench, &task).await;

    // In the middle of a window, if it comes to that.
    bench.source.insert(batch(&spec, "", 200..4000, 0)).await.unwrap();
    bench.service.freeze().unwrap();
    bench.source.insert(batch(&spec, "", 4000..4200, 0)).await.unwrap();
    assert_eq!(bench.equal("stood_still").await.target_rows, 4200);

    bench.service.thaw().unwrap();
    waits(&bench.service, &task).await;
    bench.source.insert(batch(&spec, "", 4200..4400, 0)).await.unwrap();
    assert_eq!(bench.equal("stood_still").await.target_rows, 4400);

    second.must_run().unwrap();
    second.kill().unwrap();
    bench.source.insert(batch(&spec, "", 4400..4600, 0)).await.unwrap();
    assert_eq!(bench.equal("stood_still").await.target_rows, 4600);
    bench.source.drop_collection("stood_still").await.unwrap();
    bench.gone("stood_still").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_deleted_through_the_other_one_leaves_nothing_to_its_namesake() {
    let shared = Shared::start();
    let mut bench = shared.bench().await;
    let spec = CollectionSpec::small("namesake", 8).shards(2);
    bench.source.create_ready(&spec).await.unwrap();
    let all = json!({ "task_id": "namesake", "db_collections": {ALL: [{"name": ALL}]} });
    let task = bench.task(all.clone()).await;
    bench.source.insert(batch(&spec, "", 0..200, 0)).await.unwrap();
    bench.equal("namesake").await;
    let mut second = shared.second(&mut bench, &task).await;

    second.api().delete(&task).await.unwrap();
    bench.forget(&task);
    wait::until("the first one to have seen it", EQUAL_WITHIN, || async {
        let metrics = bench.service.api().metrics().await?;
        Ok((!metrics.contains("task_id=\"namesake\"")).then_some(()))
    })
    .await
    .unwrap();
    let left = shared.etcd.client().keys("").unwrap();
    let left: Vec<_> = left.iter().filter(|key| key.contains("/namesake")).collect();
    assert!(left.is_empty(), "{left:?}");
    // Nobody looks: a task that begins now does not have these.
    bench.source.insert(batch(&spec, "", 200..300, 0)).await.unwrap();
    assert_eq!(bench.task(all).await, task);
    bench.source.insert(batch(&spec, "", 300..400, 0)).await.unwrap();
    wait::until("the rows after it began", EQUAL_WITHIN, || async {
        let count = bench.target.count("namesake", "", &[], Reading::Strong).await?;
        Ok((count == 300).then_some(()))
    })
    .await
    .unwrap();
    second.stop().unwrap();
    bench.source.drop_collection("namesake").await.unwrap();
    bench.gone("namesake").await;
    bench.finish().await;
}
