//! `create`: every check and its words, what is derived from a request, limits, and overlaps.

use crate::scripted::FORGETFUL;
use crate::support::{Harness, request};
use base64::Engine;
use milvus_wire::ids::CollectionName;
use milvus_wire::position::{MessageId, encode_position};
use serde_json::{Value, json};

const HANDLE: &str = "fail to handle the create request, error: ";

/// The request with some values replaced; null removes one.
fn with(changes: Value) -> Value {
    let mut request = request();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(request.as_object_mut().unwrap().remove(key)),
            value => request[key] = value.clone(),
        }
    }
    request
}

fn milvus(param: Value) -> Value {
    with(json!({"milvus_connect_param": param}))
}

/// Asserts that each request is refused in these words and that nothing is stored.
async fn refused(cases: &[(Value, &str)]) {
    let service = Harness::start().await;
    for (data, detail) in cases {
        // To the Go tool, a position that can't be decoded is a fault of the server.
        let code = if detail.starts_with("fail to decode") { 500 } else { 400 };
        let (got, message) = service.refused("create", data.clone()).await;
        assert_eq!((got, message), (code, format!("{HANDLE}{detail}")), "{data}");
    }
    assert_eq!(service.done("list", json!({})).await["tasks"], json!([]), "nothing was stored");
}

#[tokio::test]
async fn every_check_of_the_target_has_the_words_of_the_go_tool() {
    let kafka = json!({"address": "b:9092", "topic": "t"});
    let only_kafka =
        |param: Value| with(json!({"milvus_connect_param": null, "kafka_connect_param": param}));
    let uri = "the milvus uri is invalid, nothing may follow the port: \
               write it as http(s)://host:port";
    let both = with(json!({"kafka_connect_param": kafka}));
    let odd = |key: &str, value: Value| {
        let mut odd = kafka.clone();
        odd[key] = value;
        only_kafka(odd)
    };
    let format = r#"kafka_connect_param.format is invalid, "avro" is not known"#;
    let partitions = "kafka_connect_param.partitions is invalid, -1 is not possible";
    let code = "kafka_connect_param.producer is invalid, plugin.library.paths can't be given";
    let brokers = "kafka_connect_param.producer is invalid, bootstrap.servers can't be given";
    let login = "cannot set only one of the milvus username and password";
    let timeout = "the milvus connect timeout is less zero";
    refused(&[
        (milvus(json!({})), "the downstream address is empty"),
        (both, "don't support milvus and kafka at the same time now"),
        (milvus(json!({"port": 1})), "the milvus host is empty"),
        (milvus(json!({"host": "h"})), "the milvus port is less or equal zero"),
        (milvus(json!({"uri": "t", "username": "u"})), login),
        (milvus(json!({"uri": "t", "connect_timeout": -1})), timeout),
        (milvus(json!({"uri": "http://t:1/x"})), uri),
        (only_kafka(json!({"address": "b"})), "the kafka topic is empty"),
        (odd("format", json!("avro")), format),
        (odd("partitions", json!(-1)), partitions),
        (odd("producer", json!({"plugin.library.paths": "/tmp/code.so"})), code),
        (odd("producer", json!({"bootstrap.servers": "c:9092"})), brokers),
        (with(json!({"buffer_config": {"period": -1}})), "the cache period is less zero"),
        (with(json!({"buffer_config": {"size": -1}})), "the cache size is less zero"),
    ])
    .await;
}

#[tokio::test]
async fn every_check_of_the_selection_has_the_words_of_the_go_tool() {
    let infos = |infos: Value| with(json!({"collection_infos": infos}));
    let databases = |databases: Value| with(json!({"db_collections": databases}));
    let long = "n".repeat(21);
    let long_names =
        format!("there are some collection names whose length exceeds 20 characters, [{long}]");
    let long_database = format!("the db name length exceeds 20 characters, {long}");
    let at = encode_position("p_0", &MessageId::default());
    let wildcard = "the collection name is `*`, the positions should be empty";
    let physical = "the position channel name is not virtual channel, p_0";
    let two = "the channel position info should be in the same collection";
    let no_base64 = "fail to decode the position data of p_0_44v0, \
                     not base64: Invalid symbol 37, offset 0.";
    let nothing = with(json!({"collection_infos": [], "db_collections": {}}));
    refused(&[
        (infos(json!(null)), "the collection info is empty"),
        (nothing, "the collection info is empty"),
        (databases(json!({"d": []})), "empty collection info"),
        (infos(json!([{"name": "*", "positions": {"p_0_44v0": at}}])), wildcard),
        (infos(json!([{"name": "c", "positions": {"p_0": at}}])), physical),
        (infos(json!([{"name": ""}])), "there is a collection name that is empty. "),
        (infos(json!([{"name": long}])), &long_names),
        (databases(json!({&long: [{"name": "c"}]})), &long_database),
        (infos(json!([{"name": "c", "positions": {"p_v0": at}}])), "the vchannel is invalid, p_v0"),
        (infos(json!([{"name": "c", "positions": {"p_0_44v0": at, "p_1_45v1": at}}])), two),
        (infos(json!([{"name": "c", "positions": {"p_0_44v0": "%"}}])), no_base64),
    ])
    .await;
}

