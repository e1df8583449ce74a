//! A real service on a free port whose outside is scripted: memory store, a data path that does
//! what the test says, a source whose end the test sets. Never opens a connection to anything else.

use async_trait::async_trait;
use connectors::store::MemoryStore;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::MsgBase;
use milvus_wire::proto::msg::TimeTickMsg;
use milvus_wire::proto::schema::CollectionSchema;
use milvus_wire::replicate::ReplicateCall;
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use replication::context::Ports;
use replication::error::{Error, Result};
use replication::observer::{Event, Observer};
use replication::ports::*;
use replication::task::Task;
use serde_json::{Value, json};
use server::compose;
use server::config::{self, Config, Faults};
use server::logging::LogLevel;
use server::service::Service;
use server::tasks::TaskRecord;
use server::world::{Client, DataPath, Targets, World};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;
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

/// Nothing in these tests takes longer, even on a busy machine.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What a run of a task does.
pub(crate) enum Act {
    /// Runs until it is told to stop.
    Run,
    /// Ends with this error at once.
    Fail(Error),
    /// Tells the observer that a channel's tick was acknowledged, then ends with this error.
    ProgressThenFail(Error),
    /// Panics.
    Panic,
    /// Runs, deaf to being told to stop.
    Deaf,
}

/// A data path that does what the test says; `Run` once the script has ended.
#[derive(Default)]
pub(crate) struct Script {
    acts: Mutex<HashMap<String, VecDeque<Act>>>,
    pub(crate) starts: Mutex<Vec<String>>,
    pub(crate) tasks: Mutex<HashMap<String, Task>>,
    pub(crate) observers: Mutex<HashMap<String, Arc<dyn Observer>>>,
    ticks: AtomicU64,
}

impl Script {
    pub(crate) fn say(&self, task: &str, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().unwrap().insert(task.into(), acts.into_iter().collect());
    }

    pub(crate) fn starts_of(&self, task: &str) -> usize {
        self.starts.lock().unwrap().iter().filter(|t| *t == task).count()
    }

    pub(crate) fn event(&self, task: &str, event: Event<'_>) {
        self.observers.lock().unwrap()[task].event(event);
    }
}

#[async_trait]
impl DataPath for Script {
    async fn run(&self, task: Task, ports: Ports, stop: CancellationToken) -> Error {
        self.starts.lock().unwrap().push(task.id.clone());
        self.tasks.lock().unwrap().insert(task.id.clone(), task.clone());
        self.observers.lock().unwrap().insert(task.id.clone(), Arc::clone(&ports.observer));
        let act = self.acts.lock().unwrap().get_mut(&task.id).and_then(VecDeque::pop_front);
        match act.unwrap_or(Act::Run) {
            Act::Run => {
                stop.cancelled().await;
                Error::stopped()
            }
            Act::Fail(error) => error,
            Act::ProgressThenFail(error) => {
                let tick = 1 + self.ticks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let tick = Timestamp::from_ms(tick);
                ports.observer.event(Event::Acknowledged { channel: "progress", tick });
                error
            }
            Act::Panic => panic!("the invariant is broken"),
            Act::Deaf => std::future::pending().await,
        }
    }
}

/// A queue whose end the test sets.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) newest_ms: AtomicU64,
    pub(crate) away: AtomicBool,
}

/// Fails if something is away, with these words.
fn unless(away: &AtomicBool, what: &str) -> Result<()> {
    match away.load(std::sync::atomic::Ordering::SeqCst) {
        true => Err(Error::transient(what)),
        false => Ok(()),
    }
}

impl Queue {
    fn check(&self) -> Result<()> {
        unless(&self.away, "the queue is away")
    }
}

#[async_trait]
impl Source for Queue {
    async fn open(&self, _: &str, _: &MessageId) -> Result<Box<dyn ChannelReader>> {
        Err(Error::transient("nothing to read"))
    }

    async fn end(&self, _: &str) -> Result<MessageId> {
        self.check().map(|()| MessageId::default())
    }

    async fn newest(&self, _: &str, _: usize) -> Result<Vec<Record>> {
        self.check()?;
        let time = self.newest_ms.load(std::sync::atomic::Ordering::SeqCst);
        let base =
            MsgBase { msg_type: 1200, timestamp: Timestamp::from_ms(time).0, ..Default::default() };
        let payload = TimeTickMsg { base: Some(base) }.encode_to_vec().into();
        Ok(vec![Record { id: MessageId::default(), payload }])
    }

    fn compare(&self, _: &MessageId, _: &MessageId) -> Ordering {
        Ordering::Equal
    }
}

/// Metadata that the test sets.
pub(crate) struct FixedCatalog {
    pub(crate) collections: Mutex<Vec<Collection>>,
    /// How often it was asked for one.
    pub(crate) asked: AtomicU64,
    changes: broadcast::Sender<CatalogEvent>,
}

/// A collection of the source.
pub(crate) fn collection(id: i64, database: &str, name: &str) -> Collection {
    Collection {
        id: CollectionId(id),
        database_id: Default::default(),
        database: database.into(),
        state: State::Created,
        schema: CollectionSchema { name: name.into(), ..Default::default() },
        created: Timestamp::from_ms(1),
        vchannels: vec![format!("src-rootcoord-dml_0_{id}v0")],
        pchannels: vec!["src-rootcoord-dml_0".into()],
        start_positions: BTreeMap::new(),
        consistency_level: 0,
        properties: Vec::new(),
        partition_count: None,
    }
}

