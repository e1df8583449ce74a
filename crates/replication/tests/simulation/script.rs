//! A source that writes at random: its log, its catalog, and the truth to compare with.
//! Never fails by itself; reading it may.

use crate::faults::Faults;
use async_trait::async_trait;
use bytes::Bytes;
use milvus_wire::catalog::{Collection, Database, Partition, State};
use milvus_wire::ids::{CollectionId, DatabaseId, PartitionId};
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg;
use milvus_wire::proto::schema::{
    CollectionSchema, FieldData, FieldSchema, IDs, LongArray, ScalarField, field_data, i_ds,
    scalar_field,
};
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use replication::error::{Error, Result};
use replication::ports::{Catalog, CatalogEvent, ChannelReader, Record, Snapshot, Source};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

/// The source's physical channels; 9 and 10 sort the other way round as text.
pub(crate) const CHANNELS: [&str; 4] = ["s-dml_8", "s-dml_9", "s-dml_10", "s-dml_11"];
const OPS: &str = "s-replicate-msg";
const BASE_MS: u64 = 1_700_000_000_000;
const PRIMARY_KEY: i64 = 100;

/// The truth of a collection: key to (version, partition id).
pub(crate) type Truth = BTreeMap<i64, (i64, i64)>;

/// One collection of the source.
pub(crate) struct Live {
    pub(crate) info: Collection,
    pub(crate) truth: Truth,
    pub(crate) partitions: Vec<Partition>,
}

/// Where a row message stands: per virtual channel, in the order of the source.
pub(crate) type Order = BTreeMap<i64, u64>;

/// A drop that the source has carried out and not yet written to its log.
enum Unwritten {
    Collection(i64),
    Partition(i64, i64),
}

struct World {
    rng: fastrand::Rng,
    topics: BTreeMap<String, Vec<Bytes>>,
    collections: BTreeMap<i64, Live>,
    next_id: i64,
    logical: u64,
    last_ts: u64,
    last_tick: u64,
    order: Order,
    late: BTreeSet<i64>,
    written: BTreeMap<i64, u64>,
    unwritten: Vec<Unwritten>,
    names: u64,
}

/// The source.
#[derive(Clone)]
pub(crate) struct Script {
    world: Arc<Mutex<World>>,
    faults: Faults,
    began: Instant,
    grown: Arc<Notify>,
    events: broadcast::Sender<CatalogEvent>,
}

