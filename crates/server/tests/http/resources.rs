//! `/api/v1`: tasks as resources, the requests on each, and problems that say what to do.

use crate::scripted::{Act, Clock, PROMOTED, collection};
use crate::support::{Harness, eventually, request};
use milvus_wire::ids::CollectionId;
use milvus_wire::position::{MessageId, encode_position};
use milvus_wire::timestamp::Timestamp;
use replication::error::Error;
use replication::ports::{Store, Transaction};
use replication::records::checkpoint::{OutOfStep, ReplicatedCollection, Stage};
use replication::unsupported::Missed;
use serde_json::{Value, json};

fn new_task(id: &str, database: &str, collection: &str) -> Value {
    json!({
        "task_id": id,
        "milvus_connect_param": {"uri": "http://target:19530", "token": "root:hunter2"},
        "db_collections": {database: [{"name": collection}]},
    })
}

#[tokio::test]
async fn a_task_is_created_shown_paused_resumed_and_deleted() {
    let service = Harness::start().await;
    assert_eq!(service.v1("GET", "/tasks", Value::Null).await, (200, json!({"tasks": []})));
    let create = service.on(reqwest::Method::POST, "/api/v1/tasks").json(&new_task("a", "d", "c"));
    let created = create.send().await.unwrap();
    assert_eq!(created.status(), 201);
    assert_eq!(created.headers()["location"], "/api/v1/tasks/a");
    assert_eq!(created.json::<Value>().await.unwrap(), json!({"task_id": "a"}));
    let again = service.v1("POST", "/tasks", new_task("a", "other", "x")).await;
    assert_eq!(again, (200, json!({"task_id": "a"})));

    let (status, task) = service.v1("GET", "/tasks/a", Value::Null).await;
    assert_eq!((status, &task["state"]), (200, &json!("Running")));
    assert_eq!(
        task["db_collections"],
        json!({"d": [
            {"name": "c", "positions": null, "use_start_position": false}
        ]})
    );
    // The same task in the other API, except for the time of each answer.
    let mut other = service.task("a").await;
    other["status"]["at_ms"] = task["status"]["at_ms"].clone();
    assert_eq!(other, task);

    assert_eq!(service.v1("POST", "/tasks/a/pause", Value::Null).await, (204, Value::Null));
    let (status, problem) = service.v1("POST", "/tasks/a/pause", Value::Null).await;
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")));
    assert_eq!(problem["detail"], "the task has paused, task_id: a");
    assert_eq!(service.v1("GET", "/tasks/a", Value::Null).await.1["state"], "Paused");
    assert_eq!(service.v1("POST", "/tasks/a/resume", Value::Null).await.0, 204);
    assert_eq!(service.v1("POST", "/tasks/a/resume", Value::Null).await.0, 409);
    assert_eq!(service.v1("DELETE", "/tasks/a", Value::Null).await, (204, Value::Null));
    for (method, path) in [
        ("GET", "/tasks/a"),
        ("DELETE", "/tasks/a"),
        ("POST", "/tasks/a/pause"),
        ("POST", "/tasks/a/resume"),
        ("GET", "/tasks/a/positions"),
        ("GET", "/tasks/a/lag"),
        ("GET", "/tasks/a/events"),
        ("GET", "/tasks/a/missed"),
        ("GET", "/tasks/a/collections"),
        ("GET", "/tasks/a/target"),
        ("POST", "/tasks/a/flush"),
        ("GET", "/tasks/%2e%2e%2fa"),
        ("GET", "/tasks/%ff"),
        ("GET", "/nothing"),
    ] {
        let (status, problem) = service.v1(method, path, Value::Null).await;
        assert_eq!((status, &problem["code"]), (404, &json!("unknown")), "{method} {path}");
    }
}

