//! Tests taking over tasks of a Go Milvus-CDC from its store: its records lag behind what it has
//! sent, and the source has continued since. In the end both sides are equal, and no row is ever
//! there twice.
//!
//! An earlier milvus-cdc with a store that the later one does not know stands in for the Go tool:
//! it leaves rows on the target, and its positions, put into Go's form, are older than these rows.

use std::collections::BTreeMap;

use lab::Server as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::milvus::{CollectionSpec, Milvus};
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch, equal, gone, keys, same_metadata};
use super::faults::lasts;
use super::go_store::{GoStore, import};

/// Of so many collections one has shards in the order of their channels' names.
const CANDIDATES: usize = 12;

const EVENTS: &str = "milvus_cdc_replicate_events_total";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_the_go_tools_etcd_goes_on_without_loss_or_duplicates() {
    let folder = TempDir::new().unwrap();
    take_over(&GoStore::etcd(&folder), &folder, "taken_from_etcd").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_the_go_tools_mysql_goes_on_without_loss_or_duplicates() {
    let folder = TempDir::new().unwrap();
    take_over(&GoStore::mysql(&folder), &folder, "taken_from_mysql").await;
}

async fn take_over(store: &GoStore, folder: &TempDir, name: &str) {
    let mut bench = Bench::new().await;
    let names: Vec<_> = (0..CANDIDATES).map(|number| format!("{name}_{number}")).collect();
    let (task, spec) = one_that_does_not_cross(&mut bench, &names).await;
    let name = spec.name();
    bench.source.make_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..1000, 0)).await.unwrap();
    bench.equal(name).await;
    let positions = bench.service.api().position(&task).await.unwrap();
    let id = ids(&bench.source, &[name]).await;
    leave_records(store, &bench, &task, &id, positions);
    let before = store.records();
    let environment = store.environment(&folder.path().join("state"));
    if matches!(store, GoStore::Mysql(_)) {
        // The Go tool goes on behind an import; what it sends is not there twice either.
        bench.service.config().environment = environment.clone();
        import(&mut bench.service, &[]);
        bench.service.config().environment = vec![];
    }

    // Sent, and beyond the positions.
    bench.source.insert(batch(&spec, "", 1000..2000, 0)).await.unwrap();
    bench.source.upsert(batch(&spec, "", 0..300, 1)).await.unwrap();
    bench.source.delete_keys(name, "id", &keys(&spec, 300..500)).await.unwrap();
    bench.source.delete_keys(name, "id", &keys(&spec, 1900..1950)).await.unwrap();
    bench.equal(name).await;
    bench.service.api().delete(&task).await.unwrap();
    bench.service.stop().unwrap();

    // Not sent.
    let database = format!("{name}_later");
    bench.source.create_database(&database).await.unwrap();
    bench.source.insert(batch(&spec, "", 2000..2500, 0)).await.unwrap();
    bench.source.upsert(batch(&spec, "", 1000..1100, 1)).await.unwrap();
    bench.source.delete_keys(name, "id", &keys(&spec, 500..600)).await.unwrap();

    bench.service.config().environment = environment;
    if matches!(store, GoStore::Etcd(_)) {
        for _ in 0..2 {
            let plan = import(&mut bench.service, &["--dry-run"]);
            assert_eq!(plan["tasks"][0]["fate"], "imported", "{plan:#}");
            assert_eq!(plan["tasks"][1]["fate"], "refused", "{plan:#}");
        }
        let plan = import(&mut bench.service, &[]);
        let taken = &plan["tasks"][0];
        assert_eq!((&taken["fate"], &taken["state"]), (&json!("imported"), &json!("Running")));
        assert_eq!(taken["collections"][0]["name"], format!("default.{name}"));
        assert!(plan["tasks"][1]["reason"].as_str().unwrap().contains("Kafka"), "{plan:#}");
    }
    let again = import(&mut bench.service, &[]);
    assert_eq!(again["tasks"][0]["fate"], "exists", "{again:#}");

    bench.service.restart().await.unwrap();
    bench.source.insert(batch(&spec, "", 2500..2600, 0)).await.unwrap();
    let there = wait::until("the database to be there", EQUAL_WITHIN, || async {
        Ok(bench.target.databases().await?.contains(&database).then_some(()))
    });
    bench.while_running(there).await.unwrap();
    let report = bench.equal(name).await;
    assert_eq!(report.target_rows, 2600 - 200 - 50 - 100);
    // The stretch was sent again, and replaced what was there.
    assert!(bench.service.api().metric(EVENTS, "fenced").await.unwrap() > 0.0);
    read_again(&mut bench, name).await;
    assert_eq!(store.records(), before, "the old records are as they were");
    bench.source.drop_database(&database).await.unwrap();
    bench.source.drop_collection(name).await.unwrap();
    bench.gone(name).await;
    for milvus in [&bench.source, &bench.target] {
        for other in names.iter().filter(|other| *other != name) {
            milvus.drop_collection(other).await.unwrap();
        }
    }
    bench.finish().await;
}

