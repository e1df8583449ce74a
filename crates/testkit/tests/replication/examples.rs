//! The programs of `examples/`, run as a user runs them: they create tasks from the requests beside
//! them, and the consumers print what a real source has written. Errors of the API are tested in
//! the server's own tests.

use std::collections::BTreeMap;
use std::path::Path;

use lab::Examples;
use serde_json::Value;
use tempfile::TempDir;
use testkit::milvus::{Query, Reading};

use super::bench::{Bench, batch, equal, keys};
use super::kafka_sink::{Broker, rows, titles};

/// The collection that the requests of the examples select.
const DATABASE: &str = "sales";
const COLLECTION: &str = "orders";

/// Runs one that has to succeed; the lines that it prints.
async fn run(program: &'static str, arguments: &[&str], server: &str) -> Vec<String> {
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let server = server.to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Examples::install()?.run(program, &arguments, &[("MILVUS_CDC_SERVER", &server)])
    });
    let ran = ran.await.unwrap().unwrap();
    let [out, errors] = [ran.stdout, ran.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(ran.status.success(), "{program}: {out}{errors}");
    out.lines().map(str::to_owned).collect()
}

/// A request of the examples with the addresses of this test, in a file.
fn request(name: &str, folder: &Path, address: &str) -> String {
    let file = Examples::file(&format!("tasks/{name}.json"));
    let mut request: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    for (param, key) in [("milvus_connect_param", "uri"), ("kafka_connect_param", "address")] {
        if let Some(param) = request.get_mut(param) {
            param[key] = address.into();
        }
    }
    let file = folder.join(name);
    std::fs::write(&file, request.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// What is left of printed changes: a line puts a row or removes it. Vectors are floats of four
/// bytes, of which JSON shows more digits than there are.
fn left(lines: &[String], put: &str) -> BTreeMap<i64, Value> {
    let mut left = BTreeMap::new();
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["change"] == put {
            let mut row = line["row"].clone();
            let vector = row["vector"].as_array().unwrap().iter();
            row["vector"] = vector.map(|number| number.as_f64().unwrap() as f32).collect();
            left.insert(row["id"].as_i64().unwrap(), row);
        } else if line["change"] == "delete" {
            // A change event has the name of the key as well.
            let key = line["key"].get("id").unwrap_or(&line["key"]);
            left.remove(&key.as_i64().unwrap()).expect("a row that was there");
        }
    }
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_create_tasks_and_print_what_the_source_wrote() {
    let (folder, broker) = (TempDir::new().unwrap(), Broker::start());
    let bench = Bench::new().await;
    let server = format!("http://{}", bench.service.address());
    bench.source.create_database(DATABASE).await.unwrap();
    let source = bench.source.database(DATABASE);
    let spec = titles().named(COLLECTION);
    source.create_ready(&spec).await.unwrap();

    let target = format!("http://{}", bench.pair.target.address());
    let tasks = [
        ("curl/task.sh", "orders", request("to-milvus", folder.path(), &target)),
        (
            "python/task.py",
            "orders-events",
            request("to-kafka-change-events", folder.path(), &broker.address()),
        ),
        (
            "example-task",
            "orders-log",
            request("to-kafka-replicate", folder.path(), &broker.address()),
        ),
    ];
    let all_caught_up = async || {
        let watches = tasks.iter().map(async |(tool, task, _)| {
            assert_eq!(run(tool, &["watch", task], &server).await, ["caught up"]);
        });
        futures::future::join_all(watches).await;
    };
    for (tool, task, request) in &tasks {
        assert_eq!(run(tool, &["create", request], &server).await, [*task]);
    }
    all_caught_up().await;
    source.insert(batch(&spec, "", 0..60, 0)).await.unwrap();
    source.upsert(batch(&spec, "", 10..30, 1)).await.unwrap();
    source.delete_keys(COLLECTION, "id", &keys(&spec, 50..60)).await.unwrap();
    all_caught_up().await;

    let query = Query { reading: Reading::Strong, ..Query::of(COLLECTION, "id >= 0") };
    let held = rows(&source.query(&query).await.unwrap());
    assert_eq!(held.len(), 50);
    equal(&source, &bench.target.database(DATABASE), COLLECTION).await;
    let kafka = broker.address();
    let consumer = |topic: &'static str, group: &'static str| {
        ["--brokers", &kafka, "--topic", topic, "--group", group, "--until-end"].map(str::to_owned)
    };
    let events = "orders-events.sales.orders";
    for (program, topic, put) in [
        ("python/consume_change_events.py", events, "put"),
        ("example-consume-change-events", events, "put"),
        ("python/consume_replicate.py", "orders-log", "insert"),
    ] {
        let arguments = consumer(topic, program);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let lines = run(program, &arguments, &server).await;
        assert_eq!(left(&lines, put), held, "{program}");
        assert!(run(program, &arguments, &server).await.is_empty(), "{program} goes on");
    }
    for (tool, task, _) in &tasks {
        run(tool, &["delete", task], &server).await;
    }
    bench.source.database(DATABASE).drop_collection(COLLECTION).await.unwrap();
    bench.source.drop_database(DATABASE).await.unwrap();
    bench.finish().await;
}