impl Script {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let world = World {
            rng: fastrand::Rng::with_seed(seed ^ 0x5eed),
            topics: BTreeMap::new(),
            collections: BTreeMap::new(),
            next_id: 100,
            logical: 0,
            last_ts: 0,
            last_tick: 0,
            order: Order::new(),
            late: BTreeSet::new(),
            written: BTreeMap::new(),
            unwritten: Vec::new(),
            names: 0,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            faults,
            began: Instant::now(),
            grown: Arc::default(),
            events: broadcast::channel(16).0,
        }
    }

    /// The source's clock.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        Timestamp::from_ms(BASE_MS + elapsed)
    }

    /// The place of a message in the order of the source; `None` if it is not the source's, or was
    /// late.
    pub(crate) fn order_of(&self, msg_id: i64) -> Option<u64> {
        let world = self.world.lock().unwrap();
        world.order.get(&msg_id).filter(|_| !world.late.contains(&msg_id)).copied()
    }

    /// When the source wrote a row, by its version.
    pub(crate) fn timestamp_of(&self, version: i64) -> Option<Timestamp> {
        self.world.lock().unwrap().written.get(&version).map(|at| Timestamp(*at))
    }

    /// The truth of a collection, dropped ones included.
    pub(crate) fn truth(&self, id: i64) -> Option<Truth> {
        self.world.lock().unwrap().collections.get(&id).map(|c| c.truth.clone())
    }

    /// Which collection was created at a time: its identity on the target.
    pub(crate) fn created_at(&self, at: Timestamp) -> Option<i64> {
        let world = self.world.lock().unwrap();
        world.collections.values().find(|c| c.info.created == at).map(|c| c.info.id.0)
    }

    /// Names and ids of what exists.
    pub(crate) fn live(&self) -> Vec<(String, i64)> {
        let world = self.world.lock().unwrap();
        let created = world.collections.values().filter(|c| c.info.state == State::Created);
        created.map(|c| (c.info.schema.name.clone(), c.info.id.0)).collect()
    }

    /// The names of the partitions of a collection that exist.
    pub(crate) fn partitions_of(&self, id: i64) -> BTreeSet<String> {
        let world = self.world.lock().unwrap();
        let Some(live) = world.collections.get(&id) else {
            return BTreeSet::new();
        };
        let created = live.partitions.iter().filter(|p| p.state == State::Created);
        created.map(|p| p.name.clone()).collect()
    }

    /// The last tick.
    pub(crate) fn last_tick(&self) -> Timestamp {
        Timestamp(self.world.lock().unwrap().last_tick)
    }

    /// One random act.
    pub(crate) fn act(&self, late: bool) {
        let now = self.now();
        let mut world = self.world.lock().unwrap();
        let live: Vec<i64> = world
            .collections
            .values()
            .filter(|c| c.info.state == State::Created)
            .map(|c| c.info.id.0)
            .collect();
        let event = match world.rng.u32(0..100) {
            _ if live.is_empty() => Some(world.create(now, None)),
            0..=3 if live.len() < 4 => Some(world.create(now, None)),
            4..=5 => {
                let id = live[world.rng.usize(0..live.len())];
                let name = world.end(now, id);
                // A namesake at once, now and then.
                (world.rng.bool()).then(|| world.create(now, Some(name)))
            }
            6..=7 => {
                let id = live[world.rng.usize(0..live.len())];
                Some(world.create_partition(now, id))
            }
            8..=9 => {
                let id = live[world.rng.usize(0..live.len())];
                let name = world.drop_partition(now, id);
                name.filter(|_| world.rng.bool()).map(|name| world.add_partition(now, id, name))
            }
            n => {
                let id = live[world.rng.usize(0..live.len())];
                world.write(now, id, n, late);
                None
            }
        };
        drop(world);
        self.grown.notify_waiters();
        if let Some(event) = event {
            let lost = self.faults.chance(4);
            let _ = self.events.send(if lost { CatalogEvent::Resync } else { event });
        }
    }

    /// A tick on every channel that carries a collection, sometimes twice.
    pub(crate) fn tick(&self) {
        let now = self.now();
        let mut world = self.world.lock().unwrap();
        for drop in std::mem::take(&mut world.unwritten) {
            match drop {
                Unwritten::Collection(cid) => world.write_drop(now, cid),
                Unwritten::Partition(cid, pid) => world.write_partition_drop(now, cid, pid),
            }
        }
        let at = world.allocate(now);
        world.last_tick = at;
        let carrying: BTreeSet<String> = world
            .collections
            .values()
            .filter(|c| c.info.state == State::Created || c.info.state == State::Dropping)
            .flat_map(|c| c.info.pchannels.clone())
            .collect();
        for channel in carrying {
            let tick = msg::TimeTickMsg { base: Some(base(MsgType::TimeTick, 0, at)) };
            for _ in 0..=u32::from(world.rng.u32(0..20) == 0) {
                world.append(&channel, tick.encode_to_vec());
            }
        }
        // What was being dropped is covered by this tick: the channel may go quiet.
        for live in world.collections.values_mut() {
            if live.info.state == State::Dropping {
                live.info.state = State::Dropped;
            }
        }
        drop(world);
        self.grown.notify_waiters();
    }
}

impl World {
    fn allocate(&mut self, now: Timestamp) -> u64 {
        self.logical = (self.logical + 1) % (1 << 18);
        self.last_ts = (now.0 + self.logical).max(self.last_ts + 1);
        self.last_ts
    }

    fn append(&mut self, channel: &str, payload: Vec<u8>) -> MessageId {
        let topic = self.topics.entry(channel.to_owned()).or_default();
        topic.push(payload.into());
        id(topic.len() as u64 - 1)
    }

