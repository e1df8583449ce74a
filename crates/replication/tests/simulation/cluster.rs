//! What the simulated target consists of: databases, collections with their rows, aliases and
//! channels, and what requests make of them. Never judges: the target does.

use crate::consumer::{Consumer, read_late};
use crate::milvus::key_of;
use crate::world::World;
use bytes::Bytes;
use milvus_wire::catalog::{self, field_texts};
use milvus_wire::ids::{CollectionId, CollectionName, PartitionId, split_vchannel};
use milvus_wire::message::{Message, RowKind, RowMessage, decode};
use milvus_wire::proto::{msg, schema::i_ds};
use milvus_wire::timestamp::Timestamp;
use prost::Message as _;
use replication::error::{Error, Result};
use replication::ports::{Ddl, TargetCollection, TargetPartition};
use std::collections::{BTreeMap, BTreeSet};

/// The target's physical channels.
pub(crate) const LANES: [&str; 3] = ["t-dml_9", "t-dml_10", "t-dml_11"];

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) key: i64,
    pub(crate) version: i64,
    pub(crate) partition: i64,
    pub(crate) at: Timestamp,
}

pub(crate) struct Collection {
    pub(crate) name: CollectionName,
    pub(crate) info: TargetCollection,
    pub(crate) partitions: BTreeMap<String, TargetPartition>,
    pub(crate) rows: Vec<Row>,
    pub(crate) last: BTreeMap<String, (u64, Timestamp)>,
    pub(crate) met: BTreeSet<i64>,
    /// What made its rows, in order.
    pub(crate) applied: Vec<RowMessage>,
    /// All up to here is flushed.
    pub(crate) stored: Timestamp,
    /// It has lost rows since.
    pub(crate) has_forgotten: bool,
}

impl Row {
    /// The row of an insert, which has one.
    pub(crate) fn of(message: &RowMessage) -> Self {
        let insert = msg::InsertRequest::decode(message.raw.clone()).unwrap();
        Self {
            key: insert.fields_data.first().and_then(key_of).unwrap(),
            version: insert.row_i_ds[0],
            partition: message.partition_id.0,
            at: message.timestamp,
        }
    }
}

/// What a message makes of the rows of its collection. A delete of one partition leaves the others
/// as they are.
pub(crate) fn apply(rows: &mut Vec<Row>, message: &RowMessage) {
    if message.kind == RowKind::Insert {
        return rows.push(Row::of(message));
    }
    let delete = msg::DeleteRequest::decode(message.raw.clone()).unwrap();
    let Some(i_ds::IdField::IntId(keys)) = delete.primary_keys.unwrap().id_field else { return };
    let is_meant = |row: &Row| {
        let partition = message.partition_id.0;
        partition <= 0 || row.partition == partition
    };
    rows.retain(|r| !is_meant(r) || !keys.data.contains(&r.key) || r.at >= message.timestamp);
}

impl Collection {
    /// In which rows it differs from the source's; `None` if in none.
    pub(crate) fn compare(&self, world: &World) -> Option<String> {
        self.compare_rows(&self.rows, world)
    }

    /// Loses what it has got on some shards since it was flushed.
    pub(crate) fn forget(&mut self, mut is_forgotten: impl FnMut(&str) -> bool) {
        let shards: BTreeSet<_> =
            self.info.vchannels.iter().filter(|shard| is_forgotten(shard)).cloned().collect();
        let (before, stored) = (self.applied.len(), self.stored);
        self.applied.retain(|row| row.timestamp <= stored || !shards.contains(&row.vchannel));
        let lost = before - self.applied.len();
        self.has_forgotten |= lost > 0;
        tracing::debug!(name = %self.name, %stored, lost, ?shards, "forgets");
        let exists = |row: &Row| self.partitions.values().any(|p| p.id.0 == row.partition);
        let mut rows = Vec::new();
        self.applied.iter().for_each(|message| apply(&mut rows, message));
        rows.retain(exists);
        self.rows = rows;
    }

