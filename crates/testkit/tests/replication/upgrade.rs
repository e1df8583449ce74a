//! Tasks whose store has the form of an earlier version (`crates/testkit/stores`) go on between
//! real servers. A milvus-cdc is killed while it replicates, and its records are put into that
//! form: they keep their values, and get the members of then. Never changes a value.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use testkit::milvus::{CollectionSpec, Reading};
use testkit::stores::{Kind, Record, Store, Text, Written};
use testkit::topic;
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch};
use super::faults::gets_beyond;
use super::kafka_sink::Broker;
use super::load::Load;

/// Members of records that are maps by channel, partition or id.
const BY_NAME: [&str; 5] = ["channels", "from", "indexes", "partitions", "properties"];

/// Each task here, and the task of the stored ones whose records it is to resemble.
const LIKE: [(&str, &str); 3] =
    [("upgrade_runs", "runs"), ("upgrade_paused", "paused"), ("upgrade_kafka", "to_kafka")];

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_an_earlier_version_has_stored_go_on_without_loss_or_duplicates() {
    let broker = Broker::start();
    let mut bench = Bench::new().await;
    begin(&mut bench, &broker).await;
    let load = Load::on(&bench, "upgrade", 11).await;
    let other = CollectionSpec::small("upgrade_other", 8);
    bench.source.create_ready(&other).await.unwrap();
    bench.source.insert(batch(&other, "", 0..100, 0)).await.unwrap();
    has_rows(&bench, 100).await;
    bench.service.api().pause("upgrade_paused").await.unwrap();

    let store = Store::Sqlite(bench.service.folder().join("milvus-cdc.db"));
    for written in Written::by_all().unwrap() {
        let before = bench.source.clock().await.unwrap().ms();
        load.write(500).await;
        for task in ["upgrade_runs", "upgrade_kafka"] {
            gets_beyond(&bench, task, before).await;
        }
        bench.service.kill().unwrap();
        let now = store.dump().await.unwrap();
        let then = in_the_form_of(&written.text(Kind::Sqlite).unwrap(), &now);
        remove(&bench);
        store.load(&then).await.unwrap();
        bench.service.restart().await.unwrap();
    }
    bench.source.insert(batch(&other, "", 100..200, 0)).await.unwrap();
    bench.service.api().resume("upgrade_paused").await.unwrap();
    has_rows(&bench, 200).await;
    load.write(500).await;
    load.judge().await;
    is_told_once(&bench, &broker).await;
    bench.source.drop_collection("upgrade_other").await.unwrap();
    bench.finish().await;
}

/// A task on a Milvus, one that is paused later and gives another name, and one on a Kafka.
async fn begin(bench: &mut Bench, broker: &Broker) {
    let milvus = json!({"uri": format!("http://{}", bench.pair.target.address())});
    let both = json!([{"name": "upgrade_int"}, {"name": "upgrade_text"}]);
    let rule = json!({"source_db": "default", "target_db": "default",
        "collection_mapping": {"upgrade_other": "upgrade_renamed"}});
    let kafka = json!({"address": broker.address(), "topic": "{task}.{database}.{collection}",
        "format": "change_event", "delivery": "exactly_once"});
    for request in [
        json!({"task_id": "upgrade_runs", "milvus_connect_param": milvus,
            "collection_infos": both}),
        json!({"task_id": "upgrade_paused", "milvus_connect_param": milvus,
            "collection_infos": [{"name": "upgrade_other"}], "name_mapping": [rule]}),
        json!({"task_id": "upgrade_kafka", "kafka_connect_param": kafka,
            "collection_infos": [{"name": "upgrade_int"}]}),
    ] {
        bench.task_as(request).await;
    }
}

async fn has_rows(bench: &Bench, rows: u64) {
    let there = wait::until(format!("{rows} rows under the other name"), EQUAL_WITHIN, || async {
        let count = bench.target.count("upgrade_renamed", "", &[], Reading::Strong).await?;
        Ok((count == rows).then_some(()))
    });
    there.await.unwrap();
}

