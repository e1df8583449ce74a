//! Tests collections of the target that have the name of a replicated one and are not it: rows go
//! into none of them, and none of them is dropped. Never lets a task decide by a name alone.

use serde_json::{Value, json};
use testkit::milvus::{CollectionSpec, FieldKind};
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch};

/// Fields are told apart by their ids: the same names and types in another order would take each
/// other's values.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_whose_fields_have_changed_places_is_refused() {
    let mut bench = Bench::new().await;
    let text = || FieldKind::VarChar(64);
    let spec = |fields: [&str; 2]| {
        let spec = CollectionSpec::small("swapped", 8);
        fields.into_iter().fold(spec, |spec, name| spec.field(name, text()))
    };
    bench.source.create_ready(&spec(["first", "second"])).await.unwrap();
    bench.target.create_collection(&spec(["second", "first"])).await.unwrap();
    let seen = bench.task_that_pauses(json!({"collection_infos": [{"name": "swapped"}]})).await;
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains("default.swapped with other fields"), "{reason}");
    assert!(reason.contains("first VarChar") && reason.contains("second VarChar"), "{reason}");
    bench.source.drop_collection("swapped").await.unwrap();
    bench.target.drop_collection("swapped").await.unwrap();
    bench.finish().await;
}

/// The same with a limit: what fits here does not fit there.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_holds_only_shorter_texts_is_refused() {
    let mut bench = Bench::new().await;
    let spec =
        |bytes_max| CollectionSpec::small("short", 8).field("text", FieldKind::VarChar(bytes_max));
    bench.source.create_ready(&spec(64)).await.unwrap();
    bench.target.create_collection(&spec(32)).await.unwrap();
    let seen = bench.task_that_pauses(json!({"collection_infos": [{"name": "short"}]})).await;
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains("max_length 64") && reason.contains("max_length 32"), "{reason}");
    bench.source.drop_collection("short").await.unwrap();
    bench.target.drop_collection("short").await.unwrap();
    bench.finish().await;
}

/// It lacks the rows that were acknowledged before.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_does_not_go_on_into_a_collection_that_was_made_anew() {
    let mut bench = Bench::new().await;
    let spec = CollectionSpec::small("remade", 8);
    let task = bench.task(json!({"collection_infos": [{"name": "remade"}]})).await;
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
    bench.equal("remade").await;
    bench.service.api().pause(&task).await.unwrap();
    bench.target.drop_collection("remade").await.unwrap();
    bench.target.create_collection(&spec).await.unwrap();
    bench.service.api().resume(&task).await.unwrap();
    let reason = paused(&bench, &task).await["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("another collection default.remade"), "{reason}");
    bench.source.drop_collection("remade").await.unwrap();
    bench.target.drop_collection("remade").await.unwrap();
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_of_the_source_leaves_a_collection_that_was_made_anew() {
    let mut bench = Bench::new().await;
    let spec = CollectionSpec::small("kept", 8);
    bench.task_for_all().await;
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
    bench.equal("kept").await;
    bench.target.drop_collection("kept").await.unwrap();
    bench.target.create_collection(&spec).await.unwrap();
    bench.source.drop_collection("kept").await.unwrap();
    // A later request has been carried out when this one is there.
    let behind = CollectionSpec::small("behind_it", 8);
    bench.source.create_ready(&behind).await.unwrap();
    bench.equal("behind_it").await;
    let event = "event=\"namesake_left\"";
    let counted = bench.service.api().metric("milvus_cdc_replicate_events_total", event).await;
    assert!(counted.unwrap() >= 1.0);
    bench.source.drop_collection("behind_it").await.unwrap();
    bench.gone("behind_it").await;
    assert!(bench.target.collections().await.unwrap().iter().any(|name| name == "kept"));
    bench.target.drop_collection("kept").await.unwrap();
    bench.finish().await;
}

async fn paused(bench: &Bench, task: &str) -> Value {
    wait::until(format!("task {task} to be paused"), EQUAL_WITHIN, || async {
        let seen = bench.service.api().task(task).await?;
        Ok((seen["state"] == "Paused").then_some(seen))
    })
    .await
    .unwrap()
}
