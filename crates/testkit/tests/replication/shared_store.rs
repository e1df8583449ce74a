//! Two milvus-cdc on one store: one works, the other waits and takes over when the first is gone.

use lab::{Etcd, EtcdOptions, READY_WITHIN, Server};
use tempfile::TempDir;
use testkit::milvus::CollectionSpec;
use testkit::service::{Service, ServiceConfig};
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_on_one_store_one_works_and_the_other_takes_over() {
    let folder = TempDir::new().unwrap();
    let mut etcd = Etcd::start(&folder.path().join("etcd"), EtcdOptions::default()).unwrap();
    etcd.wait_ready(READY_WITHIN).unwrap();
    let environment = |state: &str| {
        let state = folder.path().join(state).display().to_string();
        let lines = [
            ("STORETYPE", "etcd".to_owned()),
            ("ETCD__ADDRESS", etcd.endpoint()),
            ("STATEFOLDER", state),
        ];
        let named = |(key, value)| (format!("MILVUS_CDC_METASTORECONFIG__{key}"), value);
        lines.into_iter().map(named).collect::<Vec<_>>()
    };
    let mut bench = Bench::new().await;
    bench.service.config().environment = environment("first");
    bench.service.restart().await.unwrap();
    let spec = CollectionSpec::small("shared_store", 8).shards(2);
    bench.source.create_ready(&spec).await.unwrap();
    let task = bench.task_for_all().await;
    bench.source.insert(batch(&spec, "", 0..200, 0)).await.unwrap();
    bench.equal("shared_store").await;

    let second = environment("second");
    let config = ServiceConfig { environment: second, ..bench.service.config().clone() };
    let mut second = Service::start(config).await.unwrap();
    wait::until("the second one to wait for the first", EQUAL_WITHIN, || async {
        let seen = second.api().task(&task).await?;
        Ok(seen.to_string().contains("another milvus-cdc").then_some(()))
    })
    .await
    .unwrap();
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
