//! A service whose targets another service on the same store writes to: the other one decides about
//! the tasks. And a dry run, which decides nothing.

use crate::scripted::{Act, NO_CLIENT};
use crate::support::{Harness, request};
use replication::error::Error;
use replication::ports::{Store, Transaction};
use replication::records::keys;
use serde_json::json;

/// Gives another service the lease on a target.
async fn take_lease_for_another(service: &Harness, target: &str) {
    let lease = (format!("lease/{target}"), br#"{"holder":"another one"}"#.to_vec());
    let puts = vec![lease];
    service.store.commit(Transaction { puts, ..Default::default() }).await.unwrap();
}

async fn stored_state(service: &Harness, task: &str) -> serde_json::Value {
    let stored = service.store.get(&keys::task_key(task)).await.unwrap().unwrap();
    serde_json::from_slice::<serde_json::Value>(&stored.value).unwrap()["State"].take()
}

#[tokio::test]
async fn a_fault_of_a_waiting_service_is_shown_and_stops_no_other() {
    let service = Harness::start().await;
    take_lease_for_another(&service, "target:19530").await;
    let reason = "a file is missing on this machine";
    service.script.set_acts("a", (0..1000).map(|_| Act::Fail(Error::permanent(reason))));
    service.create("a", "d.c").await;
    let task = service.until("a", |t| t["status"]["waiting"] == reason).await;
    assert_eq!(task["state"], "Running");
    assert_eq!(stored_state(&service, "a").await, 1);
    // The other service is gone; this one finds out when the lease expires.
    let deletes = vec!["lease/target:19530".into()];
    service.store.commit(Transaction { deletes, ..Default::default() }).await.unwrap();
    let task = service.until("a", |t| t["state"] == "Paused").await;
    assert_eq!(task["reason"], reason);
}

#[tokio::test]
async fn a_task_that_cannot_start_here_is_left_to_the_other_service() {
    let service = Harness::start().await;
    take_lease_for_another(&service, &format!("{NO_CLIENT}:19530")).await;
    let reason = "fail to start task, err: can't read the certificate file ca.pem";
    for (id, target) in [("theirs", NO_CLIENT.to_owned()), ("ours", format!("{NO_CLIENT}-too"))] {
        let mut data = request();
        data["task_id"] = json!(id);
        data["milvus_connect_param"]["uri"] = json!(format!("http://{target}:19530"));
        service.done("create", data).await;
    }
    let task = service.until("theirs", |t| t["status"]["waiting"] == reason).await;
    assert_eq!(task["state"], "Running");
    let task = service.until("ours", |t| t["state"] == "Paused").await;
    assert_eq!(task["reason"], reason);
    assert_eq!(stored_state(&service, "theirs").await, 1);
}

#[tokio::test]
async fn a_task_without_auto_start_keeps_running_in_the_other_service() {
    let mut service = Harness::start().await;
    let mut data = request();
    data["task_id"] = json!("a");
    data["disable_auto_start"] = json!(true);
    service.done("create", data).await;
    service.stop().await;
    take_lease_for_another(&service, "target:19530").await;
    service.restart_only().await;
    service.until("a", |t| t["status"]["stage"] == "running").await;
    assert_eq!(stored_state(&service, "a").await, 1);
}

#[tokio::test]
async fn a_recreated_task_does_not_inherit_old_records() {
    let service = Harness::start().await;
    let keys = keys::of_task(service.store.as_ref(), "a").await.unwrap();
    let more = ["collection/a/1", "serving/a/1", "missed/a/1"].map(str::to_owned);
    let keys: Vec<String> = keys.into_iter().chain(more).collect();
    let puts = keys.iter().map(|k| (k.clone(), b"{}".to_vec())).collect();
    service.store.commit(Transaction { puts, ..Default::default() }).await.unwrap();
    service.create("a", "d.c").await;
    for key in keys {
        assert_eq!(service.store.get(&key).await.unwrap(), None, "{key}");
    }
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let mut service = Harness::start().await;
    service.create("fails", "d.a").await;
    let mut data = request();
    data["task_id"] = json!("waits");
    data["disable_auto_start"] = json!(true);
    service.done("create", data).await;
    service.stop().await;
    let before = service.store.list("").await.unwrap();
    service.config().dry_run = true;
    service.script.set_acts("fails", [Act::Fail(Error::permanent("the queue forgets too much"))]);
    service.restart_only().await;
    service.until("fails", |t| t["state"] == "Paused").await;
    service.until("waits", |t| t["state"] == "Paused").await;
    service.create("only_tried", "d.t").await;
    service.done("delete", json!({"task_id": "waits"})).await;
    service.stop().await;
    assert_eq!(service.store.list("").await.unwrap(), before);
}
