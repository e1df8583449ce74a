//! Secrets: in the store, and nowhere else.

use crate::support::{Act, Harness, request};
use replication::error::Error;
use replication::ports::Store;
use serde_json::json;
use std::io::Write;
use std::sync::{Arc, Mutex};
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

#[tokio::test]
async fn secrets_are_in_no_answer_no_log_and_no_metric() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // The current thread runs all of this test.
    let _logging = tracing::subscriber::set_default(subscriber);
    let service = Harness::start().await;
    service
        .script
        .say("a", [Act::Fail(Error::transient("away")), Act::Fail(Error::permanent("no"))]);
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
    for kind in ["get", "list", "position", "resume", "pause", "delete"] {
        seen.push(service.ask(kind, json!({"task_id": "a"})).await.1.to_string());
        if kind == "list" {
            seen.push(service.metrics().await);
            seen.push(service.get("/readyz").await.1);
            let stored = service.store.get("task/a").await.unwrap().unwrap();
            let stored = String::from_utf8(stored.value).unwrap();
            assert!(stored.contains("hunter2"), "the service must be able to log in: {stored}");
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("task created"), "{log}");
    seen.push(log);
    for text in seen {
        for secret in ["hunter2", "hunter3", "alice"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