    fn compare_rows(&self, rows: &[Row], world: &World) -> Option<String> {
        let truth = world.truth(world.created_at(self.info.created)?)?;
        let mut expected: Vec<_> =
            truth.iter().map(|(key, (version, _))| (*key, *version)).collect();
        let mut found: Vec<_> = rows.iter().map(|row| (row.key, row.version)).collect();
        expected.sort_unstable();
        found.sort_unstable();
        (expected != found).then(|| {
            let id = world.created_at(self.info.created).unwrap_or_default();
            format!("{} ({id}): expected {expected:?}, found {found:?}", self.name)
        })
    }
}

#[derive(Default)]
pub(crate) struct Lane {
    /// Everything that came, in order.
    pub(crate) log: Vec<Bytes>,
    /// Reads everything as soon as it comes.
    pub(crate) consumer: Consumer,
    /// All ticks that came.
    pub(crate) ticks: Vec<Timestamp>,
}

#[derive(Default)]
pub(crate) struct Cluster {
    next_id: i64,
    /// Besides the default one.
    pub(crate) databases: BTreeSet<String>,
    pub(crate) collections: BTreeMap<i64, Collection>,
    /// The collection of each, by its database and the alias.
    pub(crate) aliases: BTreeMap<(String, String), i64>,
    pub(crate) lanes: BTreeMap<String, Lane>,
    pub(crate) kept: (u64, u64),
    pub(crate) frozen_until: Option<tokio::time::Instant>,
}

impl Cluster {
    /// The channels that carry a collection.
    pub(crate) fn used(&self) -> BTreeSet<String> {
        let channels = self.collections.values().flat_map(|c| &c.info.vchannels);
        channels.map(|v| split_vchannel(v).unwrap().0.to_owned()).collect()
    }

    /// What consumers that come late see otherwise than the source has it; `None` if nothing. A
    /// partition that was dropped is gone with all that they read of it.
    pub(crate) fn difference_when_read_late(&self, world: &World) -> Option<String> {
        [1, 3, 20, usize::MAX].into_iter().find_map(|every| {
            let mut rng = fastrand::Rng::with_seed(every as u64);
            let mut rows: BTreeMap<CollectionId, Vec<Row>> = BTreeMap::new();
            for lane in self.lanes.values() {
                for message in read_late(&lane.log, every, &mut rng) {
                    apply(rows.entry(message.collection_id).or_default(), &message);
                }
            }
            self.collections.values().find_map(|c| {
                let mut rows = rows.remove(&c.info.id).unwrap_or_default();
                let exists = |row: &Row| c.partitions.values().any(|p| p.id.0 == row.partition);
                rows.retain(exists);
                let difference = c.compare_rows(&rows, world)?;
                Some(format!("read late, passed on behind 1 of {every} ticks: {difference}"))
            })
        })
    }

    /// A collection by its name.
    pub(crate) fn named(&mut self, name: &CollectionName) -> Option<&mut Collection> {
        self.collections.values_mut().find(|c| c.name == *name)
    }

    fn new_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    /// Carries out a request that needs no judge.
    pub(crate) fn carry_out(&mut self, ddl: &Ddl, at: Timestamp) -> Result<()> {
        match ddl {
            Ddl::CreateDatabase(name) => {
                self.databases.insert(name.clone());
            }
            Ddl::CreateCollection { name, collection } => {
                self.create_collection(name, collection, at)?;
            }
            Ddl::CreatePartition { collection, partition } => {
                let id = PartitionId(9_000_000 + self.new_id());
                if let Some(c) = self.named(collection) {
                    let made = TargetPartition { id, created: at };
                    c.partitions.entry(partition.clone()).or_insert(made);
                }
            }
            Ddl::DropPartition { collection, partition } => {
                if let Some(c) = self.named(collection)
                    && let Some(gone) = c.partitions.remove(partition)
                {
                    c.rows.retain(|row| row.partition != gone.id.0);
                }
            }
            Ddl::AlterCollection { name, set, removed } => {
                if let Some(c) = self.named(name) {
                    c.info.properties.retain(|key, _| !removed.contains(key));
                    c.info.properties.extend(set.iter().cloned());
                }
            }
            Ddl::GiveAlias { collection, alias } => {
                let there = self.named(collection);
                let id = there.ok_or_else(|| Error::transient("collection not found"))?.info.id;
                self.aliases.insert((collection.database.clone(), alias.clone()), id.0);
            }
            Ddl::DropAlias { database, alias } => {
                self.aliases.remove(&(database.clone(), alias.clone()));
            }
            Ddl::DropCollection { .. } | Ddl::RenameCollection { .. } | Ddl::Op(_) => {}
        }
        Ok(())
    }

