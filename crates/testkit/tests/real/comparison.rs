//! Tests that the comparison finds every kind of difference between two sides. Never replicates:
//! both sides are written here.

use std::time::Duration;

use milvus_wire::proto::common::ConsistencyLevel;
use testkit::compare::{Comparison, Metadata, RowReport, metadata_differences};
use testkit::milvus::{Batch, CollectionSpec, Key, Milvus};
use testkit::rows::{RowGenerator, RowId};

use crate::every_type::{batch, fresh, rows};
use crate::server;

/// More than one page.
const ROWS: u64 = 40_000;

async fn fill(milvus: &Milvus, spec: &CollectionSpec, keys: std::ops::Range<u64>) {
    fresh(milvus, spec).await;
    let generator = RowGenerator::new(&spec.schema, 9).unwrap();
    for begin in keys.clone().step_by(5000) {
        let some = rows(begin..(begin + 5000).min(keys.end), 0);
        milvus.insert(batch(spec, &generator, &some)).await.unwrap();
    }
}

async fn look(milvus: &Milvus, source: &str, target: &str) -> RowReport {
    let report = Comparison::new(milvus, milvus, source).target_named(target).look().await.unwrap();
    println!("{report}");
    report
}

#[tokio::test]
async fn a_mutated_copy_is_found_out() {
    let milvus = server::milvus().await;
    let source = CollectionSpec::small("cmp_source", 8).shards(2);
    let copy = source.clone().named("cmp_copy");
    fill(&milvus, &source, 0..ROWS).await;
    fill(&milvus, &copy, 0..ROWS).await;
    milvus.flush("cmp_copy").await.unwrap();
    let generator = RowGenerator::new(&source.schema, 9).unwrap();

    let equal = Comparison::new(&milvus, &milvus, "cmp_source").target_named("cmp_copy");
    let equal = equal.equal_within(Duration::from_secs(30)).await.unwrap();
    assert_eq!((equal.source_rows, equal.target_rows), (ROWS, ROWS));

    let missing = Key::Int(17_001);
    milvus.delete_keys("cmp_copy", "id", std::slice::from_ref(&missing)).await.unwrap();
    let report = look(&milvus, "cmp_source", "cmp_copy").await;
    assert_eq!((report.missing_rows, &report.missing), (1, &vec![missing]));
    assert!(!report.is_equal());

    // An extra row hides nothing, although the counts are the same again.
    let extra = rows(ROWS..ROWS + 1, 0);
    milvus.insert(batch(&copy, &generator, &extra)).await.unwrap();
    let report = look(&milvus, "cmp_source", "cmp_copy").await;
    assert_eq!((report.extra_rows, &report.extra), (1, &vec![generator.key(ROWS)]));
    assert_eq!(report.source_rows, report.target_rows);
    assert!(!report.is_equal());

    milvus.upsert(batch(&copy, &generator, &rows(23..24, 1))).await.unwrap();
    let report = look(&milvus, "cmp_source", "cmp_copy").await;
    let fields: Vec<&str> =
        report.differing[0].fields.iter().map(|(field, ..)| field.as_str()).collect();
    assert_eq!((report.differing_rows, fields), (1, vec!["vector", "version"]));

    milvus.insert(batch(&copy, &generator, &rows(39_000..39_002, 0))).await.unwrap();
    let report = look(&milvus, "cmp_source", "cmp_copy").await;
    assert_eq!(report.doubled_rows, 2);
    assert_eq!(report.doubled, [Key::Int(39_000), Key::Int(39_001)]);
    let error = Comparison::new(&milvus, &milvus, "cmp_source")
        .target_named("cmp_copy")
        .equal_within(Duration::from_secs(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("doubled") && error.contains("comparison.rs"), "{error}");
}

#[tokio::test]
async fn a_row_in_another_partition_is_missing_and_extra() {
    let milvus = server::milvus().await;
    let source = CollectionSpec::small("part_source", 8);
    let copy = source.clone().named("part_copy");
    let generator = RowGenerator::new(&source.schema, 9).unwrap();
    for (spec, partition) in [(&source, "p"), (&copy, "")] {
        fresh(&milvus, spec).await;
        milvus.create_partition(spec.name(), "p").await.unwrap();
        let row = [RowId { key: 1, version: 0 }];
        let row = Batch { partition: partition.into(), ..batch(spec, &generator, &row) };
        milvus.insert(row).await.unwrap();
    }
    let report = look(&milvus, "part_source", "part_copy").await;
    assert_eq!((report.missing_rows, report.extra_rows), (1, 1));
}

#[tokio::test]
async fn a_difference_in_the_metadata_is_found() {
    let milvus = server::milvus().await;
    let source = CollectionSpec::small("meta_source", 8).shards(2);
    let copy = CollectionSpec::small("meta_copy", 16)
        .shards(1)
        .consistency(ConsistencyLevel::Eventually)
        .property("collection.ttl.seconds", "99");
    fresh(&milvus, &source).await;
    fresh(&milvus, &copy).await;
    milvus.create_partition("meta_copy", "more").await.unwrap();
    let read = async |name: &str| Metadata::read(&milvus, name).await.unwrap();
    let (source, copy) = (read("meta_source").await, read("meta_copy").await);
    assert!(metadata_differences(&source, &source.clone()).is_empty());
    let differences = metadata_differences(&source, &copy);
    let expected = ["consistency level", "field vector", "partition more", "property", "shards"];
    assert_eq!(differences.len(), expected.len(), "{differences:#?}");
    for name in expected {
        assert!(differences.iter().any(|line| line.starts_with(name)), "{name}: {differences:#?}");
    }
}
