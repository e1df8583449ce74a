//! The examples that use the API (`examples/`), run as a user runs them against the service: they
//! do what they say, explain what fails, and end with an exit code that a script can rely on.

use crate::support::Harness;
use lab::Examples;
use milvus_wire::timestamp::Timestamp;
use replication::observer::Event;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::Ordering;

const CURL: &str = "curl/task.sh";
const PYTHON: &str = "python/task.py";
const RUST: &str = "example-task";
const ALL: [&str; 3] = [CURL, PYTHON, RUST];

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Runs an example against a service; answers its exit code, its output and its errors.
async fn run_at(
    server: &str,
    token: Option<&str>,
    program: &'static str,
    arguments: &[&str],
) -> (i32, String, String) {
    let owned = |text: &&str| (*text).to_owned();
    let arguments: Vec<String> = arguments.iter().map(owned).collect();
    let (server, token) = (server.to_owned(), token.map(str::to_owned));
    let ran = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut environment = vec![("MILVUS_CDC_SERVER", server.as_str())];
        environment.extend(token.as_deref().map(|token| ("MILVUS_CDC_API_TOKEN", token)));
        Examples::install()?.run(program, &arguments, &environment)
    });
    let Output { status, stdout, stderr } =
        ran.await.unwrap().unwrap_or_else(|e| panic!("{}", lab::with_causes(&e)));
    let [out, errors] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    (status.code().unwrap(), out, errors)
}

async fn run(
    service: &Harness,
    program: &'static str,
    arguments: &[&str],
) -> (i32, String, String) {
    run_at(service.base(), None, program, arguments).await
}

fn request(name: &str) -> String {
    Examples::file(&format!("tasks/{name}.json")).to_str().unwrap().to_owned()
}

/// Runs an example that has to succeed; its output.
async fn done(service: &Harness, program: &'static str, arguments: &[&str]) -> String {
    let (code, out, errors) = run(service, program, arguments).await;
    assert_eq!(code, 0, "{program} {arguments:?}: {out}{errors}");
    out
}

/// Runs an example that has to fail; what it says.
async fn failed(service: &Harness, program: &'static str, arguments: &[&str]) -> String {
    let (code, out, errors) = run(service, program, arguments).await;
    assert_eq!((code, out.as_str()), (1, ""), "{program} {arguments:?}: {errors}");
    errors
}

async fn a_task_lives_its_life_by(program: &'static str) {
    let service = Harness::start().await;
    let checked = done(&service, program, &["check", &request("to-milvus")]).await;
    let checked: Value = serde_json::from_str(&checked).unwrap();
    assert_eq!(checked["target"]["reachable"], false);
    assert_eq!(done(&service, program, &["create", &request("to-milvus")]).await, "orders\n");
    assert_eq!(service.task("orders").await["state"], "Running");

    service.queue.newest_ms.store(100_000, Ordering::SeqCst);
    service.script.event("orders", Event::Joined("p_0"));
    let acknowledge = |ms: u64| {
        let tick = Timestamp::from_ms(ms);
        service.script.event("orders", Event::Acknowledged { channel: "p_0", tick });
    };
    acknowledge(90_000);
    let errors = failed(&service, program, &["watch", "orders", "1"]).await;
    assert!(errors.contains("the time is up: it lags by"), "{errors}");
    acknowledge(100_000);
    assert_eq!(done(&service, program, &["watch", "orders"]).await, "caught up\n");

    done(&service, program, &["pause", "orders"]).await;
    assert_eq!(service.task("orders").await["state"], "Paused");
    let errors = failed(&service, program, &["watch", "orders"]).await;
    assert!(errors.contains("the task is paused: manually pause"), "{errors}");
    done(&service, program, &["resume", "orders"]).await;
    assert_eq!(service.task("orders").await["state"], "Running");
    done(&service, program, &["delete", "orders"]).await;
    assert_eq!(service.done("list", json!({})).await["tasks"], json!([]));
}

#[tokio::test]
async fn a_task_lives_its_life_by_curl() {
    a_task_lives_its_life_by(CURL).await;
}

#[tokio::test]
async fn a_task_lives_its_life_by_python() {
    a_task_lives_its_life_by(PYTHON).await;
}

#[tokio::test]
async fn a_task_lives_its_life_by_rust() {
    a_task_lives_its_life_by(RUST).await;
}

#[tokio::test]
async fn every_request_of_the_examples_is_accepted() {
    let service = Harness::start().await;
    let files = std::fs::read_dir(Examples::file("tasks")).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 3);
    for file in files {
        let request = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let (status, answer) = service.v1("POST", "/tasks", request).await;
        assert_eq!((status, answer.get("warnings")), (201, None), "{file:?}: {answer}");
    }
}

#[tokio::test]
async fn the_examples_say_why_they_fail() {
    let service = Harness::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("request.json");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for program in ALL {
        write(r#"{"milvus_connect_param": {"uri": "http://standby:19530"}}"#);
        let errors = failed(&service, program, &["create", file]).await;
        let remedy = "the collection info is empty. name a collection";
        assert!(errors.contains("422") && errors.contains(remedy), "{program}: {errors}");
        write("not JSON");
        let errors = failed(&service, program, &["create", file]).await;
        assert!(errors.contains("refused with status 400"), "{program}: {errors}");
        let missing = Path::new(file).with_file_name("missing.json");
        let errors = failed(&service, program, &["create", missing.to_str().unwrap()]).await;
        assert!(errors.contains("missing.json"), "{program}: {errors}");
        let errors = failed(&service, program, &["watch", "nobody"]).await;
        assert!(errors.contains("404") && errors.contains("nobody"), "{program}: {errors}");
        let (code, _, errors) = run_at(NOWHERE, None, program, &["pause", "orders"]).await;
        let why = format!("no answer from {NOWHERE}");
        assert!(code == 1 && errors.contains(&why), "{program}: {code}: {errors}");
        assert_eq!(run(&service, program, &["create"]).await.0, 2, "{program}");
        assert_eq!(run(&service, program, &["unknown", "orders"]).await.0, 2, "{program}");
    }
}

#[tokio::test]
async fn the_examples_send_the_token_that_they_are_given() {
    let token = "the-token-of-the-examples";
    let service = Harness::start_with(&[("MILVUS_CDC_API__MANAGETOKENS", token)]).await;
    for program in ALL {
        let errors = failed(&service, program, &["pause", "orders"]).await;
        assert!(errors.contains("refused with status 401"), "{program}: {errors}");
        let arguments = ["pause", "orders"];
        let (code, _, errors) = run_at(service.base(), Some(token), program, &arguments).await;
        assert!(code == 1 && errors.contains("404"), "{program}: {errors}");
    }
}
