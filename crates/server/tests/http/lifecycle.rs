//! The life of a task: creation, pause, resume, deletion, and restarts of the service.

use crate::scripted::Act;
use crate::support::{Harness, request};
use replication::error::Error;
use replication::ports::{Store, Transaction};
use serde_json::json;

#[tokio::test]
async fn a_task_is_created_paused_resumed_and_deleted() {
    let service = Harness::start().await;
    let unknown = |kind: &'static str| {
        format!("fail to handle the {kind} request, error: not found the task, task_id: a")
    };
    for kind in ["pause", "resume", "delete"] {
        assert_eq!(service.refused(kind, json!({"task_id": "a"})).await, (400, unknown(kind)));
    }
    let gone = json!({"task_id": "a", "ignore_not_found": true});
    assert_eq!(service.ask("delete", gone).await, (200, json!({"code": 200})));
    let empty = service.refused("get", json!({})).await;
    assert_eq!(empty, (400, "fail to handle the get request, error: task_id is empty".into()));
    let missing = service.refused("get", json!({"task_id": "a"})).await;
    assert_eq!(missing, (400, "fail to handle the get request, error: not found: [a]".into()));

    service.create("a", "d.c").await;
    let task = service.task("a").await;
    assert_eq!((&task["state"], &task["status"]["stage"]), (&json!("Running"), &json!("running")));
    let running = service.refused("resume", json!({"task_id": "a"})).await;
    assert_eq!(
        running.1,
        "fail to handle the resume request, error: the task has running, task_id: a"
    );

    service.done("pause", json!({"task_id": "a"})).await;
    let task = service.task("a").await;
    assert_eq!((&task["state"], &task["status"]["stage"]), (&json!("Paused"), &json!("stopped")));
    assert_eq!(task["reason"], "manually pause through http interface");
    let paused = service.refused("pause", json!({"task_id": "a"})).await;
    assert_eq!(
        paused.1,
        "fail to handle the pause request, error: the task has paused, task_id: a"
    );

    service.done("resume", json!({"task_id": "a"})).await;
    let task = service.task("a").await;
    assert_eq!(task["state"], "Running");
    assert_eq!(task.get("reason"), None);
    assert_eq!(service.script.starts_of("a"), 2);

    service.done("delete", json!({"task_id": "a"})).await;
    assert_eq!(service.done("list", json!({})).await["tasks"], json!([]));
    assert_eq!(
        service.store.list("").await.unwrap().iter().filter(|(k, _)| k.contains("/a")).count(),
        0
    );
}

#[tokio::test]
async fn after_a_restart_a_paused_task_is_paused_and_a_running_one_runs() {
    let mut service = Harness::start().await;
    service.create("paused", "d.a").await;
    service.create("running", "d.b").await;
    service.done("pause", json!({"task_id": "paused"})).await;
    service.restart().await;
    service.until("running", |t| t["status"]["stage"] == "running").await;
    let paused = service.task("paused").await;
    assert_eq!(
        (&paused["state"], &paused["status"]["stage"]),
        (&json!("Paused"), &json!("stopped"))
    );
    assert_eq!(service.script.starts_of("paused"), 1);
    assert_eq!(service.script.starts_of("running"), 2);
}

#[tokio::test]
async fn a_task_without_auto_start_runs_at_first_and_is_paused_after_a_restart() {
    let mut service = Harness::start().await;
    let mut data = request();
    data["task_id"] = json!("a");
    data["disable_auto_start"] = json!(true);
    service.done("create", data).await;
    assert_eq!(service.task("a").await["status"]["stage"], "running");
    service.restart().await;
    let task = service.until("a", |t| t["state"] == "Paused").await;
    assert_eq!(task["reason"], "the task is disabled auto start");
    assert_eq!(service.script.starts_of("a"), 1);
}

#[tokio::test]
async fn a_task_that_does_not_stop_is_cut_off_and_only_then_deleted() {
    let service = Harness::start().await;
    service.script.set_acts("a", [Act::Deaf]);
    service.create("a", "d.c").await;
    service.done("delete", json!({"task_id": "a"})).await;
    assert_eq!(service.done("list", json!({})).await["tasks"], json!([]));
}

#[tokio::test]
async fn a_deletion_removes_all_that_is_stored_of_a_task() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.done("pause", json!({"task_id": "a"})).await;
    let keys = replication::records::keys::of_task(service.store.as_ref(), "a").await.unwrap();
    let puts = keys.iter().map(|k| (k.clone(), b"{}".to_vec())).collect();
    service.store.commit(Transaction { puts, ..Default::default() }).await.unwrap();
    service.done("delete", json!({"task_id": "a"})).await;
    for key in keys {
        assert_eq!(service.store.get(&key).await.unwrap(), None, "{key}");
    }
}

#[tokio::test]
async fn a_record_of_a_newer_version_is_refused_and_does_not_hide_the_others() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    let stored = service.store.get("task/a").await.unwrap().unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&stored.value).unwrap();
    assert_eq!((&record["Version"], &record["TaskID"]), (&json!(1), &json!("a")));
    assert_eq!(record["State"], 1);
    record["Version"] = json!(2);
    let puts = vec![("task/newer".to_owned(), record.to_string().into_bytes())];
    service.store.commit(Transaction { puts, ..Default::default() }).await.unwrap();
    let list = service.done("list", json!({})).await;
    assert_eq!(list["tasks"].as_array().unwrap().len(), 1);
    assert!(list["broken"][0].as_str().unwrap().contains("version 2"), "{list}");
    let (code, message) = service.refused("get", json!({"task_id": "newer"})).await;
    assert_eq!(code, 500);
    assert!(message.contains("newer milvus-cdc"), "{message}");
    assert!(!message.contains("hunter2"));
}

#[tokio::test]
async fn a_record_of_the_go_tool_can_be_read() {
    let service = Harness::start().await;
    let record = json!({
        "TaskID": "go", "MilvusConnectParam": {"host": "", "port": 0, "enable_tls": false,
            "uri": "http://127.0.0.1:19531", "token": "root:Milvus", "dial_config": {},
            "channel_num": 16, "ignore_partition": false, "connect_timeout": 10},
        "KafkaConnectParam": {"address": "", "topic": "", "enable_sasl": false, "sasl": {}},
        "WriterCacheConfig": {"period": 0, "size": 0}, "CollectionInfos": null,
        "DBCollections": {"*": [{"name": "*", "positions": null, "use_start_position": false}]},
        "NameMapping": null, "RPCRequestChannelInfo": {"name": "", "position": ""},
        "ExtraInfo": {"enable_user_role": false}, "ExcludeCollections": null,
        "DisableAutoStart": false, "State": 1, "Reason": "",
    });
    let puts = vec![("task/go".to_owned(), record.to_string().into_bytes())];
    service.store.commit(Transaction { puts, ..Default::default() }).await.unwrap();
    assert_eq!(service.task("go").await["db_collections"]["*"][0]["name"], "*");
}

#[tokio::test]
async fn stopping_the_service_stops_its_tasks_and_they_are_still_stored_as_running() {
    let mut service = Harness::start().await;
    service.create("a", "d.c").await;
    service.script.set_acts("b", [Act::Fail(Error::transient("away"))]);
    service.create("b", "d.b").await;
    service.stop().await;
    let stored = service.store.get("task/a").await.unwrap().unwrap();
    let record: serde_json::Value = serde_json::from_slice(&stored.value).unwrap();
    assert_eq!(record["State"], 1);
}
