//! Tests what the source's log does not contain: new names of collections, aliases, changed
//! properties. Never changes rows by these.
use serde_json::json;
use testkit::milvus::{CollectionSpec, Milvus};
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch, equal, gone};

const EVENTS: &str = "milvus_cdc_replicate_events_total";

/// The collection that an alias stands for.
async fn has(milvus: &Milvus, alias: &str) -> anyhow::Result<Option<String>> {
    for name in milvus.collections().await? {
        if milvus.describe(&name).await?.aliases.iter().any(|known| known == alias) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

async fn alias_is_of(bench: &Bench, alias: &str, collection: Option<&str>) {
    let there = wait::until(format!("{alias} to be of {collection:?}"), EQUAL_WITHIN, || async {
        Ok((has(&bench.target, alias).await?.as_deref() == collection).then_some(()))
    });
    bench.while_running(there).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_follow() {
    let mut bench = Bench::new().await;
    for name in ["al_a", "al_b"] {
        bench.source.create_ready(&CollectionSpec::small(name, 8)).await.unwrap();
    }
    bench.source.create_alias("al_a", "al_x").await.unwrap();
    bench.task_for_all().await;
    alias_is_of(&bench, "al_x", Some("al_a")).await;
    bench.source.alter_alias("al_b", "al_x").await.unwrap();
    alias_is_of(&bench, "al_x", Some("al_b")).await;
    // Back and forth, so that either of the two is looked at first; while nobody looks as well.
    for round in 0..4 {
        let to = ["al_a", "al_b"][round % 2];
        bench.source.alter_alias(to, "al_x").await.unwrap();
        alias_is_of(&bench, "al_x", Some(to)).await;
    }
    bench.service.stop().unwrap();
    bench.source.alter_alias("al_a", "al_x").await.unwrap();
    bench.source.create_alias("al_b", "al_y").await.unwrap();
    bench.service.restart().await.unwrap();
    for name in ["al_a", "al_b"] {
        bench.same_metadata(name).await;
    }

    // A name goes from an alias to a collection, and from a collection to an alias.
    bench.source.drop_alias("al_x").await.unwrap();
    let spec = CollectionSpec::small("al_x", 8);
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
    assert_eq!(bench.equal("al_x").await.target_rows, 100);
    bench.source.rename("al_x", "al_c").await.unwrap();
    bench.source.create_alias("al_c", "al_x").await.unwrap();
    assert_eq!(bench.equal("al_c").await.target_rows, 100);
    alias_is_of(&bench, "al_x", Some("al_c")).await;
    for name in ["al_a", "al_b", "al_c"] {
        bench.source.drop_collection(name).await.unwrap();
        bench.gone(name).await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_whose_name_the_target_has_for_something_else_is_left_out() {
    let mut bench = Bench::new().await;
    for name in ["ta_name", "ta_other"] {
        bench.target.create_collection(&CollectionSpec::small(name, 8)).await.unwrap();
    }
    bench.target.create_alias("ta_other", "ta_alias").await.unwrap();
    bench.task(json!({"collection_infos": [{"name": "ta"}]})).await;
    bench.source.create_ready(&CollectionSpec::small("ta", 8)).await.unwrap();
    for alias in ["ta_name", "ta_alias", "ta_mine"] {
        bench.source.create_alias("ta", alias).await.unwrap();
    }
    alias_is_of(&bench, "ta_mine", Some("ta")).await;
    alias_is_of(&bench, "ta_alias", Some("ta_other")).await;
    let refused = wait::until("both to be refused", EQUAL_WITHIN, || async {
        let refused = bench.service.api().metric(EVENTS, "serving_refused").await?;
        anyhow::ensure!(refused >= 2.0, "{refused}");
        Ok(Some(()))
    });
    bench.while_running(refused).await.unwrap();
    bench.source.drop_alias("ta_alias").await.unwrap();
    bench.source.drop_alias("ta_mine").await.unwrap();
    alias_is_of(&bench, "ta_mine", None).await;
    alias_is_of(&bench, "ta_alias", Some("ta_other")).await;
    bench.source.drop_collection("ta").await.unwrap();
    bench.gone("ta").await;
    for name in ["ta_name", "ta_other"] {
        bench.target.drop_collection(name).await.unwrap();
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_follow() {
    let mut bench = Bench::new().await;
    let spec = CollectionSpec::small("props", 8).property("collection.ttl.seconds", "86400");
    bench.source.create_ready(&spec).await.unwrap();
    bench.task_for_all().await;
    bench.same_metadata("props").await;
    // Milvus 2.3.5 writes down the properties of before a change with it, and the new ones with the
    // next change only (`Catalog.alterModifyCollection`).
    let change = async |properties: &[(&str, &str)]| {
        for _ in 0..2 {
            bench.source.alter_properties("props", properties).await.unwrap();
        }
    };
    change(&[("collection.ttl.seconds", "172800"), ("mmap.enabled", "true")]).await;
    bench.same_metadata("props").await;
    bench.service.stop().unwrap();
    change(&[("collection.ttl.seconds", "259200")]).await;
    bench.service.restart().await.unwrap();
    bench.same_metadata("props").await;
    bench.source.drop_collection("props").await.unwrap();
    bench.gone("props").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_follow_and_names_are_used_again() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let first = CollectionSpec::small("re_a", 8).shards(2);
    bench.source.create_ready(&first).await.unwrap();
    bench.source.insert(batch(&first, "", 0..100, 0)).await.unwrap();
    assert_eq!(bench.equal("re_a").await.target_rows, 100);
    // Another one under the old name at once, with fields that the rows of the first do not fit.
    bench.source.rename("re_a", "re_b").await.unwrap();
    let second = CollectionSpec::small("re_a", 12);
    bench.source.create_ready(&second).await.unwrap();
    bench.source.insert(batch(&second, "", 0..50, 0)).await.unwrap();
    bench.source.insert(batch(&first.clone().named("re_b"), "", 100..200, 0)).await.unwrap();
    assert_eq!(bench.equal("re_b").await.target_rows, 200);
    assert_eq!(bench.equal("re_a").await.target_rows, 50);

    // They swap their names while nobody looks.
    bench.service.stop().unwrap();
    for (from, to) in [("re_a", "re_c"), ("re_b", "re_a"), ("re_c", "re_b")] {
        bench.source.rename(from, to).await.unwrap();
    }
    bench.source.insert(batch(&first, "", 200..300, 0)).await.unwrap();
    bench.service.restart().await.unwrap();
    assert_eq!(bench.equal("re_a").await.target_rows, 300);
    assert_eq!(bench.equal("re_b").await.target_rows, 50);

    // One takes the name of another that is dropped; its drop comes with the rows.
    bench.source.drop_collection("re_b").await.unwrap();
    bench.source.rename("re_a", "re_b").await.unwrap();
    bench.source.insert(batch(&first.clone().named("re_b"), "", 300..400, 0)).await.unwrap();
    assert_eq!(bench.equal("re_b").await.target_rows, 400);
    gone(&bench.target, "re_a").await;
    // What serves it follows under the new name, and so does its drop.
    bench.source.release("re_b").await.unwrap();
    bench.same_metadata("re_b").await;
    bench.source.drop_collection("re_b").await.unwrap();
    bench.gone("re_b").await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renames_across_databases_follow_as_names_are_mapped() {
    let mut bench = Bench::new().await;
    for database in ["rd_one", "rd_two"] {
        bench.source.create_database(database).await.unwrap();
    }
    bench
        .task(json!({
            "db_collections": {"rd_one": [{"name": "*"}]},
            "name_mapping": [{"source_db": "rd_one", "target_db": "rd_uno"}],
        }))
        .await;
    let (one, two) = (bench.source.database("rd_one"), bench.source.database("rd_two"));
    let spec = CollectionSpec::small("rd", 8);
    one.create_ready(&spec).await.unwrap();
    one.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
    let target = bench.target.database("rd_uno");
    let there = Box::pin(equal(&one, &target, "rd"));
    assert_eq!(bench.while_running(there).await.target_rows, 100);
    // Out of what the task selects: it stays the task's.
    one.rename_into("rd", "rd_two", "rd_moved").await.unwrap();
    let spec = spec.named("rd_moved");
    two.insert(batch(&spec, "", 100..200, 0)).await.unwrap();
    let target = bench.target.database("rd_two");
    wait::until("the collection in the other database", EQUAL_WITHIN, || async {
        Ok(target.collections().await?.contains(&"rd_moved".to_owned()).then_some(()))
    })
    .await
    .unwrap();
    let there = Box::pin(equal(&two, &target, "rd_moved"));
    assert_eq!(bench.while_running(there).await.target_rows, 200);
    two.drop_collection("rd_moved").await.unwrap();
    gone(&target, "rd_moved").await;
    for database in ["rd_one", "rd_two"] {
        bench.source.drop_database(database).await.unwrap();
    }
    bench.target.drop_database("rd_two").await.unwrap();
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_renamed_into_the_selection_of_a_task_joins_unless_another_task_has_it() {
    let mut bench = Bench::new().await;
    bench.task(json!({"collection_infos": [{"name": "of_one"}]})).await;
    bench.task(json!({"collection_infos": [{"name": "of_two"}]})).await;
    let spec = CollectionSpec::small("of_one", 8);
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
    assert_eq!(bench.equal("of_one").await.target_rows, 100);
    bench.source.rename("of_one", "of_two").await.unwrap();
    bench.source.insert(batch(&spec.clone().named("of_two"), "", 100..200, 0)).await.unwrap();
    assert_eq!(bench.equal("of_two").await.target_rows, 200);
    // A name that no task selects, and then one that is free again.
    let spec = spec.named("of_none");
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..300, 0)).await.unwrap();
    bench.source.rename("of_none", "of_one").await.unwrap();
    assert_eq!(bench.equal("of_one").await.target_rows, 300);
    for name in ["of_one", "of_two"] {
        bench.source.drop_collection(name).await.unwrap();
        bench.gone(name).await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_a_collection_that_another_task_has_hold_nothing_up() {
    let mut bench = Bench::new().await;
    for database in ["oo_one", "oo_two"] {
        bench.source.create_database(database).await.unwrap();
    }
    let mut tasks = Vec::new();
    for (from, to) in [("oo_one", "oo_uno"), ("oo_two", "oo_dos")] {
        let mapped = json!({
            "db_collections": {from: [{"name": "*"}]},
            "name_mapping": [{"source_db": from, "target_db": to}],
        });
        tasks.push(bench.task(mapped).await);
    }
    let (one, two) = (bench.source.database("oo_one"), bench.source.database("oo_two"));
    one.create_ready(&CollectionSpec::small("oo", 8)).await.unwrap();
    two.create_ready(&CollectionSpec::small("oo_own", 8)).await.unwrap();
    let there = bench.target.database("oo_uno");
    let equal_there = Box::pin(equal(&one, &there, "oo"));
    bench.while_running(equal_there).await;
    // Into what the second one selects, where it will never be: the first one goes on with it.
    one.rename_into("oo", "oo_two", "oo_moved").await.unwrap();
    two.flush("oo_moved").await.unwrap();
    two.flush("oo_own").await.unwrap();
    let flushed = format!("api_type=\"Flush\",task_id=\"{}\"", tasks[1]);
    let flushed = wait::until("the request behind it", EQUAL_WITHIN, || async {
        let metric = bench.service.api().metric("milvus_cdc_api_execute_total", &flushed);
        Ok(metric.await.is_ok().then_some(()))
    });
    bench.while_running(flushed).await.unwrap();
    for name in ["oo_moved", "oo_own"] {
        two.drop_collection(name).await.unwrap();
    }
    gone(&bench.target.database("oo_two"), "oo_moved").await;
    gone(&bench.target.database("oo_dos"), "oo_own").await;
    for database in ["oo_one", "oo_two"] {
        bench.source.drop_database(database).await.unwrap();
    }
    bench.target.drop_database("oo_two").await.unwrap();
    bench.finish().await;
}
