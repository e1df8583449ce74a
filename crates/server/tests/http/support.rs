//! A running service on a free port, with scripted outside systems, and the requests to it.
//! Never opens a connection to anything else.

use crate::scripted::{AwayTargets, FailingStore, FixedCatalog, Queue, Script};
use connectors::etcd::EtcdMembers;
use serde_json::{Value, json};
use server::compose;
use server::config::{self, Config, Faults};
use server::logging::LogLevel;
use server::service::Service;
use server::world::World;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) const CONFIG: &str = "
address: 127.0.0.1:0
metaStoreConfig: {storeType: memory}
sourceConfig:
  replicateChan: src-replicate-msg
  kafka: {address: '127.0.0.1:1'}
maxTaskNum: 5
maxNameLength: 20
limits: {finishMax: 1s}
";

/// No wait in these tests takes longer, even on a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A running service and its scripted outside systems.
pub(crate) struct Harness {
    pub(crate) script: Arc<Script>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) store: Arc<FailingStore>,
    pub(crate) catalog: Arc<FixedCatalog>,
    pub(crate) targets: Arc<AwayTargets>,
    config: Config,
    base: String,
    http: reqwest::Client,
    stop: CancellationToken,
    running: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with these variables over the configuration.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        let mut faults = Faults::default();
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let mut config = config::parse(CONFIG, variables, &mut faults)
            .unwrap_or_else(|| panic!("{:?}", faults.errors));
        // Real time passes in these tests, so the pauses of the default would be too long.
        config.backoff_first = Duration::from_millis(20);
        config.limits.backoff_max = Duration::from_millis(200);
        let mut harness = Self {
            script: Arc::default(),
            queue: Arc::default(),
            store: Arc::default(),
            catalog: Arc::default(),
            targets: Arc::default(),
            config,
            base: String::new(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop: CancellationToken::new(),
            running: None,
        };
        harness.launch().await;
        harness
    }

    async fn launch(&mut self) {
        let members = EtcdMembers::default();
        members.add("etcd-0:2379");
        let world = World {
            store: self.store.clone(),
            source: self.queue.clone(),
            catalog: self.catalog.clone(),
            targets: self.targets.clone(),
            path: self.script.clone(),
            members,
        };
        let world = match self.config.dry_run {
            true => compose::for_dry_run(world).await.unwrap(),
            false => world,
        };
        let service = Service::bind(&self.config, world, LogLevel::default()).await.unwrap();
        let scheme = if self.config.api.tls.is_some() { "https" } else { "http" };
        self.base = format!("{scheme}://{}", service.address().unwrap());
        self.stop = CancellationToken::new();
        self.running = Some(tokio::spawn(service.run(self.stop.clone())));
    }

    /// The configuration of its next start.
    pub(crate) fn config(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Stops the service as SIGTERM does.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap().unwrap();
    }

    /// Stops it and starts another one on the same store.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.launch().await;
    }

    /// Starts another one on the same store after a stop.
    pub(crate) async fn restart_only(&mut self) {
        self.launch().await;
    }

    /// Sends a body as it is.
    pub(crate) async fn send(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.http.post(format!("{}/cdc", self.base)).body(body);
        read(request.send().await.unwrap()).await
    }

    /// One request; HTTP status and body.
    pub(crate) async fn ask(&self, kind: &str, data: Value) -> (u16, Value) {
        self.send(json!({"request_type": kind, "request_data": data}).to_string()).await
    }

    /// One request that must succeed; its `data`.
    pub(crate) async fn done(&self, kind: &str, data: Value) -> Value {
        let (status, body) = self.ask(kind, data).await;
        assert_eq!((status, &body["code"]), (200, &json!(200)), "{body}");
        body["data"].clone()
    }

    /// One request that must be refused; its code and message.
    pub(crate) async fn refused(&self, kind: &str, data: Value) -> (u16, String) {
        let (status, body) = self.ask(kind, data).await;
        assert_ne!(status, 200, "{body}");
        assert_eq!(body["code"], status, "{body}");
        assert!(body.get("data").is_none(), "{body}");
        (status, body["message"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Where it listens.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// A request on a resource, to be added to.
    pub(crate) fn on(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// A request on a resource; HTTP status and body, null if there is none. A refusal must be a
    /// problem.
    pub(crate) async fn v1(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.on(method.parse().unwrap(), &format!("/api/v1{path}"));
        let request = if body.is_null() { request } else { request.json(&body) };
        answered(request.send().await.unwrap()).await
    }

    pub(crate) async fn method(&self, method: reqwest::Method) -> (u16, Value) {
        let request = self.http.request(method, format!("{}/cdc", self.base));
        read(request.send().await.unwrap()).await
    }

    pub(crate) async fn metrics(&self) -> String {
        self.get("/cdc/metrics").await.1
    }

    /// Creates a task of this id that covers `database.collection`.
    pub(crate) async fn create(&self, id: &str, name: &str) {
        let (database, collection) = name.split_once('.').unwrap();
        let mut request = request();
        request["task_id"] = json!(id);
        request["db_collections"] = json!({ database: [{"name": collection}] });
        request.as_object_mut().unwrap().remove("collection_infos");
        assert_eq!(self.done("create", request).await["task_id"], id);
    }

    pub(crate) async fn task(&self, id: &str) -> Value {
        self.done("get", json!({"task_id": id})).await["task"].clone()
    }

    /// Waits until a task is as wanted.
    #[track_caller]
    pub(crate) fn until<'a>(
        &'a self,
        id: &'a str,
        wanted: impl Fn(&Value) -> bool + 'a,
    ) -> impl Future<Output = Value> + 'a {
        eventually(async move || {
            let task = self.task(id).await;
            if wanted(&task) { Ok(task) } else { Err(task) }
        })
    }
}

/// Looks until there is something to see, and panics with what was seen instead when time is up.
#[track_caller]
pub(crate) fn eventually<T, E: std::fmt::Display>(
    look: impl AsyncFn() -> std::result::Result<T, E>,
) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + SEEN_WITHIN;
        loop {
            match look().await {
                Ok(seen) => return seen,
                Err(instead) if Instant::now() > deadline => {
                    panic!("{place}: never came to be: {instead}")
                }
                Err(_) => tokio::time::sleep(LOOK_PAUSE).await,
            }
        }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// HTTP status and body of an answer about a resource.
pub(crate) async fn answered(response: reqwest::Response) -> (u16, Value) {
    let status = response.status();
    let kind = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    if status == reqwest::StatusCode::NO_CONTENT {
        assert_eq!(text, "");
        return (status.as_u16(), Value::Null);
    }
    let kind = kind.unwrap_or_else(|| panic!("{status}: no content type: {text}"));
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    if status.is_success() {
        assert_eq!(kind, "application/json");
    } else {
        assert_eq!(kind, "application/problem+json");
        assert_eq!(body["status"], status.as_u16(), "{body}");
        for key in ["type", "title", "code", "detail", "remedy"] {
            assert!(body[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {body}");
        }
    }
    (status.as_u16(), body)
}

async fn read(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let text = response.text().await.unwrap();
    assert!(text.ends_with("}\n"), "{text:?}");
    (status, serde_json::from_str(&text).unwrap())
}

/// A creation that is accepted.
pub(crate) fn request() -> Value {
    json!({
        "milvus_connect_param": {"uri": "http://target:19530", "token": "root:hunter2"},
        "collection_infos": [{"name": "c"}],
    })
}
