//! Tests collections of the target that have the name of a replicated one and are not it: rows go
//! into none of them, and none of them is dropped. Each has servers of its own: what is dropped by
//! hand on a 2.3 in replica mode leaves its channel to nobody, and the next collection that gets
//! that channel can't be flushed. Never lets a task decide by a name alone.

use lab::PairOptions;
use testkit::milvus::{CollectionSpec, FieldKind};
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch, keys};

/// Fields are told apart by their ids, because rows name them by id: the same names and types in
/// another order would take each other's values. What fits here has to fit there. Only the
/// collections that don't fit are out of step, and each is replicated when nothing is in its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_with_other_fields_is_out_of_step_alone() {
    let mut bench = Bench::of(PairOptions::default()).await;
    let texts = |fields: [(&str, u32); 2]| {
        fields.into_iter().fold(CollectionSpec::small("texts", 8), |spec, (name, bytes_max)| {
            spec.field(name, FieldKind::VarChar(bytes_max))
        })
    };
    let cases = [
        (
            CollectionSpec::small("vectors", 8),
            CollectionSpec::small("vectors", 16),
            ["102 vector FloatVector(8)", "102 vector FloatVector(16)"],
        ),
        (
            texts([("a", 64), ("b", 64)]).named("swapped"),
            texts([("b", 64), ("a", 64)]).named("swapped"),
            ["103 a VarChar", "103 b VarChar"],
        ),
        (
            texts([("a", 64), ("b", 64)]).named("short"),
            texts([("a", 64), ("b", 32)]).named("short"),
            ["104 b VarChar, max_length 64", "104 b VarChar, max_length 32"],
        ),
    ];
    for (here, there, _) in &cases {
        bench.source.create_ready(here).await.unwrap();
        bench.target.create_collection(there).await.unwrap();
    }
    let task = bench.task_for_all().await;
    let beside = CollectionSpec::small("beside", 8);
    bench.source.create_ready(&beside).await.unwrap();
    bench.source.insert(batch(&beside, "", 0..100, 0)).await.unwrap();
    assert_eq!(bench.equal("beside").await.target_rows, 100);
    for (here, _, words) in cases {
        let name = here.name();
        let reason = out_of_step(&bench, &task, name).await;
        let said = format!("a collection default.{name} with other fields");
        let remedy = "drop it on the target";
        for words in [&*said, remedy].into_iter().chain(words) {
            assert!(reason.contains(words), "{words}: {reason}");
        }
        // The source's has an index and is loaded.
        assert!(bench.target.indexes(name).await.unwrap().is_empty());
        bench.source.insert(batch(&here, "", 0..100, 0)).await.unwrap();
        bench.target.drop_collection(name).await.unwrap();
        assert_eq!(bench.equal(name).await.target_rows, 100);
        bench.same_metadata(name).await;
    }
    all_in_step(&bench, &task).await;
    bench.finish().await;
}

/// It lacks the rows that were acknowledged before. When it is gone, all of them come again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_anew_on_the_target_is_not_continued_and_what_is_gone_is_replicated_anew() {
    let mut bench = Bench::of(PairOptions::default()).await;
    let spec = CollectionSpec::small("remade", 8).shards(2);
    let task = bench.task_for_all().await;
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
    bench.equal("remade").await;
    bench.service.api().pause(&task).await.unwrap();
    bench.target.drop_collection("remade").await.unwrap();
    bench.target.create_collection(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 100..200, 0)).await.unwrap();
    bench.service.api().resume(&task).await.unwrap();
    let reason = out_of_step(&bench, &task, "remade").await;
    assert!(reason.contains("another collection default.remade"), "{reason}");
    let beside = CollectionSpec::small("beside_it", 8);
    bench.source.create_ready(&beside).await.unwrap();
    bench.source.insert(batch(&beside, "", 0..100, 0)).await.unwrap();
    bench.equal("beside_it").await;
    bench.source.delete_keys("remade", "id", &keys(&spec, 0..50)).await.unwrap();
    bench.target.drop_collection("remade").await.unwrap();
    assert_eq!(bench.equal("remade").await.target_rows, 150);
    bench.same_metadata("remade").await;
    all_in_step(&bench, &task).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_of_the_source_leaves_a_collection_that_was_made_anew() {
    let mut bench = Bench::of(PairOptions::default()).await;
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
    assert!(bench.target.collections().await.unwrap().iter().any(|name| name == "kept"));
    bench.finish().await;
}

/// Why a collection is out of step, as soon as it is.
async fn out_of_step(bench: &Bench, task: &str, collection: &str) -> String {
    let name = format!("default.{collection}");
    wait::until(format!("{name} to be out of step"), EQUAL_WITHIN, || async {
        let seen = bench.service.api().task(task).await?;
        let all = seen["status"]["out_of_step"].as_array();
        let it = all.into_iter().flatten().find(|it| it["collection"] == name.as_str());
        Ok(it.map(|it| it["reason"].as_str().unwrap_or_default().to_owned()))
    })
    .await
    .unwrap()
}

async fn all_in_step(bench: &Bench, task: &str) {
    wait::until("all to be in step", EQUAL_WITHIN, || async {
        let seen = bench.service.api().task(task).await?;
        Ok(seen["status"]["out_of_step"].is_null().then_some(()))
    })
    .await
    .unwrap();
}
