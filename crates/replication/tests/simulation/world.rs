//! What the simulated source does at random, what it writes of it, and the truth to compare with.
//! Never fails: reading what it has written may, in `script`.

use crate::log::{self, Log, PRIMARY_KEY, Stamp};
use bytes::Bytes;
use milvus_wire::catalog::{Collection, Partition, State};
use milvus_wire::ids::{CollectionId, CollectionName, DEFAULT_DATABASE, DatabaseId, PartitionId};
use milvus_wire::proto::schema::{CollectionSchema, FieldSchema};
use milvus_wire::serving::{Alias, Serving};
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use replication::ports::CatalogEvent;
use std::collections::{BTreeMap, BTreeSet};

/// The source's physical channels; 9 and 10 sort the other way round as text.
pub(crate) const CHANNELS: [&str; 4] = ["s-dml_8", "s-dml_9", "s-dml_10", "s-dml_11"];

/// The truth of a collection: key to (version, partition id).
pub(crate) type Truth = BTreeMap<i64, (i64, i64)>;

/// One collection of the source.
struct Live {
    info: Collection,
    truth: Truth,
    partitions: Vec<Partition>,
}

/// A drop that the source has carried out and not yet written to its log.
enum Unwritten {
    Collection(i64),
    Partition(i64, i64),
}

/// The source's log and metadata, and what is true of them.
pub(crate) struct World {
    rng: fastrand::Rng,
    pub(crate) log: Log,
    collections: BTreeMap<i64, Live>,
    next_id: i64,
    logical: u64,
    last_ts: u64,
    last_tick: u64,
    /// The place of each message of rows in the order of the source.
    order: BTreeMap<i64, u64>,
    late: BTreeSet<i64>,
    written: BTreeMap<i64, u64>,
    unwritten: Vec<Unwritten>,
    /// Whether drops may come late, and those that a channel is to get behind the next tick.
    late_drops: bool,
    untold: Vec<(String, Bytes)>,
    names: u64,
    /// The tasks replicate only collections whose names begin like this, and now and then one gets
    /// such a name that had another one.
    pub(crate) selected: Option<&'static str>,
    /// Besides the default one.
    pub(crate) databases: Vec<String>,
    pub(crate) serving: BTreeMap<CollectionId, Serving>,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) damaged: Damaged,
}

/// The names of records that can't be read.
#[derive(Default)]
pub(crate) struct Damaged {
    pub(crate) serving: Option<String>,
    pub(crate) aliases: Option<String>,
    pub(crate) roles: Option<String>,
}

/// The truth.
impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed ^ 0x5eed),
            log: Log::default(),
            collections: BTreeMap::new(),
            next_id: 100,
            logical: 0,
            last_ts: 0,
            last_tick: 0,
            order: BTreeMap::new(),
            late: BTreeSet::new(),
            written: BTreeMap::new(),
            unwritten: Vec::new(),
            late_drops: false,
            untold: Vec::new(),
            names: 0,
            selected: None,
            databases: Vec::new(),
            serving: BTreeMap::new(),
            aliases: Vec::new(),
            damaged: Damaged::default(),
        }
    }

    /// The place of a message in the order of the source; `None` if it is not the source's, or was
    /// late.
    pub(crate) fn order_of(&self, msg_id: i64) -> Option<u64> {
        self.order.get(&msg_id).filter(|_| !self.late.contains(&msg_id)).copied()
    }

    /// When the source wrote a row, by its version.
    pub(crate) fn timestamp_of(&self, version: i64) -> Option<Timestamp> {
        self.written.get(&version).map(|at| Timestamp(*at))
    }

    /// The truth of a collection, dropped ones included.
    pub(crate) fn truth(&self, id: i64) -> Option<&Truth> {
        self.collections.get(&id).map(|c| &c.truth)
    }

    /// Which collection was created at a time: its identity on the target.
    pub(crate) fn created_at(&self, at: Timestamp) -> Option<i64> {
        self.collections.values().find(|c| c.info.created == at).map(|c| c.info.id.0)
    }

    /// Names and ids of what exists and is selected.
    pub(crate) fn live(&self) -> BTreeSet<(String, i64)> {
        let start = self.selected.unwrap_or_default();
        let is_selected = |c: &&Live| c.info.name().starts_with(start);
        let created = self.collections.values().filter(|c| c.info.state == State::Created);
        let created = created.filter(is_selected);
        created.map(|c| (c.info.name().to_owned(), c.info.id.0)).collect()
    }

    /// The names of the partitions of a collection that exist.
    pub(crate) fn partitions_of(&self, id: i64) -> BTreeSet<String> {
        let partitions = self.collections.get(&id).map(|c| &c.partitions[..]).unwrap_or_default();
        let created = partitions.iter().filter(|p| p.state == State::Created);
        created.map(|p| p.name.clone()).collect()
    }

    /// The last tick.
    pub(crate) fn last_tick(&self) -> Timestamp {
        Timestamp(self.last_tick)
    }

    /// The records of all collections, in whatever state.
    pub(crate) fn collections(&self) -> impl Iterator<Item = &Collection> {
        self.collections.values().map(|c| &c.info)
    }

    /// The record of a collection.
    pub(crate) fn collection(&self, id: CollectionId) -> Option<&Collection> {
        self.collections.get(&id.0).map(|c| &c.info)
    }

    /// The records of a collection's partitions, in whatever state.
    pub(crate) fn partitions(&self, id: CollectionId) -> Vec<Partition> {
        self.collections.get(&id.0).map(|c| c.partitions.clone()).unwrap_or_default()
    }
}