    fn create_collection(
        &mut self,
        name: &CollectionName,
        collection: &catalog::Collection,
        at: Timestamp,
    ) -> Result<()> {
        if self.named(name).is_some() {
            return Ok(());
        }
        if name.database != "default" && !self.databases.contains(&name.database) {
            return Err(Error::transient("database not found"));
        }
        let id = 9000 + self.new_id();
        let mut lanes = LANES.to_vec();
        lanes.rotate_left(usize::try_from(id).unwrap() % LANES.len());
        let channels = lanes.iter().take(collection.vchannels.len()).enumerate();
        let properties = collection.properties.iter().map(|p| (p.key.clone(), p.value.clone()));
        let info = TargetCollection {
            id: CollectionId(id),
            created: at,
            vchannels: channels.map(|(n, lane)| format!("{lane}_{id}v{n}")).collect(),
            fields: Some(field_texts(&collection.schema)),
            properties: properties.collect(),
        };
        let first = TargetPartition { id: PartitionId(id * 1000), created: at };
        let made = Collection {
            name: name.clone(),
            info,
            partitions: BTreeMap::from([("_default".to_owned(), first)]),
            rows: Vec::new(),
            last: BTreeMap::new(),
            met: BTreeSet::new(),
            applied: Vec::new(),
            stored: Timestamp::ZERO,
            has_forgotten: false,
        };
        self.collections.insert(id, made);
        Ok(())
    }

    /// A channel whose log does not say that a collection was dropped: the nodes that read it keep
    /// what they have of that.
    pub(crate) fn keeps(&self, dropped: &Collection) -> Option<String> {
        let is_told = |raw: &Bytes| match decode(raw.clone()) {
            Ok(Message::DropCollection(drop)) => drop.collection_id == dropped.info.id,
            _ => false,
        };
        let lanes = dropped.info.vchannels.iter().map(|v| split_vchannel(v).unwrap().0);
        let log = |lane: &str| self.lanes.get(lane).map(|lane| &lane.log[..]).unwrap_or_default();
        { lanes }.find(|lane| !log(lane).iter().any(is_told)).map(str::to_owned)
    }

    /// What was dropped, if it was there.
    pub(crate) fn drop_collection(&mut self, name: &CollectionName) -> Option<Collection> {
        let id = self.named(name)?.info.id.0;
        self.aliases.retain(|_, of| *of != id);
        self.collections.remove(&id)
    }

    /// False if somebody else has the new name; it is given all the same.
    pub(crate) fn rename(&mut self, from: &CollectionName, to: &CollectionName) -> bool {
        let is_free = self.named(to).is_none();
        let Some(it) = self.named(from) else { return true };
        it.name = to.clone();
        let id = it.info.id.0;
        if from.database != to.database {
            self.aliases.retain(|_, of| *of != id);
        }
        is_free
    }

    pub(crate) fn drop_database(&mut self, name: &str) -> Result<()> {
        if self.collections.values().any(|c| c.name.database == name) {
            return Err(Error::transient("database not empty"));
        }
        self.databases.remove(name);
        Ok(())
    }
}