#[tokio::test]
async fn every_check_of_names_and_the_op_channel_has_the_words_of_the_go_tool() {
    let rpc = |info: Value| with(json!({"rpc_channel_info": info}));
    let map = |rule: Value| with(json!({"name_mapping": [rule]}));
    let channel =
        "the rpc channel is invalid, the channel name should be the same as the source config";
    let no_base64 =
        "fail to decode the rpc position data, not base64: Invalid symbol 37, offset 0.";
    let outside =
        "the collection name in the name mapping is not in the collection info, checkout it";
    let star = "the name mapping is invalid, \"*\": write names of 1 to 20 characters, \
                `*` is not one";
    let id = "the task_id is invalid, write 1 to 128 letters, digits, - or _";
    let to = |source: &str, target: &str| {
        map(json!({"source_db": "", "target_db": "x", "collection_mapping": {source: target}}))
    };
    refused(&[
        (rpc(json!({"name": "other"})), channel),
        (rpc(json!({"position": "%"})), no_base64),
        (map(json!({"source_db": "other", "target_db": "x"})), outside),
        (to("d", "e"), outside),
        (to("c", "*"), star),
        (with(json!({"task_id": "../escape"})), id),
        (with(json!({"task_id": "x".repeat(129)})), id),
    ])
    .await;
}

#[tokio::test]
async fn several_selectors_and_both_forms_are_one_task() {
    let service = Harness::start().await;
    let position = encode_position("p_0", &MessageId(vec![7, 0, 0, 0, 0, 0, 0, 0].into()));
    let rpc = encode_position("src-replicate-msg", &MessageId(vec![9].into()));
    service
        .done(
            "create",
            with(json!({
                "task_id": "several",
                "collection_infos": [
                    {"name": "a", "positions": {"p_0_44v0": position}},
                    {"name": "b", "use_start_position": true},
                ],
                "db_collections": {"d": [{"name": "*"}], "e": [{"name": "x"}, {"name": "y"}]},
                "name_mapping": [{"source_db": "d", "target_db": "z"}],
                "rpc_channel_info": {"name": "src-replicate-msg", "position": rpc},
                "milvus_connect_param": {"uri": "http://t", "ignore_partition": true},
            })),
        )
        .await;
    let task = service.script.tasks.lock().unwrap()["several"].clone();
    let selection = &task.selection;
    assert_eq!(selection.selectors.len(), 5);
    let a = selection.find("default", "a").unwrap();
    assert_eq!(a.positions["p_0_44v0"].0[..], [7, 0, 0, 0, 0, 0, 0, 0]);
    assert!(selection.find("default", "b").unwrap().use_start_position);
    assert!(selection.find("d", "anything").is_some());
    assert!(selection.find("e", "z").is_none());
    assert_eq!(task.names.collection("d", "q"), CollectionName::new("z", "q"));
    assert_eq!(task.op_channel, "src-replicate-msg");
    assert_eq!(task.op_position.unwrap().0[..], [9]);
    assert!(task.ignore_partition);
    assert!(base64::engine::general_purpose::STANDARD.decode(rpc).is_ok());
}