/// What it does.
impl World {
    /// One random act, and what a watch of the catalog tells of it.
    pub(crate) fn act(&mut self, now: Timestamp, late: bool) -> Vec<CatalogEvent> {
        self.late_drops = late;
        let mut live: Vec<i64> = self
            .collections
            .values()
            .filter(|c| c.info.state == State::Created)
            .map(|c| c.info.id.0)
            .collect();
        match self.rng.u32(0..100) {
            _ if live.is_empty() => vec![self.create(now, None)],
            0..=3 if live.len() < 4 => vec![self.create(now, None)],
            4..=5 => {
                let id = live[self.rng.usize(0..live.len())];
                let name = self.end(now, id);
                // A namesake at once, now and then.
                (self.rng.bool()).then(|| self.create(now, Some(name))).into_iter().collect()
            }
            6..=7 => {
                let id = live[self.rng.usize(0..live.len())];
                vec![self.create_partition(now, id)]
            }
            8..=9 => {
                let id = live[self.rng.usize(0..live.len())];
                let name = self.drop_partition(now, id).filter(|_| self.rng.bool());
                name.map(|name| self.add_partition(now, id, name)).into_iter().collect()
            }
            10..=12 => {
                self.rng.shuffle(&mut live);
                self.change_names(now, &live)
            }
            n => {
                let id = live[self.rng.usize(0..live.len())];
                self.write(now, id, n, late);
                Vec::new()
            }
        }
    }

    /// Renames, and does what makes names meet: a new one takes the old name, two swap theirs, one
    /// takes the name of another that is dropped.
    fn change_names(&mut self, now: Timestamp, live: &[i64]) -> Vec<CatalogEvent> {
        let renamed = |id: i64| CatalogEvent::Collection(CollectionId(id));
        let id = live[0];
        let name = self.name_of(id);
        // Of the same task: its names begin with the same letter.
        let others = live[1..].iter().copied();
        let other = { others }.find(|other| self.name_of(*other)[..1] == name[..1]);
        match (self.rng.u32(0..4), other) {
            (0, Some(other)) => {
                let others_name = self.name_of(other);
                self.rename(other, name);
                self.rename(id, others_name);
                vec![renamed(id), renamed(other)]
            }
            (1, Some(other)) => {
                let free = self.end(now, other);
                self.rename(id, free);
                let mut told = vec![renamed(id)];
                if self.rng.bool() {
                    told.push(self.create(now, Some(name)));
                }
                told
            }
            (2, _) => {
                let new = self.next_name(&name);
                self.rename(id, new);
                vec![renamed(id), self.create(now, Some(name))]
            }
            _ => {
                let new = self.next_name(&name);
                self.rename(id, new);
                vec![renamed(id)]
            }
        }
    }

    fn name_of(&self, id: i64) -> String {
        self.collections[&id].info.name().to_owned()
    }