/// Tasks that are refused, with the status and the field that the answer names.
fn refused_tasks() -> Vec<(Value, u16, &'static str)> {
    let target = json!({"uri": "http://target:19530", "token": "root:hunter2"});
    let all = json!({"e": [{"name": "*"}]});
    vec![
        (json!({}), 422, "milvus_connect_param.uri"),
        (
            json!({"milvus_connect_param": {"uri": "ftp://hunter2"}, "db_collections": all}),
            422,
            "milvus_connect_param.uri",
        ),
        (json!({"milvus_connect_param": target}), 422, "db_collections"),
        (
            json!({"milvus_connect_param": target, "db_collections": {"e": []}}),
            422,
            "db_collections.e",
        ),
        (
            json!({"milvus_connect_param": target, "db_collections": all, "task_id": "check"}),
            422,
            "task_id",
        ),
        (
            json!({"milvus_connect_param": target, "db_collections": {"d": [{"name": "c"}]}}),
            409,
            "db_collections",
        ),
        (
            json!({
                "milvus_connect_param": {"uri": "http://target", "token": "x:y"},
                "db_collections": all,
            }),
            409,
            "milvus_connect_param",
        ),
        (
            json!({
                "milvus_connect_param": target,
                "db_collections": all,
                "name_mapping": [{"source_db": "z", "target_db": "y"}],
            }),
            422,
            "name_mapping",
        ),
        (
            json!({
                "milvus_connect_param": target,
                "db_collections": all,
                "rpc_channel_info": {"position": "hunter2"},
            }),
            422,
            "rpc_channel_info.position",
        ),
        (json!({"milvus_connect_param": {"port": "hunter2"}}), 400, "milvus_connect_param.port"),
        (json!({"milvus_connect_param": {"URI": "hunter2"}}), 400, "milvus_connect_param.URI"),
        (json!({"db_collections": {"d": [{"name": 5}]}}), 400, "db_collections.d[0].name"),
        (json!({"milvus_connect_param": ["hunter2"]}), 400, "milvus_connect_param"),
        (json!({"milvus_connect_param": {"port": 1.5}}), 400, "milvus_connect_param.port"),
        (json!([]), 400, ""),
    ]
}

#[tokio::test]
async fn a_refusal_names_field_and_remedy_and_shows_no_value() {
    let service = Harness::start().await;
    service.create("other", "d.c").await;
    for (body, status, field) in refused_tasks() {
        for path in ["/tasks", "/tasks/check"] {
            let (found, problem) = service.v1("POST", path, body.clone()).await;
            let named = problem["field"].as_str().unwrap_or_default();
            assert_eq!((found, named), (status, field), "{body}: {problem}");
            let shown = problem.to_string();
            assert!(!shown.contains("root:hunter2"), "{shown}");
            assert!(status != 400 || !shown.contains("hunter2"), "{shown}");
        }
    }
    let plain = service.on(reqwest::Method::POST, "/api/v1/tasks").body("{}");
    assert_eq!(crate::support::answered(plain.send().await.unwrap()).await.0, 415);
    let (status, problem) = service.v1("PUT", "/tasks", Value::Null).await;
    assert_eq!((status, &problem["code"]), (405, &json!("no_such_method")));
    let large = json!({"task_id": "x".repeat(1 << 20)});
    let (status, problem) = service.v1("POST", "/tasks", large).await;
    assert_eq!((status, &problem["code"]), (413, &json!("too_large")));
}

#[tokio::test]
async fn the_refusal_of_one_task_too_many_names_the_limit() {
    let service = Harness::start().await;
    for i in 0..5 {
        service.create(&format!("t{i}"), &format!("d.c{i}")).await;
    }
    let (status, problem) = service.v1("POST", "/tasks", new_task("more", "d", "x")).await;
    assert_eq!((status, &problem["code"]), (409, &json!("full")));
    assert!(problem["remedy"].as_str().unwrap().contains("maxTaskNum"), "{problem}");
}

#[tokio::test]
async fn the_events_of_a_task_are_listed() {
    let service = Harness::start().await;
    let fault = Error::transient("the queue of the source does not answer");
    service
        .script
        .set_acts("a", [Act::Fail(fault), Act::Fail(Error::permanent("set ttMsgEnabled"))]);
    service.create("a", "d.c").await;
    service.until("a", |t| t["status"]["stage"] == "stopped").await;
    let events = eventually(async || {
        let events = service.v1("GET", "/tasks/a/events", Value::Null).await.1;
        let last = events["events"].as_array().and_then(|e| e.last().cloned());
        match last.is_some_and(|e| e["event"] == "paused") {
            true => Ok(events),
            false => Err(events),
        }
    })
    .await;
    let events = events["events"].as_array().unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|e| (e["event"].as_str().unwrap(), e["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("running", ""),
            ("started", ""),
            ("retrying", "the queue of the source does not answer"),
            ("stopped", ""),
            ("paused", "set ttMsgEnabled"),
        ]
    );
    assert!(events.is_sorted_by_key(|e| e["at_ms"].as_u64().unwrap()), "{events:?}");
    assert!(events.iter().all(|e| e["times"] == 1), "{events:?}");
}

#[tokio::test]
async fn a_check_refuses_positions_of_collections_that_are_not_selected() {
    let service = Harness::start().await;
    *service.catalog.collections.lock().unwrap() = vec![collection(7, "d", "c")];
    let at = encode_position("src-rootcoord-dml_0", &MessageId::default());
    for (vchannel, status, what) in [
        ("src-rootcoord-dml_0_7v0", 200, ""),
        ("src-rootcoord-dml_0_8v0", 422, "of collection 8, and the source's is 7"),
        ("src-rootcoord-dml_1_7v0", 422, "none of its channels"),
    ] {
        let mut task = new_task("a", "d", "c");
        task["db_collections"]["d"][0]["positions"] = json!({vchannel: at});
        let (got, answer) = service.v1("POST", "/tasks/check", task).await;
        assert_eq!(got, status, "{answer}");
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(what), "{answer}");
    }
}