/// Nodes of the target that start again read from their checkpoints, and collect over all ticks
/// that are more than ten seconds old: what was sent before the take-over and again behind it is
/// among what they collect at once.
async fn read_again(bench: &mut Bench, name: &str) {
    bench.pair.target.kill().unwrap();
    lasts(12).await;
    bench.pair.target.bring_back().unwrap();
    bench.equal(name).await;
}

/// Collections, a task for them, and that one of them whose shards have the same order of names on
/// both sides: the stand-in would pair others otherwise than a Go tool. A Milvus takes the channels
/// with the fewest collections, in any order behind those that have come and gone, so each crosses
/// on one of the sides with a chance of one in two at most.
async fn one_that_does_not_cross(bench: &mut Bench, names: &[String]) -> (String, CollectionSpec) {
    let spec = |name: &String| CollectionSpec::small(name, 8).shards(2);
    let specs: Vec<_> = names.iter().map(spec).collect();
    for spec in &specs {
        bench.source.create_collection(spec).await.unwrap();
    }
    let selected: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
    let task = bench.task(json!({"collection_infos": selected})).await;
    for spec in specs {
        bench.same_metadata(spec.name()).await;
        if !is_crossed(&bench.source, &bench.target, spec.name()).await {
            return (task, spec);
        }
    }
    panic!("all cross");
}

/// A task on one collection and on a database, and one on a Kafka without a topic, which is not
/// taken over. The one of the MySQL had carried out no request.
fn leave_records(
    store: &GoStore,
    bench: &Bench,
    task: &str,
    id: &BTreeMap<i64, String>,
    mut positions: Value,
) {
    let name = id.values().next().unwrap();
    let selection = json!({
        "CollectionInfos": [{"name": name, "positions": null, "use_start_position": false}],
        "DBCollections": {format!("{name}_later"): [{"name": "*"}]},
    });
    if matches!(store, GoStore::Mysql(_)) {
        positions["op_positions"] = Value::Null;
    }
    store.leave(bench, task, selection, id, &positions);
    store.put_task(&json!({
        "TaskID": "to-a-kafka", "MilvusConnectParam": {"uri": ""},
        "KafkaConnectParam": {"address": "127.0.0.1:9", "topic": ""},
        "CollectionInfos": [{"name": "elsewhere"}], "State": 2, "Reason": "",
    }));
}

