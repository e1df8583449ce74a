//! Tests databases, partitions, indexes, loading, flush and names. Never looks at rows except to
//! compare both sides.
use milvus_wire::proto::common::LoadState;
use serde_json::json;
use testkit::milvus::{CollectionSpec, Milvus, Reading};
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch, equal, gone, keys, same_metadata};

#[tokio::test(flavor = "multi_thread")]
async fn partitions_come_and_go() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let spec = CollectionSpec::small("parts", 8).shards(2);
    bench.source.create_ready(&spec).await.unwrap();
    for partition in ["p1", "p2"] {
        bench.source.create_partition("parts", partition).await.unwrap();
    }
    bench.source.insert(batch(&spec, "p1", 0..200, 0)).await.unwrap();
    bench.source.insert(batch(&spec, "p2", 200..400, 0)).await.unwrap();
    bench.source.insert(batch(&spec, "", 400..500, 0)).await.unwrap();
    bench.source.delete_keys("parts", "id", &keys(&spec, 150..250)).await.unwrap();
    assert_eq!(bench.equal("parts").await.target_rows, 400);

    bench.source.release_partitions("parts", &["p1"]).await.unwrap();
    bench.source.drop_partition("parts", "p1").await.unwrap();
    assert_eq!(bench.equal("parts").await.target_rows, 250);
    // Under its old name it is another one, and empty.
    bench.source.create_partition("parts", "p1").await.unwrap();
    bench.source.load_partitions("parts", &["p1"]).await.unwrap();
    bench.source.insert(batch(&spec, "p1", 0..10, 1)).await.unwrap();
    assert_eq!(bench.equal("parts").await.target_rows, 260);
    bench.source.drop_collection("parts").await.unwrap();
    bench.gone("parts").await;
    bench.finish().await;
}