#[tokio::test]
async fn the_collections_of_a_task_are_those_it_replicates_and_those_it_selects() {
    let service = Harness::start().await;
    let mut task = new_task("a", "d", "*");
    task["name_mapping"] = json!([
        {"source_db": "d", "target_db": "e", "collection_mapping": {"taken": "renamed"}}
    ]);
    *service.catalog.collections.lock().unwrap() = vec![
        collection(1, "d", "taken"),
        collection(2, "d", "new"),
        collection(3, "other", "not_ours"),
    ];
    let (status, checked) = service.v1("POST", "/tasks/check", task.clone()).await;
    assert_eq!(status, 200, "{checked}");
    let names = |answer: &Value| -> Vec<String> {
        let list = answer["collections"].as_array().unwrap().iter();
        list.map(|c| format!("{} {}", c["collection"], c["state"]).replace('"', "")).collect()
    };
    assert_eq!(names(&checked), ["new selected", "taken selected"]);
    assert_eq!(checked["target"]["reachable"], false);
    assert_eq!(checked["target"]["reason"], "the target is away");
    assert_eq!(service.v1("GET", "/tasks/a", Value::Null).await.0, 404, "it was only checked");

    assert_eq!(service.v1("POST", "/tasks", task).await.0, 201);
    let mut stored = Transaction::default();
    covered(1, "taken", Stage::Live).put("a", &mut stored);
    covered(9, "gone", Stage::Awaited).put("a", &mut stored);
    let reason = "the target has one of that name".to_owned();
    let out_of_step = OutOfStep { reason, since: Timestamp::from_ms(1), unsure: Timestamp::ZERO };
    let out_of_step = Some(out_of_step);
    ReplicatedCollection { out_of_step, ..covered(10, "stays", Stage::Awaited) }
        .put("a", &mut stored);
    service.store.commit(stored).await.unwrap();
    let (_, shown) = service.v1("GET", "/tasks/a/collections", Value::Null).await;
    assert_eq!(
        names(&shown),
        ["gone awaited", "new selected", "stays out_of_step", "taken replicated"]
    );
    assert_eq!(shown["collections"][0]["source_state"], "dropped");
    assert_eq!(shown["collections"][2]["reason"], "the target has one of that name");
    assert_eq!(
        shown["collections"][3],
        json!({
            "collection_id": 1, "database": "d", "collection": "taken", "target_database": "e",
            "target_collection": "renamed", "state": "replicated", "source_state": "created",
        })
    );
}

/// A collection of a task, as it is stored.
fn covered(id: i64, name: &str, stage: Stage) -> ReplicatedCollection {
    ReplicatedCollection {
        id: CollectionId(id),
        database: "d".into(),
        name: name.into(),
        created: Timestamp::from_ms(1),
        vchannels: vec![format!("src-rootcoord-dml_0_{id}v0")],
        start: Default::default(),
        partitions: Default::default(),
        primary_key: 100,
        key_name: "id".to_owned(),
        stage,
        naming: Default::default(),
        by_name: false,
        target: String::new(),
        telling: Default::default(),
        there: None,
        out_of_step: None,
        flushed: None,
    }
}

#[tokio::test]
async fn what_a_task_replicates_is_flushed_and_told_one_by_one() {
    let service = Harness::start().await;
    service.targets.clocks.set("ready", &Clock::default());
    let mut task = json!({"milvus_connect_param": {"uri": "http://ready:19530", "token": "a:b"}});
    task["task_id"] = json!("a");
    task["db_collections"] = json!({"d": [{"name": "*"}]});
    assert_eq!(service.v1("POST", "/tasks", task).await.0, 201);
    let mut stored = Transaction::default();
    covered(1, "quick", Stage::Live).put("a", &mut stored);
    covered(2, "slow", Stage::Live).put("a", &mut stored);
    covered(3, "not_there_yet", Stage::Awaited).put("a", &mut stored);
    service.store.commit(stored).await.unwrap();
    let (status, answer) = service.v1("POST", "/tasks/a/flush", Value::Null).await;
    assert_eq!((status, &answer["flushed"]), (200, &json!(false)));
    let told: Vec<_> = answer["collections"].as_array().unwrap().iter().collect();
    let name = |it: &Value| format!("{} {}", it["target_collection"], it["flushed"]);
    let names: Vec<_> = told.iter().map(|it| name(it).replace('"', "")).collect();
    assert_eq!(names, ["quick true", "slow false"]);
    assert_eq!(told[1]["reason"], "it has not ended yet");
    assert!(told.iter().all(|it| it["upto_ms"].is_u64()), "{answer}");
}

