//! Tokens: who may read, who may change, and which paths need no token.

use crate::support::{Harness, answered, request};
use reqwest::Method;
use serde_json::{Value, json};

const READ: &str = "the-token-of-the-reader";
const MANAGE: &str = "the-token-of-the-manager";

async fn secured() -> Harness {
    Harness::start_with(&[
        ("MILVUS_CDC_API__READTOKENS", READ),
        ("MILVUS_CDC_API__MANAGETOKENS", &format!("another-manager-token,{MANAGE}")),
    ])
    .await
}

async fn status(service: &Harness, method: Method, path: &str, token: Option<&str>) -> u16 {
    let mut request = service.on(method, path);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn one_token_allows_reading_and_the_other_allows_changes() {
    let service = secured().await;
    for token in [None, Some("the-token-of-nobody"), Some("")] {
        let mut request = service.on(Method::GET, "/api/v1/tasks");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (status, problem) = answered(response).await;
        assert_eq!((status, &problem["code"]), (401, &json!("no_token")));
        assert_eq!(self::status(&service, Method::DELETE, "/api/v1/tasks/a", token).await, 401);
    }
    assert_eq!(status(&service, Method::GET, "/api/v1/tasks", Some(READ)).await, 200);
    assert_eq!(status(&service, Method::GET, "/api/v1/tasks", Some(MANAGE)).await, 200);
    for (method, path) in [
        (Method::POST, "/api/v1/tasks"),
        (Method::POST, "/api/v1/tasks/check"),
        (Method::DELETE, "/api/v1/tasks/a"),
        (Method::POST, "/api/v1/tasks/a/pause"),
        (Method::POST, "/api/v1/tasks/a/resume"),
    ] {
        let refused = service.on(method.clone(), path).bearer_auth(READ).send().await.unwrap();
        let (status, problem) = answered(refused).await;
        assert_eq!((status, &problem["code"]), (403, &json!("not_allowed")), "{path}");
        // The token is right; the request is refused for another reason.
        let status = self::status(&service, method, path, Some(MANAGE)).await;
        assert!(![401, 403].contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn cdc_requires_the_same_tokens_and_refuses_in_its_own_envelope() {
    let service = secured().await;
    let ask = async |kind: &str, data: Value, token: Option<&str>| {
        let body = json!({"request_type": kind, "request_data": data});
        let mut request = service.on(Method::POST, "/cdc").json(&body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["code"], status, "{body}");
        (status, body["message"].as_str().unwrap_or_default().to_owned())
    };
    for kind in ["create", "list", "nonsense"] {
        let (status, message) = ask(kind, json!({}), None).await;
        assert_eq!((status, message.as_str()), (401, "a token is asked for and there is none"));
    }
    for kind in ["list", "position"] {
        assert_eq!(ask(kind, json!({}), Some(READ)).await.0, 200, "{kind}");
    }
    for kind in ["create", "delete", "pause", "resume", "maintenance"] {
        let (status, message) = ask(kind, json!({}), Some(READ)).await;
        assert_eq!(status, 403, "{kind}");
        assert!(message.ends_with("this token only allows to look"), "{message}");
    }
    assert_eq!(ask("create", request(), Some(MANAGE)).await.0, 200);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_and_another_host_name_gets_no_answer() {
    let service = Harness::start().await;
    let create = json!({"request_type": "create", "request_data": request()}).to_string();
    let resource = json!({"milvus_connect_param": {"uri": "http://t"}, "db_collections": {}});
    let own = service.base().to_owned();
    let send = async |path: &str, header: &str, value: &str| {
        let post = service.on(Method::POST, path).header(header, value);
        let post = match path {
            // The content type of a form, which any page can send.
            "/cdc" => post.header("content-type", "text/plain").body(create.clone()),
            _ => post.json(&resource),
        };
        let answer = post.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        assert!(body["code"] == status || body["status"] == status, "{body}");
        status
    };
    let elsewhere = "http://elsewhere.example.com";
    for path in ["/cdc", "/api/v1/tasks", "/api/v1/tasks/check"] {
        for (header, value) in [
            ("origin", elsewhere),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("host", "elsewhere.example.com"),
        ] {
            assert_eq!(send(path, header, value).await, 403, "{path} {header} {value}");
        }
    }
    let get = service.on(Method::GET, "/api/v1/tasks").header("host", "elsewhere.example.com");
    assert_eq!(get.send().await.unwrap().status(), 403);
    assert_eq!(service.done("list", json!({})).await["tasks"], json!([]), "nothing was created");
    assert_eq!(send("/cdc", "origin", &own).await, 200, "a page of ours");
    let secured = secured().await;
    let get = secured.on(Method::GET, "/healthz").header("host", "elsewhere.example.com");
    assert_eq!(get.send().await.unwrap().status(), 200, "tokens are asked for");
}

#[tokio::test]
async fn everybody_may_ask_for_health_and_only_readers_for_metrics() {
    let service = secured().await;
    for path in ["/healthz", "/readyz", "/api/v1/", "/api/v1/openapi.json"] {
        assert_eq!(status(&service, Method::GET, path, None).await, 200, "{path}");
    }
    for path in ["/cdc/metrics", "/cdc/metrics_default"] {
        assert_eq!(status(&service, Method::GET, path, None).await, 401, "{path}");
        assert_eq!(status(&service, Method::GET, path, Some(READ)).await, 200, "{path}");
        assert_eq!(status(&service, Method::GET, path, Some(MANAGE)).await, 200, "{path}");
    }
    assert_eq!(service.get("/readyz").await.1, "{\"code\":200}\n", "no name for strangers");
    let ready = service.on(Method::GET, "/readyz").bearer_auth(READ).send().await.unwrap();
    assert_eq!(ready.json::<Value>().await.unwrap()["data"]["store"], "ok");
}
