//! Faults: a transient one restarts the task, a permanent one pauses it, and no other task notices.

use crate::scripted::Act;
use crate::support::{Harness, eventually};
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use replication::error::Error;
use replication::observer::{Event, Noted};
use serde_json::json;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_transient_fault_restarts_the_task_and_is_its_waiting_reason() {
    let service = Harness::start().await;
    let fault = || Act::Fail(Error::transient("the queue of the source does not answer"));
    service.script.set_acts("a", (0..6).map(|_| fault()));
    service.create("a", "d.c").await;
    let waiting = service.until("a", |t| t["status"]["stage"] == "retrying").await;
    assert_eq!(waiting["state"], "Running");
    assert_eq!(waiting["status"]["waiting"], "the queue of the source does not answer");
    let task = service.until("a", |t| t["status"]["restarts"] == 6).await;
    assert_eq!(task["state"], "Running");
    let task = service.until("a", |t| t["status"]["waiting"] == json!(null)).await;
    assert_eq!(task["status"]["stage"], "running");
    assert_eq!(service.script.starts_of("a"), 7);
    assert!(service.metrics().await.contains("milvus_cdc_task_restarts_total{task_id=\"a\"} 6"));
}

#[tokio::test]
async fn pauses_between_restarts_grow_unless_there_was_progress() {
    let service = Harness::start().await;
    let fault = || Act::Fail(Error::transient("away"));
    service.script.set_acts("a", (0..40).map(|_| fault()));
    let fault = || Act::ProgressThenFail(Error::transient("away"));
    service.script.set_acts("b", (0..400).map(|_| fault()));
    service.create("a", "d.a").await;
    service.create("b", "d.b").await;
    let starts = eventually(async || match service.script.starts_of("b") {
        moving @ 60.. => Ok((service.script.starts_of("a"), moving)),
        moving => Err(moving),
    });
    let (stuck, moving) = starts.await;
    // Pauses grow from 20 ms to 200 ms without progress, and stay at 20 ms with progress.
    assert!((5..=moving / 2).contains(&stuck), "{moving} and {stuck}");
}

#[tokio::test]
async fn a_permanent_fault_pauses_the_task_with_its_reason_and_no_other() {
    let mut service = Harness::start().await;
    let reason = "the target refuses replication: set common.ttMsgEnabled to false and resume";
    service.script.set_acts("a", [Act::Fail(Error::permanent(reason).because("error 1900"))]);
    service.create("other", "d.x").await;
    service.create("a", "d.c").await;
    let task = service.until("a", |t| t["state"] == "Paused").await;
    assert_eq!(task["reason"], reason);
    assert_eq!(service.task("other").await["status"]["stage"], "running");
    service.restart().await;
    let task = service.until("a", |t| t["status"]["stage"] == "stopped").await;
    assert_eq!((&task["state"], &task["reason"]), (&json!("Paused"), &json!(reason)));
    service.done("resume", json!({"task_id": "a"})).await;
    let task = service.until("a", |t| t["status"]["stage"] == "running").await;
    assert_eq!(task.get("reason"), None);
}

#[tokio::test]
async fn a_panic_pauses_its_task_and_no_other() {
    let service = Harness::start().await;
    service.create("other", "d.x").await;
    service.script.set_acts("a", [Act::Panic]);
    service.create("a", "d.c").await;
    let task = service.until("a", |t| t["state"] == "Paused").await;
    assert!(task["reason"].as_str().unwrap().contains("the invariant is broken"), "{task}");
    assert_eq!(service.task("other").await["status"]["stage"], "running");
}

#[tokio::test]
async fn a_task_that_waits_within_a_run_shows_it_too() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.script.event("a", Event::Waiting(Some("the target is away")));
    assert_eq!(service.task("a").await["status"]["waiting"], "the target is away");
    let (status, ready) = service.get("/readyz").await;
    assert_eq!(status, 200);
    assert!(ready.contains("\"tasks_waiting\":{\"a\":\"the target is away\"}"), "{ready}");
    service.script.event("a", Event::Waiting(None));
    assert_eq!(service.task("a").await["status"]["waiting"], json!(null));
}

#[tokio::test]
async fn the_version_of_a_target_is_shown_and_warned_of() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.script.event("a", Event::TargetVersion("2.3.19"));
    assert_eq!(service.task("a").await["status"]["target_version"], "2.3.19");
    assert!(!service.get("/readyz").await.1.contains("target_warnings"));
    service.script.event("a", Event::TargetVersion("v2.3.5"));
    // An answer is valid for a moment.
    let warning = "\"target_warnings\":{\"a\":\"v2.3.5: ";
    eventually(async || {
        let (_, ready) = service.get("/readyz").await;
        if ready.contains(warning) { Ok(()) } else { Err(ready) }
    })
    .await;
}