#[tokio::test]
async fn creating_a_known_id_again_makes_no_second_task() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.create("a", "e.f").await;
    assert_eq!(service.task("a").await["db_collections"]["d"][0]["name"], "c");
    assert_eq!(service.done("list", json!({})).await["tasks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_collection_of_another_task_is_a_duplicate_under_every_spelling_of_the_target() {
    let service = Harness::start().await;
    let on = |uri: &str, database: &str, name: &str| {
        with(json!({
            "milvus_connect_param": {"uri": uri},
            "collection_infos": null,
            "db_collections": {database: [{"name": name}]},
        }))
    };
    service.done("create", on("http://LOCALHOST", "d", "c")).await;
    for uri in ["http://localhost:19530", "127.0.0.1:19530", "http://127.0.0.1"] {
        let (code, message) = service.refused("create", on(uri, "d", "c")).await;
        let detail = "the collection name is duplicate with existing task, [d.c]";
        assert_eq!((code, message), (400, format!("{HANDLE}{detail}")));
    }
    service.done("create", on("http://elsewhere", "d", "c")).await;

    let wildcard = service.done("create", on("http://localhost", "*", "*")).await;
    let wildcard = service.task(wildcard["task_id"].as_str().unwrap()).await;
    assert_eq!(wildcard["exclude_collections"], json!(["d.c"]));
    let (_, message) = service.refused("create", on("http://localhost", "x", "y")).await;
    assert!(message.ends_with("[x.y]"), "{message}");
}

#[tokio::test]
async fn a_collection_of_another_task_is_a_duplicate_in_a_topic_that_may_be_the_same() {
    let service = Harness::start().await;
    let into = |address: &str, topic: &str| {
        let kafka = json!({"address": address, "topic": topic, "format": "change_event"});
        with(json!({"milvus_connect_param": null, "kafka_connect_param": kafka}))
    };
    let each = "{task}.{database}.{collection}";
    service.done("create", into("a:9092,b:9092", each)).await;
    service.done("create", into("a:9092,b:9092", each)).await;
    service.done("create", into("a:9092,b:9092", "x.{collection}")).await;
    for (address, topic) in [("B:9092", "x.{collection}"), ("a", "x.c"), ("b", "x.{database}")] {
        let (_, message) = service.refused("create", into(address, topic)).await;
        assert!(message.contains("is duplicate with existing task, [default.c]"), "{message}");
    }
    service.done("create", into("c:9092", "x.{collection}")).await;
}

#[tokio::test]
async fn a_deleted_task_no_longer_counts() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.done("delete", json!({"task_id": "a"})).await;
    service.create("b", "*.*").await;
    assert_eq!(service.task("b").await["exclude_collections"], json!(null));
}

#[tokio::test]
async fn only_one_task_of_a_target_may_replicate_users_and_roles() {
    let service = Harness::start().await;
    let asking = |name: &str| {
        with(
            json!({"collection_infos": [{"name": name}], "extra_info": {"enable_user_role": true}}),
        )
    };
    let data = service.done("create", asking("a")).await;
    let warnings = data["warnings"].as_array().unwrap();
    assert!(warnings.len() == 1 && warnings[0].as_str().unwrap().contains("2.3"), "{data}");
    let (code, message) = service.refused("create", asking("b")).await;
    assert_eq!((code, message), (400, format!("{HANDLE}the enable user role param is duplicate")));
}

#[tokio::test]
async fn an_option_without_effect_is_a_warning() {
    let service = Harness::start().await;
    let mut idle = with(json!({"buffer_config": {"period": 1, "size": 1}}));
    idle["milvus_connect_param"]["channel_num"] = json!(16);
    let warnings = service.done("create", idle).await["warnings"].to_string();
    for key in ["buffer_config", "channel_num"] {
        assert!(warnings.contains(&format!("{key} has no effect")), "{warnings}");
    }
    let plain = with(json!({"collection_infos": [{"name": "other"}]}));
    assert_eq!(service.done("create", plain).await.get("warnings"), None);
}

#[tokio::test]
async fn one_target_has_one_login() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    let mut other = with(json!({"collection_infos": [{"name": "x"}]}));
    other["milvus_connect_param"]["token"] = json!("root:other");
    let (code, message) = service.refused("create", other).await;
    assert_eq!(code, 400);
    assert!(message.contains("differ from those of task a"), "{message}");
    assert!(!message.contains("other") && !message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn no_more_tasks_than_configured_are_created() {
    let service = Harness::start().await;
    for i in 0..5 {
        service.create(&format!("t{i}"), &format!("d.c{i}")).await;
    }
    let (code, message) = service.refused("create", request()).await;
    assert_eq!((code, message), (500, format!("{HANDLE}the task num has reach the limit, 5")));
}

#[tokio::test]
async fn of_two_simultaneous_creations_one_gets_the_collection() {
    let service = Harness::start().await;
    let all = futures::future::join_all((0..20).map(|_| service.ask("create", request()))).await;
    let done = all.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(done, 1, "{all:?}");
}

/// Such a target answers that it has done what it may lose.
#[tokio::test]
async fn a_target_whose_version_loses_rows_at_its_restarts_is_warned_of() {
    let service = Harness::start().await;
    let forgetful = milvus(json!({"host": FORGETFUL, "port": 19530}));
    let data = service.done("create", forgetful).await;
    let warnings = data["warnings"].to_string();
    assert!(warnings.contains("not flushed when it restarts (before 2.3.19"), "{data}");
}
