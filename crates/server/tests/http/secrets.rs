//! Secrets are in the store, and nowhere else.

use crate::scripted::Act;
use crate::support::{Harness, request};
use replication::error::Error;
use replication::ports::Store;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex, Once};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The part of a log that no test has read yet.
struct Listening {
    log: Log,
    _subscriber: tracing::subscriber::DefaultGuard,
}

impl Listening {
    /// Captures the log of the current thread, which runs a whole test.
    fn start() -> Self {
        // If there is only one subscriber, `tracing` asks just the thread that reaches a place in
        // the code first whether anybody listens. If that thread runs another test, the place is
        // silent from then on. With an additional subscriber for all threads there are always two.
        static EVERYWHERE: Once = Once::new();
        EVERYWHERE.call_once(|| {
            tracing_subscriber::fmt().with_writer(std::io::sink).init();
        });
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .finish();
        Self { log, _subscriber: tracing::subscriber::set_default(subscriber) }
    }

    fn heard(&self) -> String {
        let log = String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("task created"), "{log}");
        log
    }
}

/// The stored record of a task has its secrets: the service must be able to log in.
async fn stored(service: &Harness, task: &str, secret: &str) {
    let stored = service.store.get(&format!("task/{task}")).await.unwrap().unwrap();
    let stored = String::from_utf8(stored.value).unwrap();
    assert!(stored.contains(secret), "{stored}");
}

fn hidden(seen: &[String], secrets: &[&str]) {
    for text in seen {
        for secret in secrets {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn a_line_that_another_test_logged_first_is_heard() {
    fn say() {
        tracing::info!("task created");
    }
    let log = Listening::start();
    std::thread::spawn(say).join().unwrap();
    say();
    assert_eq!(log.heard().matches("task created").count(), 1);
}

#[tokio::test]
async fn secrets_of_a_milvus_are_in_no_answer_no_log_and_no_metric() {
    let log = Listening::start();
    let service = Harness::start().await;
    service
        .script
        .set_acts("a", [Act::Fail(Error::transient("away")), Act::Fail(Error::permanent("no"))]);
    let mut data = request();
    data["task_id"] = json!("a");
    data["milvus_connect_param"] = json!({
        "uri": "http://target", "token": "root:hunter2", "username": "alice", "password": "hunter3",
    });
    let mut seen = vec![service.ask("create", data.clone()).await.1.to_string()];
    service.until("a", |t| t["state"] == "Paused").await;
    data["task_id"] = json!("b");
    seen.push(service.ask("create", data.clone()).await.1.to_string());
    data["milvus_connect_param"]["password"] = json!({"hunter3": "hunter3"});
    seen.push(service.ask("create", data.clone()).await.1.to_string());
    data["milvus_connect_param"] = json!({"uri": "http://root:hunter2@target"});
    seen.push(service.ask("create", data).await.1.to_string());
    stored(&service, "a", "hunter2").await;
    seen.extend(everything_shown(&service).await);
    seen.push(log.heard());
    hidden(&seen, &["hunter2", "hunter3", "alice"]);
}

#[tokio::test]
async fn secrets_of_a_kafka_are_in_no_answer_no_log_and_no_metric() {
    let log = Listening::start();
    let service = Harness::start().await;
    let sasl = json!({"username": "alice", "password": "hunter2", "security_protocol": "SASL_SSL"});
    let kafka = json!({
        "address": "b:9093", "topic": "t", "enable_sasl": true, "sasl": sasl,
        "producer": {"ssl.key.password": "hunter3", "compression.type": "lz4"},
    });
    let with = |more: Value| {
        let mut task = json!({
            "task_id": "a", "kafka_connect_param": kafka.clone(),
            "db_collections": {"default": [{"name": "c"}]},
        });
        for (key, value) in more.as_object().unwrap() {
            task["kafka_connect_param"][key] = value.clone();
        }
        task
    };
    let mut seen = vec![service.v1("POST", "/tasks", with(json!({}))).await.1.to_string()];
    stored(&service, "a", "hunter2").await;
    stored(&service, "a", "hunter3").await;
    // Both APIs refuse these, for different reasons.
    for wrong in [
        json!({}),
        json!({"producer": {"sasl.password": "hunter2", "sasl.username": "alice"}}),
        json!({"producer": {"ssl.key.pem": "hunter3", "linger.ms": "hunter2"}}),
        json!({"producer": {
            "ssl.keystore.location": "/hunter",
            "ssl.keystore.password": "hunter3",
        }}),
        json!({"sasl": {"password": ["hunter2"], "username": {"alice": "alice"}}}),
    ] {
        let mut task = with(wrong);
        task["task_id"] = json!("b");
        for path in ["/tasks", "/tasks/check"] {
            let (status, answer) = service.v1("POST", path, task.clone()).await;
            assert!(status >= 400, "{answer}");
            seen.push(answer.to_string());
        }
        let (status, answer) = service.ask("create", task).await;
        assert!(status >= 400, "{answer}");
        seen.push(answer.to_string());
    }
    let shown = service.task("a").await;
    assert_eq!(shown["kafka_connect_param"]["producer"]["ssl.key.password"], "***", "{shown}");
    assert_eq!(shown["kafka_connect_param"]["producer"]["compression.type"], "lz4", "{shown}");
    seen.extend(everything_shown(&service).await);
    seen.push(log.heard());
    hidden(&seen, &["hunter2", "hunter3", "alice"]);
}

/// What both APIs show of a task `a`, and their answers when it is changed and deleted.
async fn everything_shown(service: &Harness) -> Vec<String> {
    let mut seen = vec![service.metrics().await, service.get("/readyz").await.1];
    for path in [
        "",
        "/a",
        "/a/positions",
        "/a/lag",
        "/a/events",
        "/a/missed",
        "/a/collections",
        "/a/target",
    ] {
        seen.push(service.get(&format!("/api/v1/tasks{path}")).await.1);
    }
    for kind in ["get", "list", "position", "resume", "pause", "delete"] {
        seen.push(service.ask(kind, json!({"task_id": "a"})).await.1.to_string());
    }
    seen
}