/// No change of a row is in the topic twice. The collection was dropped after all of them.
async fn is_told_once(bench: &Bench, broker: &Broker) {
    let dropped = wait::until("the drop among the events", EQUAL_WITHIN, || async {
        let events = broker.records("upgrade_kafka.events").await;
        let texts = events.iter().filter_map(|event| event.value.as_deref());
        let is_drop = |event: &Value| event["type"] == "drop_collection";
        let mut events = texts.filter_map(|text| serde_json::from_slice(text).ok());
        Ok(events.any(|event| is_drop(&event)).then_some(()))
    });
    bench.while_running(dropped).await.unwrap();
    let records = broker.records("upgrade_kafka.default.upgrade_int").await;
    let origin = |record: &topic::Record| (record.headers.clone(), record.value.is_none());
    let once: BTreeSet<_> = records.iter().map(origin).collect();
    assert!(records.len() > 500, "{} records", records.len());
    assert_eq!(once.len(), records.len());
}

fn remove(bench: &Bench) {
    for end in ["", "-wal", "-shm"] {
        let file = bench.service.folder().join(format!("milvus-cdc.db{end}"));
        if file.exists() {
            std::fs::remove_file(file).unwrap();
        }
    }
}

/// The records of a store with the members that an earlier version wrote.
fn in_the_form_of(then: &Text, now: &Text) -> Text {
    let mut text = now.clone();
    for record in &mut text.records {
        if record.key == "task-roster" {
            continue;
        }
        let form = form_of(then, &record.key);
        let value = serde_json::from_str(&record.value).unwrap();
        record.value = with_members(&form, &value).to_string();
    }
    // Its tables are those of then; the name of the store and its numbers are those of now.
    let (tables, _) = then.settings.split_once("INSERT").unwrap();
    let settings = now.settings.lines().filter(|line| line.starts_with("INSERT"));
    text.settings = settings.fold(tables.to_owned(), |text, line| format!("{text}{line}\n"));
    text
}

/// All members that a record of this kind had: those of the same task, if there is one.
fn form_of(then: &Text, key: &str) -> Value {
    let mut names = key.split('/');
    let (kind, task) = (names.next().unwrap(), names.next().unwrap_or_default());
    let like = LIKE.iter().find(|(task_here, _)| *task_here == task).map(|(_, there)| *there);
    let is_kind = |record: &&Record| record.key.split('/').next() == Some(kind);
    let is_like = |record: &&Record| like.is_none() || record.key.split('/').nth(1) == like;
    let records = then.records.iter().filter(is_kind).filter(is_like);
    let forms = records.map(|record| serde_json::from_str(&record.value).unwrap());
    forms.reduce(|all, form: Value| merged(all, &form)).unwrap_or_else(|| panic!("none like {key}"))
}

fn merged(mut all: Value, form: &Value) -> Value {
    match (&mut all, form) {
        (Value::Object(members), Value::Object(more)) => {
            for (name, form) in more {
                let known = members.remove(name).unwrap_or(Value::Null);
                members.insert(name.clone(), merged(known, form));
            }
        }
        (Value::Null, form) => return form.clone(),
        _ => {}
    }
    all
}

/// What is here, with the members that the form has and no others.
fn with_members(form: &Value, here: &Value) -> Value {
    let (Value::Object(members), Value::Object(values)) = (form, here) else {
        return here.clone();
    };
    let mut made = Map::new();
    for (name, form) in members {
        match values.get(name) {
            Some(Value::Object(named)) if BY_NAME.contains(&name.as_str()) => {
                let forms = form.as_object().into_iter().flatten().map(|(_, form)| form.clone());
                let form = forms.reduce(|all, form| merged(all, &form)).unwrap_or(Value::Null);
                let named =
                    named.iter().map(|(name, here)| (name.clone(), with_members(&form, here)));
                made.insert(name.clone(), Value::Object(named.collect()));
            }
            Some(here) => drop(made.insert(name.clone(), with_members(form, here))),
            None => {}
        }
    }
    Value::Object(made)
}
