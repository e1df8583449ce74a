//! Another service on the same store has the target: what it decides of its tasks stands. And a dry
//! run, which decides nothing.

use crate::support::{Act, Harness, NO_CLIENT, request};
use replication::error::Error;
use replication::ports::{Store, Transaction};
use replication::records::keys;
use serde_json::json;

/// Lets another service have the lease on a target.
async fn give_away(service: &Harness, target: &str) {
    let lease = (format!("lease/{target}"), br#"{"holder":"another one"}"#.to_vec());
    let puts = vec![lease];
    service.store.commit(Transaction { puts, ..Default::default() }).await.unwrap();
}

async fn stored_state(service: &Harness, task: &str) -> serde_json::Value {
    let stored = service.store.get(&keys::task_key(task)).await.unwrap().unwrap();
    serde_json::from_slice::<serde_json::Value>(&stored.value).unwrap()["State"].take()
}

#[tokio::test]
async fn a_fault_of_one_that_waits_is_shown_and_stops_nobody() {
    let service = Harness::start().await;
    give_away(&service, "target:19530").await;
    let reason = "a file is missing on this machine";
    service.script.say("a", (0..1000).map(|_| Act::Fail(Error::permanent(reason))));
    service.create("a", "d.c").await;
    let task = service.until("a", |t| t["status"]["waiting"] == reason).await;
    assert_eq!(task["state"], "Running");
    assert_eq!(stored_state(&service, "a").await, 1);
    // The other one is gone, and nobody else can tell.
    let deletes = vec!["lease/target:19530".into()];
    service.store.commit(Transaction { deletes, ..Default::default() }).await.unwrap();
    let task = service.until("a", |t| t["state"] == "Paused").await;
    assert_eq!(task["reason"], reason);
}

#[tokio::test]
async fn a_task_that_could_not_start_here_is_left_to_the_other_one() {
    let service = Harness::start().await;
    give_away(&service, &format!("{NO_CLIENT}:19530")).await;
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
async fn a_task_that_does_not_start_by_itself_goes_on_where_it_runs() {
    let mut service = Harness::start().await;
    let mut data = request();
    data["task_id"] = json!("a");
    data["disable_auto_start"] = json!(true);
    service.done("create", data).await;
    service.stop().await;
    give_away(&service, "target:19530").await;
    service.restart_only().await;
    service.until("a", |t| t["status"]["stage"] == "running").await;
    assert_eq!(stored_state(&service, "a").await, 1);
}

#[tokio::test]
async fn what_a_task_has_left_behind_is_not_its_namesakes() {
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
    service.script.say("fails", [Act::Fail(Error::permanent("the queue forgets too much"))]);
    service.restart_only().await;
    service.until("fails", |t| t["state"] == "Paused").await;
    service.until("waits", |t| t["state"] == "Paused").await;
    service.create("only_tried", "d.t").await;
    service.done("delete", json!({"task_id": "waits"})).await;
    service.stop().await;
    assert_eq!(service.store.list("").await.unwrap(), before);
}