/// Somebody else's collection in a database of the target keeps the database there, and holds up no
/// later request. Its channel is ticked, too: a data node that waits for a tick there opens no
/// other channel, so that nothing of the target could be flushed.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_which_somebody_else_has_a_collection_stays() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let exists = async |milvus: &Milvus, name: &str, wanted: bool| {
        wait::until(format!("whether {name} is there: {wanted}"), EQUAL_WITHIN, || async {
            let there = milvus.databases().await?.iter().any(|there| there == name);
            Ok((there == wanted).then_some(()))
        })
        .await
        .unwrap();
    };
    bench.source.create_database("shared").await.unwrap();
    exists(&bench.target, "shared", true).await;
    let spec = CollectionSpec::small("of_somebody_else", 8);
    bench.target.database("shared").create_collection(&spec).await.unwrap();
    bench.source.drop_database("shared").await.unwrap();
    bench.source.create_database("behind").await.unwrap();
    exists(&bench.target, "behind", true).await;
    exists(&bench.target, "shared", true).await;
    wait::until("the target to flush it", EQUAL_WITHIN, || async {
        Ok(bench.target.database("shared").flush("of_somebody_else").await.ok())
    })
    .await
    .unwrap();
    bench.target.database("shared").drop_collection("of_somebody_else").await.unwrap();
    bench.target.drop_database("shared").await.unwrap();
    bench.source.drop_database("behind").await.unwrap();
    exists(&bench.target, "behind", false).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_and_equal_names_in_them_are_kept_apart() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let names = ["db_a", "db_b"];
    let spec = CollectionSpec::small("same_name", 8);
    for (database, rows) in names.into_iter().zip([100, 200]) {
        bench.source.create_database(database).await.unwrap();
        let source = bench.source.database(database);
        source.create_ready(&spec).await.unwrap();
        source.insert(batch(&spec, "", 0..rows, rows)).await.unwrap();
    }
    for (database, rows) in names.into_iter().zip([100, 200]) {
        let (source, target) = (bench.source.database(database), bench.target.database(database));
        assert_eq!(equal(&source, &target, "same_name").await.target_rows, rows);
        source.drop_collection("same_name").await.unwrap();
        gone(&target, "same_name").await;
        bench.source.drop_database(database).await.unwrap();
    }
    wait::until("the databases to be gone", EQUAL_WITHIN, || async {
        let there = bench.target.databases().await?;
        Ok((!there.iter().any(|name| names.contains(&name.as_str()))).then_some(()))
    })
    .await
    .unwrap();
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_loading_and_flush_follow() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let spec =
        CollectionSpec::small("served", 8).shards(2).property("collection.ttl.seconds", "86400");
    bench.source.create_collection(&spec).await.unwrap();
    bench.same_metadata("served").await;
    bench.source.create_partition("served", "p").await.unwrap();
    bench.source.insert(batch(&spec, "p", 0..300, 0)).await.unwrap();
    let hnsw = [
        ("index_type", "HNSW"),
        ("metric_type", "L2"),
        ("params", r#"{"M":8,"efConstruction":64}"#),
    ];
    bench.source.create_index("served", "vector", "by_vector", &hnsw).await.unwrap();
    bench.source.create_index("served", "version", "by_version", &[]).await.unwrap();
    bench.same_metadata("served").await;
    bench.source.load("served").await.unwrap();
    assert_eq!(bench.equal("served").await.target_rows, 300);
    bench.source.flush("served").await.unwrap();
    wait::until("the target to have flushed", EQUAL_WITHIN, || async {
        Ok((bench.target.stored_rows("served").await? == 300).then_some(()))
    })
    .await
    .unwrap();
    bench.source.release("served").await.unwrap();
    bench.same_metadata("served").await;
    bench.source.drop_index("served", "version", "by_version").await.unwrap();
    bench.source.drop_index("served", "vector", "by_vector").await.unwrap();
    bench.same_metadata("served").await;
    bench.source.drop_collection("served").await.unwrap();
    bench.gone("served").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_dropped_and_created_again_at_once_is_a_new_collection() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let mut last = CollectionSpec::small("again", 8);
    for life in 0..5_u64 {
        // Another schema each time, so that rows of one life do not fit another.
        last = CollectionSpec::small("again", 8 + 4 * life as u32).shards(1 + (life % 2) as i32);
        if life > 0 {
            bench.source.drop_collection("again").await.unwrap();
        }
        bench.source.create_ready(&last).await.unwrap();
        bench.source.insert(batch(&last, "", 0..100 * (life + 1), life)).await.unwrap();
    }
    assert_eq!(bench.equal("again").await.target_rows, 500);
    bench.source.delete_keys("again", "id", &keys(&last, 0..500)).await.unwrap();
    assert_eq!(bench.equal("again").await.target_rows, 0);
    bench.source.drop_collection("again").await.unwrap();
    bench.gone("again").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_mapped() {
    let mut bench = Bench::new().await;
    bench.source.create_database("map_from").await.unwrap();
    bench
        .task(json!({
            "db_collections": {"map_from": [{"name": "*"}]},
            // The second rule is for the collections that the first one does not name.
            "name_mapping": [
                {"source_db": "map_from", "target_db": "map_to",
                    "collection_mapping": {"one": "uno"}},
                {"source_db": "map_from", "target_db": "map_to"},
            ],
        }))
        .await;
    let source = bench.source.database("map_from");
    let target = bench.target.database("map_to");
    for (name, target_name) in [("one", "uno"), ("two", "two")] {
        let spec = CollectionSpec::small(name, 8);
        source.create_ready(&spec).await.unwrap();
        source.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
        let compared = testkit::compare::Comparison::new(&source, &target, name);
        let compared = compared.target_named(target_name);
        assert_eq!(compared.equal_within(EQUAL_WITHIN).await.unwrap().target_rows, 100);
        source.drop_collection(name).await.unwrap();
        gone(&target, target_name).await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exists_when_the_task_starts_is_replicated_from_now_on() {
    let mut bench = Bench::new().await;
    bench.source.create_database("before").await.unwrap();
    let source = bench.source.database("before");
    let spec = CollectionSpec::small("old", 8).shards(2);
    source.create_ready(&spec).await.unwrap();
    source.create_partition("old", "p").await.unwrap();
    source.insert(batch(&spec, "p", 0..100, 0)).await.unwrap();
    bench.task(json!({"db_collections": {"before": [{"name": "*"}]}})).await;
    let target = bench.target.database("before");
    // The collection is there as soon as the task covers it; only later rows are expected.
    wait::until("the collection on the target", EQUAL_WITHIN, || async {
        Ok(target.partitions("old").await?.contains_key("p").then_some(()))
    })
    .await
    .unwrap();
    source.insert(batch(&spec, "p", 100..200, 0)).await.unwrap();
    // Its index and its load are of before as well.
    bench.while_running(Box::pin(same_metadata(&source, &target, "old"))).await;
    wait::until("the later rows on the target", EQUAL_WITHIN, || async {
        let keys = target.count("old", "id >= 100", &[], Reading::Now).await?;
        anyhow::ensure!(keys == 100, "{keys} rows");
        Ok(Some(()))
    })
    .await
    .unwrap();
    assert_eq!(target.count("old", "", &[], Reading::Now).await.unwrap(), 100);
    source.drop_collection("old").await.unwrap();
    gone(&target, "old").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_use_start_position_all_rows_of_a_collection_arrive() {
    let mut bench = Bench::new().await;
    let spec = CollectionSpec::small("from_start", 8).shards(2);
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.create_index("from_start", "version", "by_version", &[]).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..500, 0)).await.unwrap();
    bench.source.delete_keys("from_start", "id", &keys(&spec, 0..50)).await.unwrap();
    bench
        .task(json!({"collection_infos": [{"name": "from_start", "use_start_position": true}]}))
        .await;
    wait::until("the collection on the target", EQUAL_WITHIN, || async {
        Ok(bench.target.collections().await?.contains(&"from_start".to_owned()).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(bench.equal("from_start").await.target_rows, 450);
    bench.source.drop_collection("from_start").await.unwrap();
    bench.gone("from_start").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_partitions_are_loaded_and_released() {
    let mut bench = Bench::new().await;
    let spec = CollectionSpec::small("in_parts", 8).shards(2);
    bench.source.create_collection(&spec).await.unwrap();
    let flat = [("index_type", "FLAT"), ("metric_type", "L2"), ("params", "{}")];
    bench.source.create_index("in_parts", "vector", "by_vector", &flat).await.unwrap();
    bench.source.create_partition("in_parts", "before").await.unwrap();
    bench.source.load_partitions("in_parts", &["before"]).await.unwrap();
    bench.task_for_all().await;
    bench.same_metadata("in_parts").await;
    for partition in ["p", "q"] {
        bench.source.create_partition("in_parts", partition).await.unwrap();
    }
    bench.same_metadata("in_parts").await;
    bench.source.load_partitions("in_parts", &["p", "q"]).await.unwrap();
    bench.same_metadata("in_parts").await;
    bench.source.release_partitions("in_parts", &["p"]).await.unwrap();
    bench.same_metadata("in_parts").await;
    // The op channel tells of the first, and not of the second.
    bench.source.release("in_parts").await.unwrap();
    bench.source.load_partitions("in_parts", &["p"]).await.unwrap();
    bench.same_metadata("in_parts").await;
    bench.source.load("in_parts").await.unwrap();
    bench.same_metadata("in_parts").await;
    // Loaded as a whole, less one; and what is new is loaded with it.
    bench.source.release_partitions("in_parts", &["q"]).await.unwrap();
    bench.source.create_partition("in_parts", "new").await.unwrap();
    bench.same_metadata("in_parts").await;
    bench.source.load_partitions("in_parts", &["q"]).await.unwrap();
    bench.source.insert(batch(&spec, "q", 0..100, 0)).await.unwrap();
    assert_eq!(bench.equal("in_parts").await.target_rows, 100);
    bench.source.release("in_parts").await.unwrap();
    bench.same_metadata("in_parts").await;
    bench.source.drop_collection("in_parts").await.unwrap();
    bench.gone("in_parts").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_served_changes_while_nobody_looks_is_carried_over() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let spec = CollectionSpec::small("unseen", 8);
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.create_partition("unseen", "p").await.unwrap();
    bench.source.insert(batch(&spec, "p", 0..100, 0)).await.unwrap();
    assert_eq!(bench.equal("unseen").await.target_rows, 100);

    // An index that is created and one that is replaced under its name.
    bench.service.stop().unwrap();
    bench.source.release("unseen").await.unwrap();
    bench.source.drop_index("unseen", "vector", "by_vector").await.unwrap();
    let hnsw = [
        ("index_type", "HNSW"),
        ("metric_type", "L2"),
        ("params", r#"{"M":8,"efConstruction":64}"#),
    ];
    bench.source.create_index("unseen", "vector", "by_vector", &hnsw).await.unwrap();
    bench.source.create_index("unseen", "version", "by_version", &[]).await.unwrap();
    bench.source.load("unseen").await.unwrap();
    bench.service.restart().await.unwrap();
    assert_eq!(bench.equal("unseen").await.target_rows, 100);

    bench.service.stop().unwrap();
    bench.source.release("unseen").await.unwrap();
    bench.source.drop_index("unseen", "version", "by_version").await.unwrap();
    bench.source.load_partitions("unseen", &["p"]).await.unwrap();
    bench.service.restart().await.unwrap();
    bench.same_metadata("unseen").await;

    bench.service.stop().unwrap();
    bench.source.release("unseen").await.unwrap();
    bench.service.restart().await.unwrap();
    bench.same_metadata("unseen").await;
    bench.source.drop_collection("unseen").await.unwrap();
    bench.gone("unseen").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_on_the_target_on_purpose_stays_so_until_the_source_changes() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let spec = CollectionSpec::small("on_purpose", 8);
    bench.source.create_ready(&spec).await.unwrap();
    bench.same_metadata("on_purpose").await;
    let witness = CollectionSpec::small("witness", 8);
    bench.source.create_ready(&witness).await.unwrap();
    bench.source.release("witness").await.unwrap();
    bench.source.create_partition("witness", "p").await.unwrap();
    bench.same_metadata("witness").await;
    bench.target.release("on_purpose").await.unwrap();
    // Milvus-cdc looks at it again for this, and at everything when it starts.
    bench.service.restart().await.unwrap();
    bench.source.create_partition("on_purpose", "p").await.unwrap();
    wait::until("the partition on the target", EQUAL_WITHIN, || async {
        Ok(bench.target.partitions("on_purpose").await?.contains_key("p").then_some(()))
    })
    .await
    .unwrap();
    // Only the catalog tells of this, and it is looked at in order: when it has been followed, what
    // changed before has been looked at.
    bench.source.load_partitions("witness", &["p"]).await.unwrap();
    bench.same_metadata("witness").await;
    let state = bench.target.load_state("on_purpose", &[]).await.unwrap();
    assert_eq!(state, LoadState::NotLoad);
    bench.source.release("on_purpose").await.unwrap();
    bench.source.load("on_purpose").await.unwrap();
    bench.same_metadata("on_purpose").await;
    for name in ["on_purpose", "witness"] {
        bench.source.drop_collection(name).await.unwrap();
        bench.gone(name).await;
    }
    bench.finish().await;
}

/// A task ends, another one begins where it ended: the way a user moves a task by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_begins_at_the_positions_it_is_given() {
    let mut bench = Bench::new().await;
    let spec = CollectionSpec::small("moved", 8).shards(2);
    let first = bench.task_for_all().await;
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
    bench.equal("moved").await;
    let api = bench.service.api();
    api.pause(&first).await.unwrap();
    let at = api.position(&first).await.unwrap();
    api.delete(&first).await.unwrap();
    bench.forget(&first);

    bench.source.insert(batch(&spec, "", 100..200, 0)).await.unwrap();
    bench.source.create_database("moved_later").await.unwrap();
    let described = bench.source.describe("moved").await.unwrap();
    let of = |channel: &str| {
        let all = at["positions"].as_array().unwrap();
        let here = all.iter().find(|p| p["channel_name"] == channel).expect("a position");
        here["msg_id"].clone()
    };
    let channels = described.virtual_channel_names.iter().zip(&described.physical_channel_names);
    let positions: serde_json::Map<_, _> =
        channels.map(|(virtual_, physical)| (virtual_.clone(), of(physical))).collect();
    let op_channel = at["op_positions"][0].clone();
    // Rows of the other channel would be lost.
    let half: serde_json::Map<_, _> = positions.clone().into_iter().take(1).collect();
    let half = json!({"db_collections": {"default": [{"name": "moved", "positions": half}]}});
    let paused = bench.task_that_pauses(half).await;
    let reason = paused["reason"].as_str().unwrap();
    assert!(reason.contains("default.moved has positions, and none on its channel"), "{reason}");
    let half = paused["task_id"].as_str().unwrap();
    bench.service.api().delete(half).await.unwrap();
    bench.forget(half);
    let second = bench
        .task(json!({
            "db_collections": {"default": [{"name": "moved", "positions": positions}],
                "moved_later": [{"name": "*"}]},
            "rpc_channel_info": {"name": op_channel["channel_name"],
                "position": op_channel["msg_id"]},
        }))
        .await;
    assert_eq!(bench.equal("moved").await.target_rows, 200);
    let there = wait::until("the database to be there", EQUAL_WITHIN, || async {
        let there = bench.target.databases().await?;
        Ok(there.contains(&"moved_later".to_owned()).then_some(()))
    });
    bench.while_running(there).await.unwrap();
    assert_ne!(first, second);
    bench.source.drop_database("moved_later").await.unwrap();
    bench.source.drop_collection("moved").await.unwrap();
    bench.gone("moved").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_ignore_partition_all_rows_go_to_the_partitions_the_target_has() {
    let mut bench = Bench::new().await;
    bench
        .task(json!({
            "db_collections": {"default": [{"name": "flat"}]},
            "milvus_connect_param": {
                "uri": format!("http://{}", bench.pair.target.address()),
                "ignore_partition": true,
            },
        }))
        .await;
    let spec = CollectionSpec::small("flat", 8);
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.create_partition("flat", "left").await.unwrap();
    bench.source.insert(batch(&spec, "left", 0..100, 0)).await.unwrap();
    bench.source.insert(batch(&spec, "", 100..200, 0)).await.unwrap();
    bench.source.load("flat").await.unwrap();
    let rows = wait::until("all rows to arrive", EQUAL_WITHIN, || async {
        let count = bench.target.count("flat", "", &[], Reading::Strong).await?;
        anyhow::ensure!(count == 200, "{count} rows");
        Ok(Some(bench.target.partitions("flat").await?))
    });
    let partitions = bench.while_running(rows).await.unwrap();
    assert_eq!(partitions.into_keys().collect::<Vec<_>>(), ["_default"]);
    bench.source.release("flat").await.unwrap();
    bench.source.drop_partition("flat", "left").await.unwrap();
    bench.source.drop_collection("flat").await.unwrap();
    bench.gone("flat").await;
    bench.finish().await;
}
