//! One record in the store has a newer form than this version knows, as after a downgrade. Whatever
//! the record is, it is refused by name, no record is changed, and other tasks go on.

use super::{Opened, written};
use futures::future::join_all;
use serde_json::Value;
use testkit::stores::Text;

/// One of each kind that belongs to a task that runs: the task, and the key of the record.
const OF_A_TASK: [(&str, &str); 9] = [
    ("runs", "checkpoint/runs"),
    ("runs", "collection/runs/"),
    ("runs", "op/runs"),
    ("runs", "serving/runs/"),
    ("runs", "missed/runs/"),
    ("taken_over_paused", "fence/taken_over_paused"),
    ("roles", "access/roles/reader"),
    ("to_kafka", "next/to_kafka"),
    ("to_kafka", "lease/log/to_kafka"),
];

/// One of each kind that belongs to a target, with all tasks that write to it.
const OF_A_TARGET: [&str; 3] = ["lane/127.0.0.1:1/", "lease/127.0.0.1:1", "alive/127.0.0.1:1"];

/// Leases on other targets.
const OF_OTHERS: [&str; 6] = [
    "alive/127.0.0.1:2",
    "alive/127.0.0.1:4",
    "alive/log/",
    "lease/127.0.0.1:2",
    "lease/127.0.0.1:4",
    "lease/log/",
];

/// The tasks of that target, and some of others.
const THERE: [&str; 3] = ["runs", "roles", "taken_over"];
const ELSEWHERE: [&str; 2] = ["to_kafka", "to_kafka_go"];

/// The store, with its first record under a prefix in a newer form. That form has no member that
/// this version knows. Also returns the key.
fn with_newer(text: &Text, prefix: &str) -> (Text, String) {
    let mut text = text.clone();
    let record = text.records.iter_mut().find(|record| record.key.starts_with(prefix));
    let record = record.unwrap_or_else(|| panic!("nothing is stored under {prefix}"));
    record.value = r#"{"form":3,"Version":2,"renamed":true}"#.to_owned();
    let key = record.key.clone();
    (text, key)
}

fn newer(key: &str) -> String {
    format!("the stored record {key} was written by a newer milvus-cdc; run that version")
}

async fn runs(opened: &Opened, task: &str) {
    super::eventually(async || {
        let shown = opened.task(task).await;
        let status = &shown["status"];
        let is_well = status["stage"] == "running" && status["waiting"].is_null();
        if is_well { Ok(()) } else { Err(shown) }
    })
    .await;
}

#[tokio::test]
async fn a_task_with_a_record_of_a_newer_form_is_left_as_it_is_and_the_others_go_on() {
    for (_, text) in written() {
        let each = OF_A_TASK.map(|(task, prefix)| Box::pin(is_left(&text, task, prefix)));
        join_all(each).await;
    }
}

async fn is_left(text: &Text, task: &str, prefix: &str) {
    let (text, key) = with_newer(text, prefix);
    let opened = Opened::with_outside(&text).await;
    if opened.task(task).await["state"] == "Paused" {
        opened.ask("POST", &format!("/{task}/resume")).await;
    }
    let shown = opened.waits(task, &newer(&key)).await;
    assert_eq!(shown["state"], "Running", "it is not paused: {shown}");
    for other in THERE.into_iter().chain(ELSEWHERE).filter(|other| *other != task) {
        runs(&opened, other).await;
    }
    let after = opened.stop().await;
    // What others do, and the state of one that was resumed.
    let mut may_change = vec!["alive/", "lane/", "lease/127.0.0.1", "lease/log/to_kafka_go"];
    may_change.extend(["lease/log/to_kafka"].iter().filter(|lease| **lease != key));
    may_change.extend((task == "taken_over_paused").then_some("task/taken_over_paused"));
    text.kept_in(&after, &may_change).unwrap();
}

#[tokio::test]
async fn a_target_with_a_record_of_a_newer_form_is_left_as_it_is_and_others_go_on() {
    for (_, text) in written() {
        for prefix in OF_A_TARGET {
            let (text, key) = with_newer(&text, prefix);
            let opened = Opened::with_outside(&text).await;
            for task in THERE {
                let shown = opened.waits(task, &newer(&key)).await;
                assert_eq!(shown["state"], "Running", "it is not paused: {shown}");
            }
            for task in ELSEWHERE {
                runs(&opened, task).await;
            }
            let after = opened.stop().await;
            // Not even the lease on it is taken.
            text.kept_in(&after, &OF_OTHERS).unwrap();
        }
    }
}

#[tokio::test]
async fn a_task_of_a_newer_form_is_told_of_and_the_others_go_on() {
    for (_, text) in written() {
        let (text, key) = with_newer(&text, "task/runs");
        let opened = Opened::with_outside(&text).await;
        for task in ["roles", "taken_over", "to_kafka", "to_kafka_go"] {
            runs(&opened, task).await;
        }
        let (_, listed) = opened.ask("GET", "").await;
        let broken = listed["broken"].as_array().unwrap();
        let words = format!("the stored record {key} has version 2, written by a newer milvus-cdc");
        assert!(broken.len() == 1 && broken[0].as_str().unwrap().starts_with(&words), "{broken:?}");
        for (method, path) in [("GET", "/runs"), ("POST", "/runs/pause"), ("DELETE", "/runs")] {
            let (status, problem) = opened.ask(method, path).await;
            assert_eq!(status, 500, "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains(&words), "{problem}");
        }
        let after = opened.stop().await;
        text.kept_in(&after, &["alive/", "lease/", "lane/"]).unwrap();
    }
}

#[tokio::test]
async fn answers_about_a_record_of_a_newer_form_name_it() {
    for (_, text) in written() {
        for (path, prefix) in
            [("/paused/positions", "checkpoint/paused"), ("/runs/missed", "missed/runs/")]
        {
            let (text, key) = with_newer(&text, prefix);
            let opened = Opened::alone(&text).await;
            let (status, problem): (u16, Value) = opened.ask("GET", path).await;
            assert_eq!(status, 500, "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains(&newer(&key)), "{problem}");
            opened.stop().await;
        }
    }
}