/// The ids of collections on the source, and their names.
async fn ids(source: &Milvus, names: &[&str]) -> BTreeMap<i64, String> {
    let mut ids = BTreeMap::new();
    for name in names {
        ids.insert(source.describe(name).await.unwrap().collection_id, (*name).to_owned());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_and_made_again_between_both_tools_is_followed() {
    let folder = TempDir::new().unwrap();
    let store = GoStore::etcd(&folder);
    let mut bench = Bench::new().await;
    let here = bench.source.database("between");
    let there = bench.target.database("between");
    let [parts, again, named, last] =
        ["parts", "again", "first_name", "last"].map(|name| CollectionSpec::small(name, 8));
    for database in ["between", "ended"] {
        bench.source.create_database(database).await.unwrap();
    }
    here.create_ready(&parts).await.unwrap();
    for partition in ["reborn", "dropped", "kept"] {
        here.create_partition("parts", partition).await.unwrap();
        here.load("parts").await.unwrap();
        here.insert(batch(&parts, partition, 0..100, 0)).await.unwrap();
    }
    here.create_ready(&again).await.unwrap();
    here.insert(batch(&again, "", 0..100, 0)).await.unwrap();
    here.create_ready(&named).await.unwrap();
    here.insert(batch(&named, "", 0..100, 0)).await.unwrap();
    let ended = bench.source.database("ended");
    ended.create_ready(&last).await.unwrap();
    let selection = json!({"between": [{"name": "*"}], "ended": [{"name": "*"}]});
    let from_the_start = json!({
        "between": [{"name": "*", "use_start_position": true}],
        "ended": [{"name": "*", "use_start_position": true}],
    });
    let task = bench.task(json!({"db_collections": from_the_start})).await;
    for name in ["parts", "again", "first_name"] {
        bench.while_running(Box::pin(equal(&here, &there, name))).await;
    }
    let mut names = ids(&here, &["parts", "again", "first_name"]).await;
    names.extend(ids(&ended, &["last"]).await);
    let positions = bench.service.api().position(&task).await.unwrap();
    bench.service.api().delete(&task).await.unwrap();
    bench.service.stop().unwrap();

    change_much(&bench.source, [&parts, &again, &named]).await;
    store.leave(&bench, &task, json!({"DBCollections": selection}), &names, &positions);
    bench.service.config().environment = store.environment(&folder.path().join("state"));
    let plan = import(&mut bench.service, &[]);
    assert_eq!(plan["tasks"][0]["fate"], "imported", "{plan:#}");
    let notes = plan["tasks"][0]["notes"].to_string();
    assert!(notes.contains("was dropped on the source and its database"), "{notes}");
    assert!(notes.contains("was called first_name by the Go tool"), "{notes}");
    bench.service.restart().await.unwrap();
    let parted = bench.while_running(Box::pin(equal(&here, &there, "parts"))).await;
    assert_eq!(parted.target_rows, 100 + 50);
    let reborn = bench.while_running(Box::pin(equal(&here, &there, "again"))).await;
    assert_eq!(reborn.target_rows, 50);
    for (name, rows) in [("second_name", 100), ("first_name", 30)] {
        let report = bench.while_running(Box::pin(equal(&here, &there, name))).await;
        assert_eq!(report.target_rows, rows, "{name}");
    }

    // As the note says.
    bench.target.database("ended").drop_collection("last").await.unwrap();
    bench.target.drop_database("ended").await.unwrap();
    for name in ["parts", "again", "first_name", "second_name"] {
        here.drop_collection(name).await.unwrap();
        bench.while_running(Box::pin(gone(&there, name))).await;
    }
    bench.source.drop_database("between").await.unwrap();
    bench.finish().await;
}

/// Drops, makes again and renames.
async fn change_much(source: &Milvus, [parts, again, named]: [&CollectionSpec; 3]) {
    let (here, ended) = (source.database("between"), source.database("ended"));
    here.release("parts").await.unwrap();
    for partition in ["reborn", "dropped"] {
        here.drop_partition("parts", partition).await.unwrap();
    }
    here.create_partition("parts", "reborn").await.unwrap();
    here.load("parts").await.unwrap();
    here.insert(batch(parts, "reborn", 500..550, 0)).await.unwrap();
    here.drop_collection("again").await.unwrap();
    here.create_ready(again).await.unwrap();
    here.insert(batch(again, "", 500..550, 0)).await.unwrap();
    here.rename("first_name", "second_name").await.unwrap();
    here.create_ready(named).await.unwrap();
    here.insert(batch(named, "", 500..530, 0)).await.unwrap();
    ended.drop_collection("last").await.unwrap();
    source.drop_database("ended").await.unwrap();
}

/// A Go tool pairs channels in the order of their names, in which 10 comes before 9. An import that
/// finds the collection on the target stands in for it.
#[tokio::test(flavor = "multi_thread")]
async fn shards_that_the_go_tool_has_crossed_stay_so() {
    let folder = TempDir::new().unwrap();
    let store = GoStore::etcd(&folder);
    let mut bench = Bench::new().await;
    bench.source.create_database("crossed").await.unwrap();
    let here = bench.source.database("crossed");
    let there = bench.target.database("crossed");
    let request = json!({"db_collections": {"crossed": [{"name": "*"}]}});
    let task = bench.task(request).await;
    let spec = one_that_crosses(&bench, &here, &there).await;
    let name = spec.name();
    let names = ids(&here, &[name]).await;
    let selection = json!({"DBCollections": {"crossed": [{"name": name}]}});
    let leave = async |bench: &mut Bench| {
        let positions = bench.service.api().position(&task).await.unwrap();
        store.leave(bench, &task, selection.clone(), &names, &positions);
    };

    leave(&mut bench).await;
    bench.service.api().delete(&task).await.unwrap();
    bench.service.stop().unwrap();
    bench.service.config().environment = store.environment(&folder.path().join("state"));
    import(&mut bench.service, &[]);
    bench.service.restart().await.unwrap();
    here.make_ready(&spec).await.unwrap();
    here.insert(batch(&spec, "", 0..1000, 0)).await.unwrap();
    bench.while_running(Box::pin(equal(&here, &there, name))).await;
    assert!(bench.service.api().metric(EVENTS, "crossed_shards").await.unwrap() > 0.0);
    leave(&mut bench).await;
    here.upsert(batch(&spec, "", 900..1100, 1)).await.unwrap();
    bench.while_running(Box::pin(equal(&here, &there, name))).await;
    bench.service.api().delete(&task).await.unwrap();
    bench.service.stop().unwrap();

    here.upsert(batch(&spec, "", 0..300, 2)).await.unwrap();
    here.delete_keys(name, "id", &keys(&spec, 300..500)).await.unwrap();
    import(&mut bench.service, &[]);
    bench.service.restart().await.unwrap();
    here.delete_keys(name, "id", &keys(&spec, 500..600)).await.unwrap();
    let report = bench.while_running(Box::pin(equal(&here, &there, name))).await;
    assert_eq!(report.target_rows, 1100 - 200 - 100);
    for name in here.collections().await.unwrap() {
        here.drop_collection(&name).await.unwrap();
    }
    bench.source.drop_database("crossed").await.unwrap();
    for name in bench.target.collections().await.unwrap() {
        if name.starts_with("shift_") {
            bench.target.drop_collection(&name).await.unwrap();
        }
    }
    bench.finish().await;
}

/// Creates collections until one has its two shards in another order of names on the target than on
/// the source.
async fn one_that_crosses(bench: &Bench, here: &Milvus, there: &Milvus) -> CollectionSpec {
    for number in 0..18 {
        if number % 9 == 0 {
            // Where both sides take the same channels in turn, both cross at once.
            let shift = CollectionSpec::small(&format!("shift_{number}"), 8);
            bench.target.create_collection(&shift).await.unwrap();
        }
        let spec = CollectionSpec::small(&format!("crossing_{number}"), 8).shards(2);
        here.create_collection(&spec).await.unwrap();
        bench.while_running(Box::pin(same_metadata(here, there, spec.name()))).await;
        if is_crossed(here, there, spec.name()).await {
            return spec;
        }
    }
    panic!("no collection crosses");
}

/// Whether two shards have another order of names on the target than on the source.
async fn is_crossed(here: &Milvus, there: &Milvus, name: &str) -> bool {
    let [source, target] = [here, there].map(|milvus| milvus.describe(name));
    let [source, target] = [source.await, target.await]
        .map(|described| described.unwrap().virtual_channel_names.is_sorted());
    source != target
}
