//! The scripted source and targets of a service whose store an earlier version wrote. The source
//! has the collections that the store knows, the targets have what the tasks gave them. Both can be
//! away. Never has a message to read: the tests look at where reading begins.

use super::super::scripted::away;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use milvus_wire::catalog::{Collection, Partition, State};
use milvus_wire::ids::{CollectionId, CollectionName, PartitionId};
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::MsgBase;
use milvus_wire::proto::msg::TimeTickMsg;
use milvus_wire::proto::schema::{CollectionSchema, FieldSchema};
use milvus_wire::replicate::ReplicateCall;
use milvus_wire::roles::{Role, Roles};
use milvus_wire::serving::{Alias, Serving};
use milvus_wire::timestamp::Timestamp;
use prost::Message as _;
use replication::error::{Error, Result};
use replication::ports::*;
use replication::records::checkpoint::{self, ReplicatedCollection};
use replication::selection::Names;
use server::tasks::{Book, TaskRecord};
use server::world::{TargetClient, Targets};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::stores::NOBODY;
use tokio::sync::broadcast;

/// What is outside.
pub(super) struct Outside {
    /// Where reading was begun: channels, and message ids in base64.
    pub(super) opened: Mutex<BTreeSet<(String, String)>>,
    collections: Vec<Stored>,
    is_away: bool,
}

/// A collection that a task has stored.
struct Stored {
    covered: ReplicatedCollection,
    /// What the target calls it.
    called: CollectionName,
}

impl Outside {
    /// Everything that tasks have stored is there.
    pub(super) async fn of(store: &Arc<dyn Store>) -> Self {
        let mut collections = Vec::new();
        for record in Book::new(Arc::clone(store)).list().await.unwrap().records {
            let names = Names { rules: record.name_mapping.clone().unwrap_or_default() };
            // One that can't be read is nobody's business here.
            let Ok(loaded) = checkpoint::load(store.as_ref(), &record.task_id).await else {
                continue;
            };
            collections.extend(loaded.collections.into_iter().map(|covered| {
                let called = covered.on_target(&names);
                Stored { covered, called }
            }));
        }
        Self { opened: Mutex::default(), collections, is_away: false }
    }

    /// Nothing is there.
    pub(super) fn away() -> Self {
        Self { opened: Mutex::default(), collections: Vec::new(), is_away: true }
    }

    fn check(&self) -> Result<()> {
        if self.is_away { Err(Error::transient("the source is away")) } else { Ok(()) }
    }

    fn called(&self, name: &CollectionName) -> Option<&ReplicatedCollection> {
        let is_it = |stored: &&Stored| stored.called == *name;
        self.collections.iter().find(is_it).map(|stored| &stored.covered)
    }

    fn by_id(&self, id: CollectionId) -> Option<&ReplicatedCollection> {
        self.collections.iter().map(|stored| &stored.covered).find(|covered| covered.id == id)
    }
}

struct Silent;

#[async_trait]
impl ChannelReader for Silent {
    async fn next(&mut self) -> Result<Record> {
        std::future::pending().await
    }

    fn try_next(&mut self) -> Result<Option<Record>> {
        Ok(None)
    }
}

#[async_trait]
impl Source for Outside {
    async fn open(&self, channel: &str, from: &MessageId) -> Result<Box<dyn ChannelReader>> {
        self.check()?;
        self.opened.lock().unwrap().insert((channel.to_owned(), STANDARD.encode(&from.0)));
        Ok(Box::new(Silent))
    }

    async fn end(&self, _: &str) -> Result<MessageId> {
        self.check()?;
        Ok(MessageId(u64::MAX.to_le_bytes().to_vec().into()))
    }

    async fn newest(&self, _: &str, _: usize) -> Result<Vec<Record>> {
        self.check()?;
        let base = MsgBase { msg_type: 1200, timestamp: now().0, ..Default::default() };
        let payload = TimeTickMsg { base: Some(base) }.encode_to_vec().into();
        Ok(vec![Record { id: MessageId::default(), payload }])
    }

    fn compare(&self, a: &MessageId, b: &MessageId) -> Ordering {
        let number = |id: &MessageId| id.0.iter().rev().copied().collect::<Vec<u8>>();
        number(a).cmp(&number(b))
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_ms(now.as_millis() as u64)
}

/// As the source has a collection that a task has stored.
fn on_the_source(covered: &ReplicatedCollection) -> Collection {
    let key = FieldSchema {
        field_id: covered.primary_key,
        name: covered.key_name.clone(),
        is_primary_key: true,
        ..Default::default()
    };
    let schema =
        CollectionSchema { name: covered.name.clone(), fields: vec![key], ..Default::default() };
    Collection {
        id: covered.id,
        database_id: Default::default(),
        database: covered.database.clone(),
        state: State::Created,
        schema,
        created: covered.created,
        vchannels: covered.vchannels.clone(),
        pchannels: covered.pchannels().map(str::to_owned).collect(),
        start_positions: covered
            .start
            .iter()
            .map(|(c, from)| (c.clone(), from.id.clone()))
            .collect(),
        consistency_level: 0,
        properties: Vec::new(),
        partition_count: None,
    }
}

#[async_trait]
impl Catalog for Outside {
    async fn snapshot(&self) -> Result<Snapshot> {
        self.check()?;
        let by_id: BTreeMap<_, _> =
            self.collections.iter().map(|s| (s.covered.id, on_the_source(&s.covered))).collect();
        Ok(Snapshot { databases: Vec::new(), collections: by_id.into_values().collect() })
    }

    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>> {
        self.check()?;
        Ok(self.by_id(id).map(on_the_source))
    }

