//! Tests collections and their rows: every type, every kind of key, inserts, upserts, deletes,
//! drops. Never while a server fails: see `faults`.

use testkit::milvus::{CollectionSpec, FieldKind, Key};

use super::bench::{Bench, batch, keys};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_rows_arrive() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let spec = CollectionSpec::small("thousand", 16);
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..1000, 0)).await.unwrap();
    let report = bench.equal("thousand").await;
    assert_eq!(report.target_rows, 1000);
    bench.source.drop_collection("thousand").await.unwrap();
    bench.gone("thousand").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_inserted_upserted_deleted_and_dropped() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    for (name, vector) in
        [("types_f", FieldKind::FloatVector(16)), ("types_b", FieldKind::BinaryVector(32))]
    {
        let spec = CollectionSpec::every_type(name, vector);
        bench.source.create_ready(&spec).await.unwrap();
        bench.source.insert(batch(&spec, "", 0..500, 0)).await.unwrap();
        assert_eq!(bench.equal(name).await.target_rows, 500);
        bench.source.upsert(batch(&spec, "", 300..600, 1)).await.unwrap();
        bench.source.delete_keys(name, "id", &keys(&spec, 0..100)).await.unwrap();
        bench.source.insert(batch(&spec, "", 50..60, 2)).await.unwrap();
        assert_eq!(bench.equal(name).await.target_rows, 510);
        bench.source.drop_collection(name).await.unwrap();
        bench.gone(name).await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_kind_are_kept() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let small =
        |name: &str| CollectionSpec::new(name).field("vector", FieldKind::FloatVector(4)).shards(2);
    let plain = FieldKind::VarChar(64);
    for spec in [
        small("key_text").varchar_key("id", 64),
        small("key_auto").int64_key("id").auto_id(),
        small("key_auto_text").varchar_key("id", 64).auto_id(),
        small("key_partition").int64_key("id").partition_key("tenant", plain, 7),
    ] {
        bench.source.create_ready(&spec).await.unwrap();
        let written = bench.source.insert(batch(&spec, "", 0..500, 0)).await.unwrap();
        let written = Key::list(written.i_ds);
        bench.source.delete_keys(spec.name(), "id", &written[..100]).await.unwrap();
        assert_eq!(bench.equal(spec.name()).await.target_rows, 400, "{}", spec.name());
        bench.source.drop_collection(spec.name()).await.unwrap();
        bench.gone(spec.name()).await;
    }
    bench.finish().await;
}