/// The target lacks again what it had.
#[tokio::test]
async fn a_channel_that_goes_back_is_behind_until_it_is_there_again() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    let tick = |ms| Event::Acknowledged { channel: "dml_0", tick: Timestamp::from_ms(ms) };
    let acknowledged =
        async || service.task("a").await["status"]["channels"][0]["acknowledged_ms"].clone();
    service.script.event("a", Event::Joined("dml_0"));
    service.script.event("a", tick(9000));
    assert_eq!(acknowledged().await, 9000);
    service.script.event("a", Event::Joined("dml_0"));
    assert_eq!(acknowledged().await, json!(null));
    service.script.event("a", tick(5000));
    assert_eq!(acknowledged().await, 5000);
}

#[tokio::test]
async fn what_a_restart_of_the_target_means_is_in_the_history() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.script.event("a", Event::Counted(Noted::ReadAgain, 1));
    service.script.event("a", Event::Counted(Noted::Forgotten, 1));
    let (_, events) = service.get("/api/v1/tasks/a/events").await;
    for event in ["read_again", "forgotten"] {
        assert!(events.contains(&format!("\"event\":\"{event}\"")), "{events}");
    }
}

#[tokio::test]
async fn a_collection_that_is_out_of_step_is_told_and_counted_until_it_is_in_step() {
    let service = Harness::start().await;
    service.create("a", "d.*").await;
    let event = |why| Event::OutOfStep { collection_id: CollectionId(7), collection: "d.c", why };
    let since = Timestamp::from_ms(1_700_000_000_000);
    service.script.event("a", event(Some((since, "drop it there"))));
    service.script.event("a", event(Some((since, "drop it there"))));
    let task = service.task("a").await;
    assert_eq!(
        task["status"]["out_of_step"],
        json!([{
            "collection_id": 7, "collection": "d.c", "reason": "drop it there",
            "since_ms": 1_700_000_000_000_u64,
        }])
    );
    assert_eq!((&task["state"], &task["status"]["waiting"]), (&json!("Running"), &json!(null)));
    let gauge = |number| format!("milvus_cdc_collections_out_of_step{{task_id=\"a\"}} {number}");
    assert!(service.metrics().await.contains(&gauge(1)));
    service.script.event("a", event(None));
    assert_eq!(service.task("a").await["status"].get("out_of_step"), None);
    assert!(service.metrics().await.contains(&gauge(0)));
    let (_, events) = service.v1("GET", "/tasks/a/events", json!(null)).await;
    let events = events["events"].as_array().unwrap();
    let told: Vec<_> = events.iter().rev().take(2).map(|e| (&e["event"], &e["reason"])).collect();
    let [out, again] = [json!("out_of_step"), json!("in_step")];
    assert_eq!(told, [(&again, &json!("d.c")), (&out, &json!("d.c: drop it there"))]);
}

#[tokio::test]
async fn a_store_that_fails_stops_no_task_and_its_return_is_noticed() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.store.away.store(true, Ordering::SeqCst);
    let (code, message) = service.refused("list", json!({})).await;
    assert_eq!(
        (code, message.as_str()),
        (500, "fail to handle the list request, error: the store is away")
    );
    assert_eq!(service.refused("pause", json!({"task_id": "a"})).await.0, 500);
    assert_eq!(service.script.starts_of("a"), 1);
    service.store.away.store(false, Ordering::SeqCst);
    service.done("pause", json!({"task_id": "a"})).await;
    assert_eq!(service.task("a").await["status"]["stage"], "stopped");
}

#[tokio::test]
async fn a_service_starts_and_answers_while_its_store_fails() {
    let mut service = Harness::start().await;
    service.create("a", "d.c").await;
    service.stop().await;
    service.store.away.store(true, Ordering::SeqCst);
    // The service was stopped, and starts for the second time.
    service.restart_only().await;
    assert_eq!(service.get("/healthz").await.0, 200);
    let (status, ready) = service.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(ready.contains("the store is away"), "{ready}");
    service.store.away.store(false, Ordering::SeqCst);
    service.until("a", |t| t["status"]["stage"] == "running").await;
    eventually(async || match service.get("/readyz").await {
        (200, _) => Ok(()),
        (_, body) => Err(body),
    })
    .await;
}