    fn create(&mut self, now: Timestamp, name: Option<String>) -> CatalogEvent {
        let at = self.allocate(now);
        self.next_id += 1;
        let cid = self.next_id;
        let shards = self.rng.usize(1..=3);
        let mut channels: Vec<&str> = CHANNELS.to_vec();
        self.rng.shuffle(&mut channels);
        let pchannels: Vec<String> = channels[..shards].iter().map(|c| (*c).to_owned()).collect();
        self.names += 1;
        let name =
            name.unwrap_or_else(|| format!("{}{}", ["a", "b"][self.rng.usize(0..2)], self.names));
        let mut start_positions = BTreeMap::new();
        for channel in &pchannels {
            let message = msg::CreateCollectionRequest {
                base: Some(base(MsgType::CreateCollection, at.cast_signed(), at)),
                collection_name: name.clone(),
                collection_id: cid,
                ..Default::default()
            };
            let position = self.append(channel, message.encode_to_vec());
            start_positions.insert(channel.clone(), position);
        }
        let primary = FieldSchema {
            field_id: PRIMARY_KEY,
            name: "id".into(),
            is_primary_key: true,
            data_type: 5,
            ..Default::default()
        };
        let schema = CollectionSchema { name, fields: vec![primary], ..Default::default() };
        let info = Collection {
            id: CollectionId(cid),
            database_id: DatabaseId(1),
            database: "default".into(),
            // Once in a while a creation comes to nothing.
            state: if self.rng.u32(0..15) == 0 { State::Dropped } else { State::Created },
            schema,
            created: Timestamp(at),
            vchannels: pchannels
                .iter()
                .enumerate()
                .map(|(n, p)| format!("{p}_{cid}v{n}"))
                .collect(),
            pchannels,
            start_positions,
            consistency_level: 0,
            properties: Vec::new(),
        };
        let partitions = vec![partition(cid, cid * 1000, "_default", at)];
        self.collections.insert(cid, Live { info, truth: Truth::new(), partitions });
        CatalogEvent::Collection(CollectionId(cid))
    }

    fn end(&mut self, now: Timestamp, cid: i64) -> String {
        // What was dropped in the collection before is written before.
        for drop in std::mem::take(&mut self.unwritten) {
            match drop {
                Unwritten::Partition(of, pid) if of == cid => {
                    self.write_partition_drop(now, cid, pid);
                }
                other => self.unwritten.push(other),
            }
        }
        let live = self.collections.get_mut(&cid).unwrap();
        live.info.state = State::Dropping;
        let name = live.info.schema.name.clone();
        // The source writes the drop to the log when it gets round to it.
        if self.rng.bool() {
            self.unwritten.push(Unwritten::Collection(cid));
        } else {
            self.write_drop(now, cid);
        }
        name
    }

    fn write_drop(&mut self, now: Timestamp, cid: i64) {
        let at = self.allocate(now);
        let live = &self.collections[&cid];
        let (channels, name) = (live.info.pchannels.clone(), live.info.schema.name.clone());
        for channel in channels {
            let message = msg::DropCollectionRequest {
                base: Some(base(MsgType::DropCollection, at.cast_signed(), at)),
                collection_name: name.clone(),
                collection_id: cid,
                ..Default::default()
            };
            self.append(&channel, message.encode_to_vec());
        }
    }

    fn create_partition(&mut self, now: Timestamp, cid: i64) -> CatalogEvent {
        let name = format!("p{}", self.rng.u32(0..3));
        self.add_partition(now, cid, name)
    }

    fn add_partition(&mut self, now: Timestamp, cid: i64, name: String) -> CatalogEvent {
        let at = self.allocate(now);
        self.next_id += 1;
        let pid = self.next_id * 1000;
        let live = self.collections.get_mut(&cid).unwrap();
        if !live.partitions.iter().any(|p| p.name == name && p.state == State::Created) {
            live.partitions.push(partition(cid, pid, &name, at));
        }
        CatalogEvent::Partition(CollectionId(cid))
    }