    async fn partitions(&self, id: CollectionId) -> Result<Vec<Partition>> {
        self.check()?;
        let Some(covered) = self.by_id(id) else { return Ok(Vec::new()) };
        let partition = |(name, of): (&String, &i64)| Partition {
            id: PartitionId(*of),
            collection: id,
            name: name.clone(),
            created: covered.created,
            state: State::Created,
        };
        Ok(covered.partitions.iter().map(partition).collect())
    }

    /// What follows it tries again for ever, and stores nothing.
    async fn serving(&self, _: CollectionId) -> Result<Serving> {
        away()
    }

    async fn roles(&self) -> Result<Roles> {
        away()
    }

    async fn aliases(&self) -> Result<Vec<Alias>> {
        away()
    }

    fn changes(&self) -> broadcast::Receiver<CatalogEvent> {
        // A feed that has ended: whoever listens to it waits.
        broadcast::Sender::new(1).subscribe()
    }
}

#[async_trait]
impl Target for Outside {
    async fn describe(&self, name: &CollectionName) -> Result<Option<TargetCollection>> {
        Ok(self.called(name).map(|covered| {
            let shards = 0..covered.vchannels.len();
            TargetCollection {
                id: covered.id,
                created: covered.created,
                vchannels: shards.map(|n| format!("dst-rootcoord-dml_{n}_1v{n}")).collect(),
                fields: None,
                properties: BTreeMap::new(),
            }
        }))
    }

    async fn alias(&self, _: &str, _: &str) -> Result<Option<CollectionId>> {
        Ok(None)
    }

    async fn users(&self) -> Result<BTreeSet<String>> {
        Ok(BTreeSet::new())
    }

    async fn role(&self, _: &str, _: &BTreeSet<&str>) -> Result<Option<Role>> {
        Ok(None)
    }

    async fn partitions(&self, name: &CollectionName) -> Result<BTreeMap<String, TargetPartition>> {
        let Some(covered) = self.called(name) else { return Ok(BTreeMap::new()) };
        let created = covered.created;
        let partition = |(name, id): (&String, &i64)| {
            (name.clone(), TargetPartition { id: PartitionId(*id), created })
        };
        Ok(covered.partitions.iter().map(partition).collect())
    }

    async fn databases(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn collections(&self, _: &str) -> Result<BTreeSet<CollectionName>> {
        Ok(BTreeSet::new())
    }

    async fn pchannels(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn apply(&self, _: &Ddl, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn replicate(&self, _: &ReplicateCall) -> std::result::Result<(), CallError> {
        Ok(())
    }

    async fn flush(&self, name: &CollectionName) -> Result<Flush> {
        let (collection, segments) = (name.clone(), Vec::new());
        Ok(Flush { collection, segments, at: now() })
    }

    async fn is_flushed(&self, _: &Flush) -> Result<bool> {
        Ok(true)
    }

    async fn clock(&self) -> Result<Timestamp> {
        Ok(now())
    }

    async fn proxies(&self) -> Result<BTreeSet<i64>> {
        Ok([1].into())
    }

    async fn data_nodes(&self) -> Result<BTreeSet<i64>> {
        Ok([2].into())
    }

    async fn is_replica(&self) -> Result<bool> {
        Ok(true)
    }

    async fn version(&self) -> Result<String> {
        Ok(String::new())
    }
}

/// The topics of a task.
struct Topics;

#[async_trait]
impl Sink for Topics {
    async fn open(&self) -> Result<()> {
        Ok(())
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn holds(&self, _: &str) -> bool {
        false
    }

    async fn append(&self, _: &str, _: &[Change<'_>]) -> Result<()> {
        Ok(())
    }
}

/// The target that most tasks write to, and Kafkas; another one is not there.
pub(super) struct TheirTargets(pub(super) Arc<Outside>);

impl Targets for TheirTargets {
    fn open(&self, task: &TaskRecord) -> Result<TargetClient> {
        let is_there = task.is_to_kafka() || task.milvus_connect_param.uri().ends_with(NOBODY);
        Ok(match is_there && !self.0.is_away {
            true if task.is_to_kafka() => TargetClient::Log(Arc::new(Topics)),
            true => TargetClient::Milvus(self.0.clone()),
            false => TargetClient::Milvus(Arc::<super::super::scripted::Away>::default()),
        })
    }
}
