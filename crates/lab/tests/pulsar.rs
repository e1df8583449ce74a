//! Tests Pulsar as a server of the lab: it starts, crashes and comes back with its messages, and a
//! source Milvus runs on it. Uses the admin API, never a client of the product.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use lab::{
    Broker, BrokerOptions, Etcd, EtcdOptions, Milvus, MilvusOptions, PulsarOptions, READY_WITHIN,
    Server,
};

#[test]
fn a_milvus_runs_on_pulsar_which_crashes_and_comes_back_with_its_topics() {
    let installed = lab::install_servers().unwrap();
    let run = tempfile::tempdir().unwrap();
    let options = BrokerOptions::Pulsar(PulsarOptions::default());
    let mut queue = Broker::start(&installed, run.path(), options).unwrap();
    let mut etcd = Etcd::start(&run.path().join("etcd"), EtcdOptions::default()).unwrap();
    queue.wait_ready(READY_WITHIN).unwrap();
    etcd.wait_ready(READY_WITHIN).unwrap();
    let options = MilvusOptions::new("src", etcd.client(), queue.queue());
    let mut milvus = Milvus::start(&installed, &run.path().join("milvus"), options).unwrap();
    milvus.wait_ready(READY_WITHIN).unwrap();
    let before = topics(&queue);
    assert!(before.iter().any(|topic| topic.ends_with("src-rootcoord-dml_15")), "{before:?}");

    queue.kill().unwrap();
    assert!(!queue.is_ready());
    queue.bring_back().unwrap();
    assert_eq!(topics(&queue), before);
}

fn topics(queue: &Broker) -> Vec<String> {
    let Broker::Pulsar(pulsar) = queue else { panic!("another broker") };
    let listed = pulsar.admin("GET", "persistent/public/default", "").unwrap();
    let mut topics: Vec<String> = serde_json::from_str(&listed).unwrap();
    topics.sort();
    topics
}