    fn drop_partition(&mut self, now: Timestamp, cid: i64) -> Option<String> {
        let live = self.collections.get_mut(&cid).unwrap();
        let named = |p: &&mut Partition| p.name != "_default" && p.state == State::Created;
        let dropped = live.partitions.iter_mut().find(named)?;
        dropped.state = State::Dropped;
        let (pid, name) = (dropped.id.0, dropped.name.clone());
        live.truth.retain(|_, (_, partition)| *partition != pid);
        if self.rng.bool() {
            self.unwritten.push(Unwritten::Partition(cid, pid));
        } else {
            self.write_partition_drop(now, cid, pid);
        }
        Some(name)
    }

    fn write_partition_drop(&mut self, now: Timestamp, cid: i64, pid: i64) {
        let at = self.allocate(now);
        let live = &self.collections[&cid];
        let name = live.partitions.iter().find(|p| p.id.0 == pid).unwrap().name.clone();
        let (channels, collection) = (live.info.pchannels.clone(), live.info.schema.name.clone());
        for channel in channels {
            let message = msg::DropPartitionRequest {
                base: Some(base(MsgType::DropPartition, at.cast_signed(), at)),
                collection_name: collection.clone(),
                partition_name: name.clone(),
                collection_id: cid,
                partition_id: pid,
                ..Default::default()
            };
            self.append(&channel, message.encode_to_vec());
        }
    }

    /// An insert of a new key, a delete, or an upsert.
    fn write(&mut self, now: Timestamp, cid: i64, what: u32, late: bool) {
        // No row is older than its collection.
        let old = self.collections[&cid].info.created.0 + 1 < self.last_tick;
        let late = late && old && self.rng.u32(0..8) == 0;
        let at = if late { self.last_tick - 1 } else { self.allocate(now) };
        // A late message must not compete with another one about the same key.
        let key = if late { 1000 + self.next_id } else { self.rng.i64(0..30) };
        let exists = self.collections[&cid].truth.contains_key(&key);
        if exists {
            self.delete(cid, key, at, late);
        }
        if !exists || what >= 50 {
            self.insert(cid, key, at, late);
        }
    }

    fn shard(&self, cid: i64, key: i64) -> (String, String) {
        let info = &self.collections[&cid].info;
        let shard = usize::try_from(key).unwrap() % info.vchannels.len();
        (info.pchannels[shard].clone(), info.vchannels[shard].clone())
    }

    fn note(&mut self, late: bool) -> i64 {
        self.next_id += 1;
        let place = self.order.len() as u64;
        self.order.insert(self.next_id, place);
        if late {
            self.late.insert(self.next_id);
        }
        self.next_id
    }

    fn insert(&mut self, cid: i64, key: i64, at: u64, late: bool) {
        let (channel, vchannel) = self.shard(cid, key);
        let msg_id = self.note(late);
        let live = self.collections.get_mut(&cid).unwrap();
        let created: Vec<_> =
            live.partitions.iter().filter(|p| p.state == State::Created).collect();
        let partition = created[self.rng.usize(0..created.len())].clone();
        live.truth.insert(key, (msg_id, partition.id.0));
        self.written.insert(msg_id, at);
        let keys = LongArray { data: vec![key] };
        let column = FieldData {
            r#type: 5,
            field_id: PRIMARY_KEY,
            field_name: "id".into(),
            field: Some(field_data::Field::Scalars(ScalarField {
                data: Some(scalar_field::Data::LongData(keys)),
                ..Default::default()
            })),
            ..Default::default()
        };
        let message = msg::InsertRequest {
            base: Some(base(MsgType::Insert, msg_id, at)),
            shard_name: vchannel,
            collection_name: live.info.schema.name.clone(),
            partition_name: partition.name.clone(),
            collection_id: cid,
            partition_id: partition.id.0,
            timestamps: vec![at],
            row_i_ds: vec![msg_id],
            fields_data: vec![column],
            num_rows: 1,
            ..Default::default()
        };
        self.append(&channel, message.encode_to_vec());
    }

