//! The scripted outside systems of a service: a data path that does what the test says, a source
//! whose end the test sets, a target that never answers, and a store that can fail. Never opens a
//! connection.

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
use replication::ports::{
    CallError, Catalog, CatalogEvent, ChannelReader, Committed, Ddl, Flush, Record, Snapshot,
    Source, Store, Stored, Target, TargetCollection, TargetPartition, Transaction,
};
use replication::task::Task;
use server::tasks::TaskRecord;
use server::world::{DataPath, TargetClient, Targets};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// What a run of a task does.
pub(crate) enum Act {
    /// Runs until it is told to stop.
    Run,
    /// Ends with this error at once.
    Fail(Error),
    /// Reports an acknowledged tick to the observer, then ends with this error.
    ProgressThenFail(Error),
    /// Panics.
    Panic,
    /// Runs, and ignores that it is told to stop.
    Deaf,
}

/// A data path that does what the test says, and `Run` after that.
#[derive(Default)]
pub(crate) struct Script {
    acts: Mutex<HashMap<String, VecDeque<Act>>>,
    pub(crate) starts: Mutex<Vec<String>>,
    pub(crate) tasks: Mutex<HashMap<String, Task>>,
    pub(crate) observers: Mutex<HashMap<String, Arc<dyn Observer>>>,
    ticks: AtomicU64,
}

impl Script {
    pub(crate) fn set_acts(&self, task: &str, acts: impl IntoIterator<Item = Act>) {
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

/// Fails with these words if something is away.
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
    /// How often it was asked for a collection.
    pub(crate) asked: AtomicU64,
    changes: broadcast::Sender<CatalogEvent>,
}

impl Default for FixedCatalog {
    fn default() -> Self {
        let changes = broadcast::Sender::new(4);
        Self { collections: Mutex::default(), asked: AtomicU64::default(), changes }
    }
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

/// The clock of a Milvus, which gives every timestamp once and in order.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<Mutex<Timestamp>>);

impl Clock {
    fn take(&self) -> Timestamp {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        // It moves every 50 ms and counts in between.
        let moved = Timestamp::from_ms(now.as_millis() as u64 / 50 * 50);
        let mut last = self.0.lock().unwrap();
        *last = moved.max(Timestamp(last.0 + 1));
        *last
    }
}

/// The clocks of targets, by the host that a task names; no other target answers.
#[derive(Clone, Default)]
pub(crate) struct Clocks(Arc<Mutex<HashMap<String, Clock>>>);

impl Clocks {
    /// From now on the target of this name answers, and its clock is this one.
    pub(crate) fn set(&self, host: &str, clock: &Clock) {
        self.0.lock().unwrap().insert(host.to_owned(), clock.clone());
    }
}

/// A target that answers nothing, unless it has a clock: then it has no collections.
#[derive(Default)]
pub(crate) struct Away {
    host: String,
    clocks: Clocks,
}

pub(crate) fn away<T>() -> Result<T> {
    Err(Error::transient("the target is away"))
}

#[async_trait]
impl Target for Away {
    async fn describe(&self, _: &CollectionName) -> Result<Option<TargetCollection>> {
        self.clock().await.map(|_| None)
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
        self.clock().await.map(|_| vec!["default".to_owned()])
    }
    async fn collections(&self, _: &str) -> Result<BTreeSet<CollectionName>> {
        self.clock().await.map(|_| BTreeSet::new())
    }
    async fn pchannels(&self) -> Result<Vec<String>> {
        self.clock().await.map(|_| Vec::new())
    }
    async fn apply(&self, _: &Ddl, _: Timestamp) -> Result<()> {
        away()
    }
    async fn replicate(&self, _: &ReplicateCall) -> std::result::Result<(), CallError> {
        Err(CallError::Refused(Error::transient("the target is away")))
    }
    async fn flush(&self, name: &CollectionName) -> Result<Flush> {
        let at = self.clock().await?;
        Ok(Flush { collection: name.clone(), segments: Vec::new(), at })
    }
    async fn is_flushed(&self, flush: &Flush) -> Result<bool> {
        let now = self.clock().await?;
        // One of them takes its time.
        Ok(flush.collection.name != "slow" || now.ms() > flush.at.ms() + 100_000)
    }
    async fn clock(&self) -> Result<Timestamp> {
        let clock = self.clocks.0.lock().unwrap().get(&self.host).cloned();
        clock.map_or_else(away, |clock| Ok(clock.take()))
    }
    async fn proxies(&self) -> Result<BTreeSet<i64>> {
        self.clock().await.map(|_| [7].into())
    }
    async fn is_replica(&self) -> Result<bool> {
        self.clock().await.map(|_| self.host != PROMOTED)
    }
    async fn data_nodes(&self) -> Result<BTreeSet<i64>> {
        away()
    }
    async fn version(&self) -> Result<String> {
        if self.host == FORGETFUL { Ok("v2.3.5".to_owned()) } else { away() }
    }
}

/// A target of this name is of a version that loses rows at its restarts.
pub(crate) const FORGETFUL: &str = "forgetful";

/// A target of this name is not a replica.
pub(crate) const PROMOTED: &str = "promoted";

/// No client can be made for a target of this name.
pub(crate) const NO_CLIENT: &str = "no-client";

/// Targets that never answer, except those with a clock.
#[derive(Default)]
pub(crate) struct AwayTargets {
    pub(crate) clocks: Clocks,
}

impl Targets for AwayTargets {
    fn open(&self, task: &TaskRecord) -> Result<TargetClient> {
        if task.milvus_connect_param.uri().contains(NO_CLIENT) {
            return Err(Error::permanent("can't read the certificate file ca.pem"));
        }
        let address = task.milvus().map(|address| address.to_string()).unwrap_or_default();
        let host = address.split(':').next().unwrap_or_default().to_owned();
        Ok(TargetClient::Milvus(Arc::new(Away { host, clocks: self.clocks.clone() })))
    }
}

/// A store that can be made to fail.
#[derive(Default)]
pub(crate) struct FailingStore {
    inner: MemoryStore,
    pub(crate) away: AtomicBool,
    /// It can be read and not written.
    pub(crate) full: AtomicBool,
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
        unless(&self.full, "the disk of the store is full")?;
        self.inner.commit(transaction).await
    }
    fn holder(&self) -> &str {
        self.inner.holder()
    }
}