#[async_trait]
impl Catalog for FixedCatalog {
    async fn snapshot(&self) -> Result<Snapshot> {
        let collections = self.collections.lock().unwrap().clone();
        Ok(Snapshot { collections, ..Default::default() })
    }

    async fn collection(&self, _: CollectionId) -> Result<Option<Collection>> {
        self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(None)
    }

    async fn partitions(&self, _: CollectionId) -> Result<Vec<milvus_wire::catalog::Partition>> {
        Ok(Vec::new())
    }

    async fn serving(&self, _: CollectionId) -> Result<milvus_wire::serving::Serving> {
        Ok(milvus_wire::serving::Serving::default())
    }

    async fn roles(&self) -> Result<milvus_wire::roles::Roles> {
        Ok(milvus_wire::roles::Roles::default())
    }

    async fn aliases(&self) -> Result<Vec<milvus_wire::serving::Alias>> {
        Ok(Vec::new())
    }

    fn changes(&self) -> broadcast::Receiver<CatalogEvent> {
        self.changes.subscribe()
    }
}

/// A target that never answers anything useful.
struct Away;

fn away<T>() -> Result<T> {
    Err(Error::transient("the target is away"))
}

#[async_trait]
impl Target for Away {
    async fn describe(&self, _: &CollectionName) -> Result<Option<TargetCollection>> {
        away()
    }
    async fn alias(&self, _: &str, _: &str) -> Result<Option<CollectionId>> {
        away()
    }
    async fn users(&self) -> Result<BTreeSet<String>> {
        away()
    }
    async fn role(&self, _: &str, _: &BTreeSet<&str>) -> Result<Option<milvus_wire::roles::Role>> {
        away()
    }
    async fn partitions(&self, _: &CollectionName) -> Result<BTreeMap<String, TargetPartition>> {
        away()
    }
    async fn databases(&self) -> Result<Vec<String>> {
        away()
    }
    async fn pchannels(&self) -> Result<Vec<String>> {
        away()
    }
    async fn apply(&self, _: &Ddl, _: Timestamp) -> Result<()> {
        away()
    }
    async fn replicate(&self, _: &ReplicateCall) -> std::result::Result<(), CallError> {
        Err(CallError::Refused(Error::transient("the target is away")))
    }
    async fn clock(&self) -> Result<Timestamp> {
        away()
    }
}

/// A target of this name can't be given a client.
pub(crate) const NO_CLIENT: &str = "no-client";

struct AwayTargets;

impl Targets for AwayTargets {
    fn open(&self, task: &TaskRecord) -> Result<Client> {
        if task.milvus_connect_param.uri().contains(NO_CLIENT) {
            return Err(Error::permanent("can't read the certificate file ca.pem"));
        }
        Ok(Client::Milvus(Arc::new(Away)))
    }
}

/// A store that can be made to fail.
pub(crate) struct FailingStore {
    inner: MemoryStore,
    pub(crate) away: AtomicBool,
}

impl FailingStore {
    fn check(&self) -> Result<()> {
        unless(&self.away, "the store is away")
    }
}

#[async_trait]
impl Store for FailingStore {
    async fn get(&self, key: &str) -> Result<Option<Stored>> {
        self.check()?;
        self.inner.get(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>> {
        self.check()?;
        self.inner.list(prefix).await
    }
    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.check()?;
        self.inner.commit(transaction).await
    }
    fn holder(&self) -> &str {
        self.inner.holder()
    }
}

/// A running service and its scripted outside.
pub(crate) struct Harness {
    pub(crate) script: Arc<Script>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) store: Arc<FailingStore>,
    pub(crate) catalog: Arc<FixedCatalog>,
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

    /// With these variables over the configuration.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        let mut faults = Faults::default();
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let mut config = config::parse(CONFIG, variables, &mut faults)
            .unwrap_or_else(|| panic!("{:?}", faults.errors));
        // Real time passes in these tests; a second of a user's patience is a lot here.
        config.backoff_first = Duration::from_millis(20);
        config.limits.backoff_max = Duration::from_millis(200);
        let store = FailingStore { inner: MemoryStore::new(), away: AtomicBool::new(false) };
        let mut harness = Self {
            script: Arc::default(),
            queue: Arc::default(),
            store: Arc::new(store),
            catalog: Arc::new(FixedCatalog {
                collections: Mutex::default(),
                asked: AtomicU64::default(),
                changes: broadcast::Sender::new(4),
            }),
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
        let world = World {
            store: self.store.clone(),
            source: self.queue.clone(),
            catalog: self.catalog.clone(),
            targets: Arc::new(AwayTargets),
            path: self.script.clone(),
        };
        let world = if self.config.dry_run { compose::dry(world).await.unwrap() } else { world };
        let service = Service::bind(&self.config, world, LogLevel::default()).await.unwrap();
        let scheme = if self.config.api.tls.is_some() { "https" } else { "http" };
        self.base = format!("{scheme}://{}", service.address().unwrap());
        self.stop = CancellationToken::new();
        self.running = Some(tokio::spawn(service.run(self.stop.clone())));
    }

    /// What it is started with the next time.
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

    /// Starts another one on the same store, after a stop.
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

    /// Waits until a task looks as wanted.
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

/// Looks until there is something to see; what was seen instead is told when time is up.
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
