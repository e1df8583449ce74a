//! Tests that every field type of 2.3 is written and read back unchanged, by every call of the
//! client. Never covers types of later versions.

use milvus_wire::proto::common::{ConsistencyLevel, LoadState};
use milvus_wire::proto::schema::DataType;
use testkit::compare::{Comparison, Metadata, metadata_differences};
use testkit::milvus::{Batch, CollectionSpec, FieldKind, Key, Milvus, Query, Reading};
use testkit::rows::{Columns, RowGenerator, RowId};

use crate::server;

/// Creates a collection, makes it new if it is there.
pub(crate) async fn fresh(milvus: &Milvus, spec: &CollectionSpec) {
    if milvus.collections().await.unwrap().contains(&spec.name().to_owned()) {
        milvus.drop_collection(spec.name()).await.unwrap();
    }
    milvus.create_ready(spec).await.unwrap();
}

pub(crate) fn batch(spec: &CollectionSpec, generator: &RowGenerator, rows: &[RowId]) -> Batch {
    generator.batch(spec.name(), "", rows)
}

pub(crate) fn rows(keys: std::ops::Range<u64>, version: u64) -> Vec<RowId> {
    keys.map(|key| RowId { key, version }).collect()
}

#[tokio::test]
async fn every_type_is_read_as_it_was_written() {
    let milvus = server::milvus().await;
    for (name, vector) in [
        ("every_type_f", FieldKind::FloatVector(16)),
        ("every_type_b", FieldKind::BinaryVector(32)),
    ] {
        let spec = CollectionSpec::every_type(name, vector);
        fresh(&milvus, &spec).await;
        let generator = RowGenerator::new(&spec.schema, 3).unwrap();
        let all = rows(0..300, 0);
        let written = milvus.insert(batch(&spec, &generator, &all)).await.unwrap();
        assert_eq!(Key::list(written.i_ds).len(), 300);
        let replaced = rows(100..200, 1);
        milvus.upsert(batch(&spec, &generator, &replaced)).await.unwrap();
        let gone: Vec<Key> = (0..50).map(|key| generator.key(key)).collect();
        milvus.delete_keys(name, "id", &gone).await.unwrap();
        if name.ends_with('f') {
            milvus.flush(name).await.unwrap();
        }

        assert_eq!(milvus.count(name, "", &[], Reading::Strong).await.unwrap(), 250);
        let expected = [rows(50..100, 0), replaced, rows(200..300, 0)].concat();
        let made = Columns::new(generator.columns(&expected)).unwrap();
        let read = Columns::new(milvus.query(&Query::of(name, "id >= 0")).await.unwrap()).unwrap();
        assert_eq!(read.rows(), 250);
        let keys = read.keys("id").unwrap();
        for (at, row) in expected.iter().enumerate() {
            let there = keys.iter().position(|key| *key == generator.key(row.key)).unwrap();
            assert_eq!(read.words(there), made.words(at), "{row:?}");
            assert_eq!(read.digest(there), made.digest(at), "{row:?}");
        }
        let itself = Comparison::new(&milvus, &milvus, name).look().await.unwrap();
        assert!(itself.is_equal() && itself.source_rows == 250, "{itself}");
    }
}

#[tokio::test]
async fn varchar_keys_made_up_keys_and_partition_keys_work() {
    let milvus = server::milvus().await;
    let small =
        |name: &str| CollectionSpec::new(name).field("vector", FieldKind::FloatVector(4)).shards(2);
    let specs = [
        small("varchar_key").varchar_key("id", 64),
        small("auto_id").int64_key("id").auto_id(),
        small("auto_text_id").varchar_key("id", 64).auto_id(),
        small("int_partition_key").int64_key("id").partition_key(
            "tenant",
            FieldKind::Plain(DataType::Int64),
            7,
        ),
        small("text_partition_key").int64_key("id").partition_key(
            "tenant",
            FieldKind::VarChar(64),
            0,
        ),
    ];
    for spec in specs {
        fresh(&milvus, &spec).await;
        let generator = RowGenerator::new(&spec.schema, 1).unwrap();
        let answer = milvus.insert(batch(&spec, &generator, &rows(0..500, 0))).await.unwrap();
        let keys = Key::list(answer.i_ds);
        assert_eq!(keys.len(), 500);
        milvus.delete_keys(spec.name(), "id", &keys[..100]).await.unwrap();
        let report = Comparison::new(&milvus, &milvus, spec.name()).look().await.unwrap();
        assert!(report.is_equal() && report.source_rows == 400, "{}: {report}", spec.name());
    }
    let described = milvus.describe("int_partition_key").await.unwrap();
    assert_eq!(described.num_partitions, 7);
    assert_eq!(milvus.partitions("int_partition_key").await.unwrap().len(), 7);
}

#[tokio::test]
async fn databases_partitions_indexes_and_loading_work() {
    let milvus = server::milvus().await;
    if !milvus.databases().await.unwrap().contains(&"kit".to_owned()) {
        milvus.create_database("kit").await.unwrap();
    }
    let kit = milvus.database("kit");
    let spec = CollectionSpec::small("apart", 8)
        .shards(3)
        .consistency(ConsistencyLevel::Bounded)
        .property("collection.ttl.seconds", "86400");
    fresh(&kit, &spec).await;
    assert!(!milvus.collections().await.unwrap().contains(&"apart".to_owned()));
    kit.create_partition("apart", "p1").await.unwrap();
    let before = Metadata::read(&kit, "apart").await.unwrap();
    let generator = RowGenerator::new(&spec.schema, 1).unwrap();
    let in_p1 = Batch { partition: "p1".into(), ..batch(&spec, &generator, &rows(0..10, 0)) };
    kit.insert(in_p1).await.unwrap();
    kit.insert(batch(&spec, &generator, &rows(10..15, 0))).await.unwrap();
    let count = async |partition: &str| {
        kit.count("apart", "", &[partition.to_owned()], Reading::Strong).await.unwrap()
    };
    assert_eq!((count("p1").await, count("_default").await), (10, 5));
    kit.flush("apart").await.unwrap();
    assert_eq!(kit.stored_rows("apart").await.unwrap(), 15);

    kit.release_partitions("apart", &["p1"]).await.unwrap();
    let now = Metadata::read(&kit, "apart").await.unwrap();
    assert_eq!(
        metadata_differences(&before, &now),
        ["partition p1: Loaded on the source, NotLoad on the target"]
    );
    kit.load_partitions("apart", &["p1"]).await.unwrap();
    assert_eq!(kit.load_state("apart", &["p1"]).await.unwrap(), LoadState::Loaded);
    kit.release("apart").await.unwrap();
    kit.drop_index("apart", "vector", "by_vector").await.unwrap();
    assert!(kit.indexes("apart").await.unwrap().is_empty());
    kit.drop_partition("apart", "p1").await.unwrap();
    kit.drop_collection("apart").await.unwrap();
    assert!(kit.collections().await.unwrap().is_empty());
    milvus.drop_database("kit").await.unwrap();
}