    fn next_name(&mut self, name: &str) -> String {
        let enters = self.selected.filter(|_| self.rng.bool());
        self.new_name(enters.unwrap_or(&name[..1]))
    }

    fn new_name(&mut self, letter: &str) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    fn rename(&mut self, id: i64, name: String) {
        self.collections.get_mut(&id).unwrap().info.schema.name = name;
    }

    /// A tick on every channel that carries a collection, sometimes twice.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        for drop in std::mem::take(&mut self.unwritten) {
            match drop {
                Unwritten::Collection(cid) => self.write_drop(now, cid),
                Unwritten::Partition(cid, pid) => self.write_partition_drop(now, cid, pid),
            }
        }
        let at = self.allocate(now);
        self.last_tick = at;
        let carrying: BTreeSet<String> = self
            .collections
            .values()
            .filter(|c| c.info.state == State::Created || c.info.state == State::Dropping)
            .flat_map(|c| c.info.pchannels.clone())
            .collect();
        for channel in carrying {
            for _ in 0..=u32::from(self.rng.u32(0..20) == 0) {
                self.log.append(&channel, &log::tick(at));
            }
        }
        for (channel, drop) in std::mem::take(&mut self.untold) {
            self.log.append_bytes(&channel, drop);
        }
        // What was being dropped is covered by this tick: the channel may go quiet.
        for live in self.collections.values_mut() {
            if live.info.state == State::Dropping {
                live.info.state = State::Dropped;
            }
        }
    }

    fn allocate(&mut self, now: Timestamp) -> u64 {
        self.logical = (self.logical + 1) % (1 << 18);
        self.last_ts = (now.0 + self.logical).max(self.last_ts + 1);
        self.last_ts
    }

    fn create(&mut self, now: Timestamp, name: Option<String>) -> CatalogEvent {
        let at = self.allocate(now);
        self.next_id += 1;
        let cid = self.next_id;
        let shards = self.rng.usize(1..=3);
        let mut channels: Vec<&str> = CHANNELS.to_vec();
        self.rng.shuffle(&mut channels);
        let pchannels: Vec<String> = channels[..shards].iter().map(|c| (*c).to_owned()).collect();
        let name = name.unwrap_or_else(|| {
            let letter = ["a", "b"][self.rng.usize(0..2)];
            self.new_name(letter)
        });
        // Once in a while a creation comes to nothing.
        let state = if self.rng.u32(0..15) == 0 { State::Dropped } else { State::Created };
        let name = CollectionName::new(DEFAULT_DATABASE, name);
        self.add_collection((cid, at), &name, pchannels, state);
        CatalogEvent::Collection(CollectionId(cid))
    }

    /// Creates a collection of this name.
    pub(crate) fn create_as(&mut self, now: Timestamp, name: &CollectionName, shards: usize) {
        let at = self.allocate(now);
        self.next_id += 1;
        let pchannels = CHANNELS[..shards].iter().map(|channel| (*channel).to_owned());
        self.add_collection((self.next_id, at), name, pchannels.collect(), State::Created);
    }

    fn add_collection(
        &mut self,
        (cid, at): (i64, u64),
        name: &CollectionName,
        pchannels: Vec<String>,
        state: State,
    ) {
        let mut start_positions = BTreeMap::new();
        for channel in &pchannels {
            let position = self.log.append(channel, &log::create_collection(&name.name, cid, at));
            start_positions.insert(channel.clone(), position);
        }
        let primary = FieldSchema {
            field_id: PRIMARY_KEY,
            name: "id".into(),
            is_primary_key: true,
            data_type: 5,
            ..Default::default()
        };
        let schema = CollectionSchema {
            name: name.name.clone(),
            fields: vec![primary],
            ..Default::default()
        };
        let info = Collection {
            id: CollectionId(cid),
            database_id: DatabaseId(1),
            database: name.database.clone(),
            state,
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
            partition_count: None,
        };
        let partitions = vec![partition(cid, cid * 1000, "_default", at)];
        self.collections.insert(cid, Live { info, truth: Truth::new(), partitions });
    }

    /// Writes a row to each collection whose name ends like this.
    pub(crate) fn write_to_each(&mut self, now: Timestamp, end: &str) {
        let of_name: Vec<_> = self.live().into_iter().filter(|(n, _)| n.ends_with(end)).collect();
        of_name.into_iter().for_each(|(_, id)| self.write(now, id, 50, false));
    }

    /// The collection of this name.
    pub(crate) fn id_of(&self, name: &CollectionName) -> Option<CollectionId> {
        let mut live = self.collections().filter(|info| info.state == State::Created);
        let it = live.find(|it| it.database == name.database && it.name() == name.name);
        it.map(|info| info.id)
    }

    /// Drops this collection.
    pub(crate) fn end_of(&mut self, now: Timestamp, id: CollectionId) {
        self.end(now, id.0);
    }

    /// Drops a collection and tells its name.
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
        let name = live.info.name().to_owned();
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
        let info = &self.collections[&cid].info;
        let (channels, drop) = (info.pchannels.clone(), log::drop_collection(info, at));
        self.write_to_shards(&channels, &drop);
    }

    /// Writes a drop to the channels of all shards, to one of them late perhaps.
    fn write_to_shards(&mut self, channels: &[String], drop: &impl Message) {
        let is_late = self.late_drops && channels.len() > 1 && self.rng.bool();
        let (told, untold) = channels.split_at(channels.len() - usize::from(is_late));
        self.log.append_to_all(told, drop);
        let drop: Bytes = drop.encode_to_vec().into();
        self.untold.extend(untold.iter().map(|channel| (channel.clone(), drop.clone())));
    }

    fn create_partition(&mut self, now: Timestamp, cid: i64) -> CatalogEvent {
        let name = format!("p{}", self.rng.u32(0..3));
        self.add_partition(now, cid, name)
    }

    pub(crate) fn add_partition(&mut self, now: Timestamp, cid: i64, name: String) -> CatalogEvent {
        let at = self.allocate(now);
        self.next_id += 1;
        let pid = self.next_id * 1000;
        let live = self.collections.get_mut(&cid).unwrap();
        if !live.partitions.iter().any(|p| p.name == name && p.state == State::Created) {
            live.partitions.push(partition(cid, pid, &name, at));
        }
        CatalogEvent::Partition(CollectionId(cid))
    }

    /// Drops a partition, if there is one to drop, and tells its name.
    pub(crate) fn drop_partition(&mut self, now: Timestamp, cid: i64) -> Option<String> {
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
        let Live { info, partitions, .. } = &self.collections[&cid];
        let dropped = partitions.iter().find(|p| p.id.0 == pid).unwrap();
        let (channels, drop) = (info.pchannels.clone(), log::drop_partition(info, dropped, at));
        self.write_to_shards(&channels, &drop);
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
            let stamp = self.stamp(at, late);
            self.delete(cid, key, stamp);
        }
        if !exists || what >= 50 {
            let stamp = self.stamp(at, late);
            self.insert(cid, key, stamp);
        }
    }

    /// For the next message of rows; it takes its place in the order of the source.
    fn stamp(&mut self, at: u64, late: bool) -> Stamp {
        self.next_id += 1;
        let msg_id = self.next_id;
        let place = self.order.len() as u64;
        self.order.insert(msg_id, place);
        if late {
            self.late.insert(msg_id);
        }
        Stamp { msg_id, at }
    }

    fn insert(&mut self, cid: i64, key: i64, stamp: Stamp) {
        let Live { info, truth, partitions } = self.collections.get_mut(&cid).unwrap();
        let created: Vec<_> = partitions.iter().filter(|p| p.state == State::Created).collect();
        let partition = created[self.rng.usize(0..created.len())];
        truth.insert(key, (stamp.msg_id, partition.id.0));
        self.written.insert(stamp.msg_id, stamp.at);
        let channel = &info.pchannels[log::shard(info, key)];
        self.log.append(channel, &log::insert(info, partition, key, stamp));
    }

    fn delete(&mut self, cid: i64, key: i64, stamp: Stamp) {
        let Live { info, truth, .. } = self.collections.get_mut(&cid).unwrap();
        let partition = truth.remove(&key).map(|(_, partition)| partition);
        let channel = &info.pchannels[log::shard(info, key)];
        let partition = partition.filter(|_| self.rng.bool());
        self.log.append(channel, &log::delete(info, key, partition, stamp));
    }
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