    fn delete(&mut self, cid: i64, key: i64, at: u64, late: bool) {
        let (channel, vchannel) = self.shard(cid, key);
        let msg_id = self.note(late);
        let live = self.collections.get_mut(&cid).unwrap();
        live.truth.remove(&key);
        let message = msg::DeleteRequest {
            base: Some(base(MsgType::Delete, msg_id, at)),
            shard_name: vchannel,
            collection_name: live.info.schema.name.clone(),
            collection_id: cid,
            partition_id: -1,
            timestamps: vec![at],
            num_rows: 1,
            primary_keys: Some(IDs {
                id_field: Some(i_ds::IdField::IntId(LongArray { data: vec![key] })),
            }),
            ..Default::default()
        };
        self.append(&channel, message.encode_to_vec());
    }
}

fn base(kind: MsgType, msg_id: i64, at: u64) -> MsgBase {
    MsgBase { msg_type: kind as i32, msg_id, timestamp: at, ..Default::default() }
}

fn partition(cid: i64, pid: i64, name: &str, at: u64) -> Partition {
    Partition {
        id: PartitionId(pid),
        collection: CollectionId(cid),
        name: name.to_owned(),
        created: Timestamp(at),
        state: State::Created,
    }
}

fn id(offset: u64) -> MessageId {
    MessageId(Bytes::copy_from_slice(&offset.to_le_bytes()))
}

fn offset(id: &MessageId) -> usize {
    usize::try_from(u64::from_le_bytes(id.0[..].try_into().unwrap())).unwrap()
}

struct Reader {
    script: Script,
    channel: String,
    next: usize,
}

#[async_trait]
impl ChannelReader for Reader {
    async fn next(&mut self) -> Result<Record> {
        loop {
            let grown = self.script.grown.clone();
            let grown = grown.notified();
            if let Some(record) = self.read()? {
                return Ok(record);
            }
            grown.await;
        }
    }

    fn try_next(&mut self) -> Result<Option<Record>> {
        // What is in the queue has not always reached the client.
        if self.script.faults.chance(4) { Ok(None) } else { self.read() }
    }
}

impl Reader {
    fn read(&mut self) -> Result<Option<Record>> {
        if self.script.faults.chance(400) {
            return Err(Error::transient("simulated: the queue is away"));
        }
        let world = self.script.world.lock().unwrap();
        let record = world.topics.get(&self.channel).and_then(|topic| topic.get(self.next));
        let Some(payload) = record.cloned() else {
            return Ok(None);
        };
        let record = Record { id: id(self.next as u64), payload };
        self.next += 1;
        Ok(Some(record))
    }
}

#[async_trait]
impl Source for Script {
    async fn open(&self, channel: &str, from: &MessageId) -> Result<Box<dyn ChannelReader>> {
        self.faults.reading().await?;
        let (script, channel, next) = (self.clone(), channel.to_owned(), offset(from));
        Ok(Box::new(Reader { script, channel, next }))
    }

    async fn end(&self, channel: &str) -> Result<MessageId> {
        self.faults.reading().await?;
        assert!(channel == OPS || CHANNELS.contains(&channel));
        Ok(id(self.world.lock().unwrap().topics.get(channel).map_or(0, |t| t.len() as u64)))
    }

    async fn newest(&self, _: &str, _: usize) -> Result<Vec<Record>> {
        Ok(Vec::new())
    }

    fn compare(&self, a: &MessageId, b: &MessageId) -> Ordering {
        offset(a).cmp(&offset(b))
    }
}

#[async_trait]
impl Catalog for Script {
    async fn snapshot(&self) -> Result<Snapshot> {
        self.faults.reading().await?;
        let world = self.world.lock().unwrap();
        let database =
            Database { id: DatabaseId(1), name: "default".into(), created: Timestamp::ZERO };
        let collections = world.collections.values().map(|c| c.info.clone()).collect();
        Ok(Snapshot { databases: vec![database], collections })
    }

    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>> {
        self.faults.reading().await?;
        Ok(self.world.lock().unwrap().collections.get(&id.0).map(|c| c.info.clone()))
    }

    async fn partitions(&self, id: CollectionId) -> Result<Vec<Partition>> {
        self.faults.reading().await?;
        let world = self.world.lock().unwrap();
        Ok(world.collections.get(&id.0).map(|c| c.partitions.clone()).unwrap_or_default())
    }

    fn changes(&self) -> broadcast::Receiver<CatalogEvent> {
        self.events.subscribe()
    }
}
