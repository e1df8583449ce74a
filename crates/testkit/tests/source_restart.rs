//! Tests that writers survive a restart of their source, and that a raw reader finds what they
//! wrote in its queue. Never replicates.

#![allow(clippy::unwrap_used)] // A test fails by a panic, and so do its helpers.

use std::time::Duration;

use lab::{Etcd, EtcdOptions, Kafka, KafkaOptions, MilvusOptions, Queue, READY_WITHIN, Server};
use testkit::compare::Comparison;
use testkit::milvus::{CollectionSpec, Milvus, Reading};
use testkit::raw_reader::RawRead;
use testkit::wait;
use testkit::workload::{Running, Workload};

async fn acknowledged(running: &Running, more: u64) {
    let enough = running.stats().acknowledged() + more;
    wait::until("more writes", Duration::from_secs(120), || async {
        let stats = running.stats();
        anyhow::ensure!(stats.acknowledged() >= enough, "{stats:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_outlive_a_source_that_is_killed() {
    let installed = lab::install_servers().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut etcd = Etcd::start(&at("etcd"), EtcdOptions::default()).unwrap();
    let mut kafka = Kafka::start(&installed, &at("kafka"), KafkaOptions::default()).unwrap();
    etcd.wait_ready(READY_WITHIN).unwrap();
    kafka.wait_ready(READY_WITHIN).unwrap();
    let options = MilvusOptions::new("src", etcd.client(), Queue::Kafka(kafka.broker()));
    let mut server = lab::Milvus::start(&installed, &at("milvus"), options).unwrap();
    server.wait_ready(READY_WITHIN).unwrap();

    let milvus = Milvus::at(&server.address()).unwrap();
    let specs =
        vec![CollectionSpec::small("a", 16).shards(2), CollectionSpec::small("b", 16).shards(2)];
    for spec in &specs {
        milvus.create_ready(spec).await.unwrap();
    }
    let running = Workload::mixed(specs.clone(), 1).start(&milvus).unwrap();
    acknowledged(&running, 2000).await;
    server.kill().unwrap();
    wait::until("a failed call", Duration::from_secs(60), || async {
        Ok((running.stats().failed_calls > 0).then_some(()))
    })
    .await
    .unwrap();
    server.restart().unwrap();
    acknowledged(&running, 2000).await;
    let stats = running.stop().await.unwrap();
    println!("{stats:?}");
    assert!(stats.uncertain > 0 && stats.last_failure.is_some());

    let mut rows = 0;
    for spec in &specs {
        let compared = Comparison::new(&milvus, &milvus, spec.name());
        let report = compared.equal_within(Duration::from_secs(120)).await.unwrap();
        println!("{report}");
        rows += milvus.count(spec.name(), "", &[], Reading::Strong).await.unwrap();
    }
    let certain = stats.inserted - stats.deleted;
    assert!(rows + stats.uncertain >= certain && rows <= certain + stats.uncertain, "{stats:?}");

    let topics =
        ["a", "b"].map(async |name| milvus.describe(name).await.unwrap().physical_channel_names);
    let topics = futures::future::join_all(topics).await.concat();
    let read = RawRead { brokers: kafka.broker(), topics, settings: vec![] };
    let read = tokio::task::spawn_blocking(move || read.run_apart()).await.unwrap().unwrap();
    println!("{read:?}, {:.1} MB/s", read.megabytes_per_second());
    // A row is more than its vector.
    assert!(read.bytes > stats.inserted * 64 && read.messages > 0 && read.peak_bytes > 0);
}