#[tokio::test]
async fn requests_that_the_target_lacks_are_listed() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    let (status, empty) = service.v1("GET", "/tasks/a/missed", Value::Null).await;
    assert_eq!((status, empty), (200, json!({"missed": []})));
    let missed = |ms, [request, collection, detail]: [&str; 3]| Missed {
        at: Timestamp::from_ms(ms),
        request: request.into(),
        collection: collection.into(),
        detail: detail.into(),
    };
    let mut stored = Transaction::default();
    missed(7, ["LateInsert", "orders", "2 rows"]).put("a", &mut stored);
    missed(9, ["type 9", "", ""]).put("a", &mut stored);
    service.store.commit(stored).await.unwrap();
    let (_, listed) = service.v1("GET", "/tasks/a/missed", Value::Null).await;
    assert_eq!(
        listed["missed"],
        json!([
            {"at_ms": 7, "request": "LateInsert", "collection": "orders", "detail": "2 rows"},
            {"at_ms": 9, "request": "type 9", "collection": null},
        ])
    );
}

#[tokio::test]
async fn source_and_target_are_shown_with_whether_they_answer() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    let (_, source) = service.v1("GET", "/source", Value::Null).await;
    assert_eq!(source["queue_address"], "127.0.0.1:1");
    assert_eq!((&source["queue_state"], &source["catalog_state"]), (&json!("ok"), &json!("ok")));
    service.queue.away.store(true, std::sync::atomic::Ordering::SeqCst);
    let (_, source) = service.v1("GET", "/source", Value::Null).await;
    assert_eq!(source["queue_state"], "the queue is away");
    let (_, target) = service.v1("GET", "/tasks/a/target", Value::Null).await;
    assert_eq!(
        (&target["uri"], &target["reachable"]),
        (&json!("http://target:19530"), &json!(false))
    );
    let (_, version) = service.v1("GET", "/version", Value::Null).await;
    assert_eq!(version, json!({"version": env!("CARGO_PKG_VERSION")}));
    let (_, lag) = service.v1("GET", "/tasks/a/lag", Value::Null).await;
    assert_eq!((&lag["lag_seconds"], &lag["channels"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn a_target_says_whether_it_is_a_replica_and_which_proxies_it_has() {
    let service = Harness::start().await;
    service.create("away", "d.c").await;
    for host in ["standby", PROMOTED] {
        service.targets.clocks.set(host, &Clock::default());
        let mut body = request();
        body["task_id"] = json!(host);
        body["milvus_connect_param"]["uri"] = json!(format!("http://{host}"));
        let (status, created) = service.v1("POST", "/tasks", body).await;
        assert_eq!(status, 201, "{created}");
    }
    for (task, replica, proxies) in [
        ("away", Value::Null, json!([])),
        ("standby", json!(true), json!([7])),
        (PROMOTED, json!(false), json!([7])),
    ] {
        let (_, target) = service.v1("GET", &format!("/tasks/{task}/target"), Value::Null).await;
        assert_eq!((&target["replica"], &target["proxies"]), (&replica, &proxies), "{target}");
        assert_eq!(target["collection_id"], Value::Null, "it has none: {target}");
    }
}

#[tokio::test]
async fn both_apis_refuse_the_same_requests() {
    let service = Harness::start().await;
    let mut body = request();
    body["collection_infos"] = json!([{"name": "a_name_of_more_than_twenty"}]);
    let (_, message) = service.refused("create", body.clone()).await;
    let (status, problem) = service.v1("POST", "/tasks", body).await;
    assert_eq!((status, &problem["field"]), (422, &json!("collection_infos")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(message.ends_with(detail), "{message} and {detail}");
}

#[tokio::test]
async fn every_request_is_counted_under_known_labels() {
    let service = Harness::start().await;
    service.v1("GET", "/tasks/a", Value::Null).await;
    service.v1("BREW", "/tasks/a", Value::Null).await;
    service.v1("GET", "/made/up", Value::Null).await;
    let metrics = service.metrics().await;
    for labels in [
        "code=\"404\",method=\"GET\",path=\"/api/v1/tasks/{task_id}\"",
        "code=\"405\",method=\"other\",path=\"/api/v1/tasks/{task_id}\"",
        "code=\"404\",method=\"GET\",path=\"other\"",
    ] {
        let line = format!("milvus_cdc_http_requests_total{{{labels}}} 1");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}
