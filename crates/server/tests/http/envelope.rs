//! The envelope: every class of error, and the shapes of the answers.

use crate::support::{Harness, request};
use serde_json::json;

#[tokio::test]
async fn only_post_is_answered() {
    let service = Harness::start().await;
    for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE] {
        let (status, body) = service.method(method).await;
        assert_eq!(status, 405);
        assert_eq!(body, json!({"code": 405, "message": "only support the POST method"}));
    }
}

#[tokio::test]
async fn a_body_that_is_not_a_request_is_refused_and_not_quoted() {
    let service = Harness::start().await;
    for body in
        ["", "hunter2", "[1]", "\"x\"", "{\"request_type\": 7}", "{\"request_type\": \"list\""]
    {
        let (status, answer) = service.send(body).await;
        assert_eq!((status, &answer["code"]), (500, &json!(500)), "{body}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.starts_with("fail to unmarshal the request, error: "), "{message}");
        assert!(!message.contains("hunter2"));
    }
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let service = Harness::start().await;
    let (status, answer) = service.send(vec![b'x'; (1 << 20) + 1]).await;
    assert_eq!(status, 413);
    let message = answer["message"].as_str().unwrap();
    assert!(message.starts_with("fail to read the request body, error: "), "{message}");
}

#[tokio::test]
async fn the_refusal_of_an_unknown_request_type_lists_the_known_ones() {
    let service = Harness::start().await;
    for kind in ["nonsense", "", "Create"] {
        let (code, message) = service.refused(kind, json!({})).await;
        assert_eq!(code, 400);
        assert_eq!(
            message,
            "invalid 'request_type' param, can be set \
             [create delete pause resume get position list maintenance]"
        );
    }
}

#[tokio::test]
async fn data_of_another_type_is_refused_by_name() {
    let service = Harness::start().await;
    let mut wrong = request();
    wrong["milvus_connect_param"]["port"] = json!("19530");
    wrong["milvus_connect_param"]["token"] = json!(5);
    let (code, message) = service.refused("create", wrong).await;
    assert_eq!(code, 500);
    assert!(message.starts_with("fail to decode the create request, error: "), "{message}");
    assert!(message.contains("'milvus_connect_param.port' expected type 'int'"), "{message}");
    assert!(message.contains("'milvus_connect_param.token' expected type 'string'"), "{message}");
    for (kind, data) in [
        ("get", json!({"task_id": 1})),
        ("delete", json!({"ignore_not_found": "yes"})),
        ("list", json!([])),
        ("create", json!({"collection_infos": {"name": "c"}})),
        ("create", json!({"db_collections": {"d": [7]}})),
    ] {
        let (code, message) = service.refused(kind, data).await;
        assert_eq!(code, 500);
        let start = format!("fail to decode the {kind} request, error: ");
        assert!(message.starts_with(&start), "{message}");
    }
}

#[tokio::test]
async fn keys_may_have_any_case_and_unknown_ones_are_ignored() {
    let service = Harness::start().await;
    let data = json!({
        "Task_Id": "a",
        "MILVUS_CONNECT_PARAM": {"Uri": "http://t", "Port": 19530.0, "new": 1},
        "Collection_Infos": [{"NAME": "c", "positions": null}],
        "something": ["else"],
        "positions": {"deprecated": true},
    });
    assert_eq!(service.done("create", data).await, json!({"task_id": "a"}));
    let task = service.task("a").await;
    assert_eq!(task["milvus_connect_param"]["uri"], "http://t");
    assert_eq!(task["milvus_connect_param"]["port"], 19530);
}

#[tokio::test]
async fn answers_have_the_shapes_of_the_go_tool() {
    let service = Harness::start().await;
    assert_eq!(
        service.ask("list", json!(null)).await,
        (200, json!({"code": 200, "data": {"tasks": []}}))
    );
    let list = service.send(r#"{"request_type":"list"}"#).await;
    assert_eq!(list.1["data"]["tasks"], json!([]));

    let id = service.done("create", request()).await["task_id"].clone();
    let id = id.as_str().unwrap();
    assert_eq!(id.len(), 32);
    assert!(id.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase()), "{id}");

    let task = service.task(id).await;
    assert_eq!(task["task_id"], id);
    assert_eq!(task["state"], "Running");
    assert_eq!(task.get("reason"), None);
    assert_eq!(task["db_collections"], json!(null));
    assert_eq!(
        task["collection_infos"],
        json!([{"name": "c", "positions": null, "use_start_position": false}])
    );
    assert_eq!(
        task["milvus_connect_param"],
        json!({
            "host": "", "port": 0, "enable_tls": false, "uri": "http://target:19530",
            "dial_config": {}, "channel_num": 0, "ignore_partition": false, "connect_timeout": 0,
        })
    );
    assert_eq!(
        task["kafka_connect_param"],
        json!({"address": "", "topic": "", "enable_sasl": false, "sasl": {}})
    );
    assert_eq!(service.done("list", json!({})).await["tasks"][0]["task_id"], id);

    let nothing = json!({"positions": null, "op_positions": null, "target_positions": null});
    for id in ["unknown", ""] {
        assert_eq!(service.done("position", json!({"task_id": id})).await, nothing);
    }
    for kind in ["pause", "resume", "delete"] {
        assert_eq!(service.ask(kind, json!({"task_id": id})).await, (200, json!({"code": 200})));
    }
}

#[tokio::test]
async fn maintenance_is_answered_with_a_sentence() {
    let service = Harness::start().await;
    for (operation, params, sentence) in [
        ("set_log_level", json!({"log_level": "debug"}), "set log level to debug"),
        ("set_log_level", json!({}), "log_level is required"),
        ("set_log_level", json!({"log_level": "loud"}), "parse log level failed: "),
        ("set_force_log_msg", json!({}), "force is required"),
        ("set_force_log_msg", json!({"force": 1}), "parse force failed: "),
        ("set_force_log_msg", json!({"force": true}), "set_force_log_msg has no effect"),
        ("reset_log_msg", json!({"duration": 1}), "count is required"),
        ("reset_log_msg", json!({"count": 1}), "duration is required"),
        ("reset_log_msg", json!({"count": 1, "duration": 1}), "reset_log_msg has no effect"),
        ("dance", json!(null), "unsupported operation: dance"),
    ] {
        let data =
            service.done("maintenance", json!({"operation": operation, "params": params})).await;
        let said = data["State"].as_str().unwrap();
        assert!(said.starts_with(sentence), "{operation}: {said}");
    }
}

#[tokio::test]
async fn the_answer_to_an_unknown_path_names_the_known_ones() {
    let service = Harness::start().await;
    let (status, body) = service.get("/nowhere").await;
    assert_eq!(status, 404);
    assert!(body.contains("POST /cdc"), "{body}");
}
