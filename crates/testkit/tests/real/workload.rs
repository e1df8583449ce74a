//! Tests that writers write what they report, and that churn leaves nothing behind. Never
//! replicates.

use std::time::Duration;

use milvus_wire::proto::schema::DataType;
use testkit::compare::Comparison;
use testkit::milvus::{CollectionSpec, FieldKind, Reading};
use testkit::wait;
use testkit::workload::{Churn, Workload};

use crate::every_type::fresh;
use crate::server;

#[tokio::test]
async fn the_source_holds_what_was_acknowledged() {
    let milvus = server::milvus().await;
    let specs = [
        CollectionSpec::small("load_int", 8).shards(2),
        CollectionSpec::every_type("load_every", FieldKind::FloatVector(8)),
        CollectionSpec::new("load_text")
            .varchar_key("key", 64)
            .field("vector", FieldKind::FloatVector(8)),
        CollectionSpec::new("load_auto")
            .int64_key("key")
            .field("vector", FieldKind::FloatVector(8))
            .auto_id(),
    ];
    for spec in &specs {
        fresh(&milvus, spec).await;
        milvus.create_partition(spec.name(), "p1").await.unwrap();
    }
    let workload = Workload {
        partitions: vec!["p1".into(), "_default".into()],
        ..Workload::mixed(specs.to_vec(), 5)
    };
    let running = workload.start(&milvus).unwrap();
    wait::until("rows of all kinds", Duration::from_secs(60), || async {
        let stats = running.stats();
        let enough = stats.inserted > 6000 && stats.upserted > 300 && stats.deleted > 300;
        Ok(enough.then_some(()))
    })
    .await
    .unwrap();
    let stats = running.stop().await.unwrap();
    println!("{stats:?}");
    assert_eq!((stats.uncertain, stats.failed_calls), (0, 0), "{stats:?}");
    let mut rows = 0;
    for spec in &specs {
        rows += milvus.count(spec.name(), "", &[], Reading::Strong).await.unwrap();
        let report = Comparison::new(&milvus, &milvus, spec.name()).look().await.unwrap();
        assert!(report.is_equal(), "{}: {report}", spec.name());
    }
    assert_eq!(rows, stats.inserted - stats.deleted, "{stats:?}");
}

#[tokio::test]
async fn a_partition_key_decides_for_writers_too() {
    let milvus = server::milvus().await;
    let spec = CollectionSpec::small("load_keyed", 8).partition_key(
        "tenant",
        FieldKind::Plain(DataType::Int64),
        4,
    );
    fresh(&milvus, &spec).await;
    let running = Workload::mixed(vec![spec], 6).start(&milvus).unwrap();
    wait::until("upserts", Duration::from_secs(60), || async {
        Ok((running.stats().upserted > 200 && running.stats().deleted > 200).then_some(()))
    })
    .await
    .unwrap();
    let stats = running.stop().await.unwrap();
    assert_eq!(stats.uncertain, 0, "{stats:?}");
    let rows = milvus.count("load_keyed", "", &[], Reading::Strong).await.unwrap();
    assert_eq!(rows, stats.inserted - stats.deleted, "{stats:?}");
}

#[tokio::test]
async fn churn_leaves_nothing_behind() {
    let milvus = server::milvus().await;
    for same_names in [false, true] {
        let churn = Churn {
            spec: CollectionSpec::small(&format!("churn_{same_names}"), 4),
            collections: 5,
            alive: 2,
            rows: 1500,
            within: Duration::from_secs(30),
            same_names,
        };
        let stats = churn.run(&milvus, &milvus).await.unwrap();
        assert_eq!(stats.collections, 5);
    }
    let left = milvus.collections().await.unwrap();
    assert!(!left.iter().any(|name| name.starts_with("churn_")), "{left:?}");
}
