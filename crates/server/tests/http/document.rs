//! The OpenAPI document: it is complete, and the service does what it says. For the latter
//! Schemathesis makes up valid and invalid requests from the document and judges each answer by it.

use crate::scripted::collection;
use crate::support::Harness;
use serde_json::Value;
use std::process::Command;

/// What the tester expects beyond its own defaults.
const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/schemathesis.toml");

const TOKEN: &str = "the-token-of-the-tester";

#[tokio::test]
async fn the_document_and_its_page_come_out_of_the_binary() {
    let service = Harness::start().await;
    let (status, document) = service.get("/api/v1/openapi.json").await;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((status, &document["openapi"]), (200, &Value::from("3.1.0")));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document.get("security"), None, "no token is required");
    let mut examples = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{place} has no summary");
            assert!(operation["responses"]["500"].is_object(), "{place} never fails");
            if let Some(body) = operation.get("requestBody") {
                let example = &body["content"]["application/json"]["example"];
                let (status, answer) =
                    service.v1("POST", &path["/api/v1".len()..], example.clone()).await;
                assert!(status < 300, "{place} refuses its own example: {answer}");
                examples.push(path.as_str());
            }
        }
    }
    examples.sort_unstable();
    assert_eq!(examples, ["/api/v1/tasks", "/api/v1/tasks/check"]);
    let (status, page) = service.get("/api/v1/").await;
    let (_, script) = service.get("/api/v1/explorer.js").await;
    assert_eq!(status, 200);
    assert!(page.contains("/api/v1/explorer.js") && script.contains("/api/v1/openapi.json"));
    for text in [page, script] {
        assert!(!text.contains("://"), "nothing may come from elsewhere");
    }
}

#[tokio::test]
async fn the_service_does_what_its_document_says() {
    let service = Harness::start_with(&[
        ("MILVUS_CDC_API__MANAGETOKENS", TOKEN),
        ("MILVUS_CDC_MAXTASKNUM", "10000"),
    ])
    .await;
    *service.catalog.collections.lock().unwrap() =
        vec![collection(1, "sales", "orders"), collection(2, "default", "c")];
    let base = service.base().to_owned();
    let tested = tokio::task::spawn_blocking(move || {
        let python =
            lab::install_schemathesis().unwrap_or_else(|e| panic!("{}", lab::with_causes(&e)));
        let folder = tempfile::tempdir().unwrap();
        Command::new(python)
            .args(["-m", "schemathesis.cli", "--config-file", SETTINGS, "run", "--checks", "all"])
            // The same requests each time, so that a failure can be repeated.
            .args(["--generation-deterministic", "--max-examples", "30", "--workers", "1"])
            // A pause waits until an open window is finished, which takes up to ten seconds.
            .args(["--max-response-time", "15", "--request-timeout", "30", "--no-color"])
            .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
            .arg(format!("{base}/api/v1/openapi.json"))
            // It stores what it has learnt in the working directory.
            .current_dir(folder.path())
            .output()
            .unwrap()
    });
    let tested = tested.await.unwrap();
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}{}", String::from_utf8_lossy(&tested.stderr));
    println!("{said}");
}
