//! The options of a task: both APIs read each one alike, the record keeps it, and the task shows
//! it.

use crate::support::Harness;
use replication::ports::Store;
use serde_json::{Value, json};

/// A request with every option of a task that writes to a Milvus.
fn to_a_milvus() -> Value {
    json!({
        "task_id": "a",
        "milvus_connect_param": {
            "uri": "https://target:19530",
            "token": "root:hunter2",
            "username": "root",
            "password": "hunter2",
            "host": "older",
            "port": 19530,
            "enable_tls": true,
            "dial_config": {
                "server_name": "target.internal",
                "server_pem_path": "/server.pem",
                "ca_pem_path": "/ca.pem",
                "client_pem_path": "/client.pem",
                "client_key_path": "/client.key",
            },
            "channel_num": 16,
            "ignore_partition": true,
            "connect_timeout": 5,
        },
        "buffer_config": {"period": 1, "size": 2},
        "collection_infos": [{"name": "plain", "positions": {}, "use_start_position": true}],
        "db_collections": {
            "sales": [{"name": "orders", "positions": {}, "use_start_position": false}],
        },
        "name_mapping": [{
            "source_db": "sales",
            "target_db": "sales_copy",
            "collection_mapping": {"orders": "orders_copy"},
        }],
        "rpc_channel_info": {"name": "src-replicate-msg"},
        "extra_info": {"enable_user_role": true},
        "disable_auto_start": true,
    })
}

/// The same for a task that writes to a Kafka.
fn to_a_kafka() -> Value {
    let mut task = to_a_milvus();
    task.as_object_mut().unwrap().remove("milvus_connect_param");
    task["kafka_connect_param"] = json!({
        "address": "kafka:9092",
        "topic": "{task}.{database}.{collection}",
        "enable_sasl": true,
        "sasl": {
            "username": "alice",
            "password": "hunter2",
            "mechanisms": "PLAIN",
            "security_protocol": "SASL_SSL",
        },
        "format": "change_event",
        "delivery": "exactly_once",
        "vectors": "base64",
        "tombstones": true,
        "events_topic": "{task}.schema",
        "partitions": 3,
        "replication_factor": 2,
        "producer": {"linger.ms": "5"},
    });
    task
}

/// The record of the task `a`.
async fn stored(service: &Harness) -> Value {
    let stored = service.store.get("task/a").await.unwrap().unwrap();
    serde_json::from_slice(&stored.value).unwrap()
}

/// A new option that one of the places forgets makes this fail.
#[tokio::test]
async fn every_option_of_a_task_is_read_by_both_apis_stored_and_shown() {
    let service = Harness::start().await;
    let document: Value =
        serde_json::from_str(&service.get("/api/v1/openapi.json").await.1).unwrap();
    let documented = |schema: &str| {
        let properties = &document["components"]["schemas"][schema]["properties"];
        properties.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    for (task, param, schema) in [
        (to_a_milvus(), "milvus_connect_param", "NewTarget"),
        (to_a_kafka(), "kafka_connect_param", "NewKafka"),
    ] {
        let options = task[param].as_object().unwrap();
        assert_eq!(options.keys().cloned().collect::<Vec<_>>(), documented(schema));

        let (status, answer) = service.v1("POST", "/tasks", task.clone()).await;
        assert_eq!(status, 201, "{answer}");
        let record = stored(&service).await;
        let (_, shown) = service.v1("GET", "/tasks/a", Value::Null).await;
        for (option, given) in options {
            match option.as_str() {
                "token" | "username" | "password" => assert_eq!(shown[param].get(option), None),
                "sasl" => assert_eq!(shown[param][option], json!({})),
                _ => assert_eq!(&shown[param][option], given, "{option} is not shown"),
            }
        }
        for option in ["collection_infos", "db_collections", "name_mapping", "disable_auto_start"] {
            assert_eq!(shown[option], task[option], "{option} is not shown");
        }
        service.done("delete", json!({"task_id": "a"})).await;

        service.done("create", task).await;
        assert_eq!(stored(&service).await, record, "the APIs read it differently");
        service.done("delete", json!({"task_id": "a"})).await;
    }
    let of_a_task: Vec<_> = documented("NewTask");
    let mut given: Vec<_> = to_a_milvus().as_object().unwrap().keys().cloned().collect();
    given.push("kafka_connect_param".into());
    given.sort_unstable();
    assert_eq!(given, of_a_task);
}
