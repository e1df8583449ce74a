//! A target that does what Milvus 2.3 does with its log: between two ticks of a channel it removes
//! every second message with the same id, then applies what the tick covers.
//! Never forgives a violation: it is in the verdict.

use crate::faults::{Fault, Faults, Verdict};
use crate::script::Script;
use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use milvus_wire::ids::{CollectionId, CollectionName, PartitionId, split_vchannel};
use milvus_wire::message::{Message, RowKind, RowMessage, decode};
use milvus_wire::op::OpRequest;
use milvus_wire::proto::{msg, schema::i_ds};
use milvus_wire::replicate::ReplicateCall;
use milvus_wire::roles::Role;
use milvus_wire::splice::Spliced;
use milvus_wire::timestamp::Timestamp;
use prost::Message as _;
use replication::error::{Error, Result};
use replication::ports::{CallError, Ddl, Target, TargetCollection, TargetPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Below the settle time of the simulated tasks.
const LATE_MAX_MS: u64 = 1900;
const LANES: [&str; 3] = ["t-dml_9", "t-dml_10", "t-dml_11"];

#[derive(Clone, Debug)]
struct Row {
    key: i64,
    version: i64,
    partition: i64,
    at: Timestamp,
}

struct Collection {
    name: String,
    info: TargetCollection,
    partitions: BTreeMap<String, i64>,
    rows: Vec<Row>,
    last: BTreeMap<String, (u64, Timestamp)>,
    met: BTreeSet<i64>,
}

impl Collection {
    /// In which rows it differs from the source's; `None` if in none.
    fn compare(&self, world: &World) -> Option<String> {
        let truth = world.truth(world.created_at(self.info.created)?)?;
        let mut expected: Vec<_> =
            truth.iter().map(|(key, (version, _))| (*key, *version)).collect();
        let mut found: Vec<_> = self.rows.iter().map(|row| (row.key, row.version)).collect();
        expected.sort_unstable();
        found.sort_unstable();
        (expected != found)
            .then(|| format!("{}: expected {expected:?}, found {found:?}", self.name))
    }
}

#[derive(Default)]
struct Lane {
    last_tick: Timestamp,
    window: Vec<Bytes>,
}

#[derive(Default)]
struct Cluster {
    next_id: i64,
    collections: BTreeMap<i64, Collection>,
    lanes: BTreeMap<String, Lane>,
    kept: (u64, u64),
    frozen_until: Option<tokio::time::Instant>,
}

/// The target.
#[derive(Clone)]
pub(crate) struct Milvus {
    cluster: Arc<Mutex<Cluster>>,
    faults: Faults,
    script: Script,
    verdict: Verdict,
}

impl Milvus {
    pub(crate) fn new(faults: Faults, script: Script, verdict: Verdict) -> Self {
        Self { cluster: Arc::default(), faults, script, verdict }
    }

    /// A process's way to it.
    pub(crate) fn seen_by(&self, faults: Faults) -> Self {
        Self { faults, ..self.clone() }
    }

    /// Stops answering for a while.
    pub(crate) fn freeze(&self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        let mut cluster = self.cluster.lock().unwrap();
        cluster.frozen_until = cluster.frozen_until.max(Some(until));
    }

    /// The lowest tick over the lanes that carry a collection.
    pub(crate) fn ticked(&self) -> Timestamp {
        let cluster = self.cluster.lock().unwrap();
        let lanes = used(&cluster);
        let tick = |lane: &String| cluster.lanes.get(lane).map_or(Timestamp::ZERO, |l| l.last_tick);
        lanes.iter().map(tick).min().unwrap_or(Timestamp(u64::MAX))
    }

    /// How many rows kept their timestamp, and how many there were.
    pub(crate) fn kept(&self) -> (u64, u64) {
        self.cluster.lock().unwrap().kept
    }

    /// What differs from the source; `None` if nothing does.
    pub(crate) fn difference(&self) -> Option<String> {
        let cluster = self.cluster.lock().unwrap();
        let world = self.script.world();
        let here = world.live();
        let identity =
            |c: &Collection| (c.name.clone(), world.created_at(c.info.created).unwrap_or(0));
        let there: BTreeSet<_> = cluster.collections.values().map(identity).collect();
        if here != there {
            return Some(format!("collections: source {here:?}, target {there:?}"));
        }
        let differs = cluster.collections.values().find_map(|c| {
            let id = world.created_at(c.info.created)?;
            let partitions: BTreeSet<_> = c.partitions.keys().cloned().collect();
            if partitions != world.partitions_of(id) {
                return Some(format!("partitions of {}: {partitions:?}", c.name));
            }
            c.compare(&world)
        });
        differs.or_else(|| self.script.access.difference())
    }

    fn append(&self, pchannel: &str, messages: &[Bytes]) {
        let mut cluster = self.cluster.lock().unwrap();
        for raw in messages {
            match decode(raw.clone()).unwrap() {
                Message::Tick(at) => self.tick(&mut cluster, pchannel, at),
                _ => cluster.lanes.entry(pchannel.to_owned()).or_default().window.push(raw.clone()),
            }
        }
    }

    fn tick(&self, cluster: &mut Cluster, pchannel: &str, at: Timestamp) {
        let lane = cluster.lanes.entry(pchannel.to_owned()).or_default();
        if at <= lane.last_tick {
            return;
        }
        let (from, window) = (lane.last_tick, std::mem::take(&mut lane.window));
        lane.last_tick = at;
        let mut met = BTreeSet::new();
        let mut rows: Vec<RowMessage> = Vec::new();
        let mut later = Vec::new();
        // What lies above the tick stays for the next one; duplicates are removed among what is
        // released together. Source: `MqTtMsgStream.bufMsgPackToChannel`.
        for raw in window {
            match decode(raw.clone()).unwrap() {
                Message::Row(row) if row.timestamp > at => later.push(raw),
                Message::Row(row) if met.insert(row.msg_id) => rows.push(row),
                _ => {}
            }
        }
        lane.window = later;
        if let Some(row) = rows.iter().find(|row| row.timestamp <= from) {
            self.verdict.violated(format!(
                "I3: a row of {pchannel} at {} below the tick {from}",
                row.timestamp
            ));
        }
        let seen: Vec<_> = rows.iter().map(|r| (r.msg_id, r.kind, r.timestamp)).collect();
        tracing::debug!(now = %self.script.now(), pchannel, %from, %at, rows = ?seen, "tick");
        rows.sort_by_key(|row| (row.timestamp, row.kind));
        for row in rows {
            self.apply_row(cluster, &row);
        }
    }

    fn apply_row(&self, cluster: &mut Cluster, row: &RowMessage) {
        let Some(c) = cluster.collections.get_mut(&row.collection_id.0) else {
            return;
        };
        if !c.info.vchannels.contains(&row.vchannel) {
            self.verdict
                .violated(format!("a row of {} names the channel {}", c.name, row.vchannel));
            return;
        }
        let place = self.script.world().order_of(row.msg_id);
        if let Some(place) = place {
            let last = c.last.entry(row.vchannel.clone()).or_default();
            // Upserts share a timestamp; all else must come in the order of the source.
            if !c.met.insert(row.msg_id) {
                // Sent again behind a fence: the order begins anew.
                last.0 = place;
            }
            if place < last.0 && row.timestamp > last.1 {
                self.verdict.violated(format!(
                    "I2: {} got {:?} {} at place {place}, {}, after place {} at {}",
                    c.name, row.kind, row.msg_id, row.timestamp, last.0, last.1
                ));
            }
            *last = (place.max(last.0), row.timestamp);
        }
        match row.kind {
            RowKind::Insert => {
                let insert = msg::InsertRequest::decode(row.raw.clone()).unwrap();
                let source = insert.row_i_ds[0];
                cluster.kept.1 += 1;
                let key = insert.fields_data.first().and_then(key_of).unwrap();
                let shard = split_vchannel(&row.vchannel).unwrap().2;
                if usize::try_from(key).unwrap() % c.info.vchannels.len() != shard {
                    self.verdict.violated(format!("I4: the key {key} is in the shard {shard}"));
                }
                c.rows.push(Row {
                    key,
                    version: source,
                    partition: row.partition_id.0,
                    at: row.timestamp,
                });
                if self.script.world().timestamp_of(source) == Some(row.timestamp) {
                    cluster.kept.0 += 1;
                }
            }
            RowKind::Delete => {
                let delete = msg::DeleteRequest::decode(row.raw.clone()).unwrap();
                let Some(i_ds::IdField::IntId(keys)) = delete.primary_keys.unwrap().id_field else {
                    return;
                };
                c.rows.retain(|r| !keys.data.contains(&r.key) || r.at >= row.timestamp);
            }
        }
    }

    async fn thaw(&self) {
        let until = self.cluster.lock().unwrap().frozen_until;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }
}

pub(crate) fn key_of(column: &milvus_wire::proto::schema::FieldData) -> Option<i64> {
    use milvus_wire::proto::schema::{field_data::Field, scalar_field::Data};
    match column.field.as_ref()? {
        Field::Scalars(scalars) => match scalars.data.as_ref()? {
            Data::LongData(keys) => keys.data.first().copied(),
            _ => None,
        },
        _ => None,
    }
}

fn used(cluster: &Cluster) -> BTreeSet<String> {
    let channels = cluster.collections.values().flat_map(|c| &c.info.vchannels);
    channels.map(|v| split_vchannel(v).unwrap().0.to_owned()).collect()
}

#[async_trait]
impl Target for Milvus {
    async fn describe(&self, name: &CollectionName) -> Result<Option<TargetCollection>> {
        self.thaw().await;
        self.faults.reading().await?;
        let cluster = self.cluster.lock().unwrap();
        Ok(cluster.collections.values().find(|c| c.name == name.name).map(|c| c.info.clone()))
    }

    async fn alias(&self, _: &str, _: &str) -> Result<Option<CollectionId>> {
        Ok(None)
    }

    async fn users(&self) -> Result<BTreeSet<String>> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok(self.script.access.users())
    }

    async fn role(&self, name: &str, _: &BTreeSet<&str>) -> Result<Option<Role>> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok(self.script.access.role(name))
    }

    async fn partitions(&self, name: &CollectionName) -> Result<BTreeMap<String, TargetPartition>> {
        self.thaw().await;
        self.faults.reading().await?;
        let cluster = self.cluster.lock().unwrap();
        let c = cluster.collections.values().find(|c| c.name == name.name);
        let c = c.ok_or_else(|| Error::transient("collection not found"))?;
        // Only what another tool has left is told apart by its time.
        let partition = |id| TargetPartition { id: PartitionId(id), created: c.info.created };
        Ok(c.partitions.iter().map(|(name, id)| (name.clone(), partition(*id))).collect())
    }

    async fn databases(&self) -> Result<Vec<String>> {
        Ok(vec!["default".into()])
    }

    async fn pchannels(&self) -> Result<Vec<String>> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok(used(&self.cluster.lock().unwrap()).into_iter().collect())
    }

    async fn apply(&self, ddl: &Ddl, at: Timestamp) -> Result<()> {
        self.thaw().await;
        match self.faults.next() {
            Fault::None | Fault::Slow => self.carry_out(ddl, at),
            Fault::Refuse | Fault::LoseCall | Fault::Late => {
                return Err(Error::transient("simulated"));
            }
            Fault::LoseAnswer => {
                self.carry_out(ddl, at);
                return Err(Error::transient("simulated: done, and nobody knows"));
            }
            Fault::CrashBefore => self.faults.die().await,
            Fault::CrashAfter => {
                self.carry_out(ddl, at);
                self.faults.die().await
            }
        }
        Ok(())
    }

    async fn replicate(&self, call: &ReplicateCall) -> std::result::Result<(), CallError> {
        let messages: Vec<Bytes> = call.messages.iter().map(|m| m.to_bytes()).collect();
        assert!(!messages.is_empty() && call.end > Timestamp::ZERO);
        let lost = || Err(CallError::Unanswered(Error::transient("simulated: no answer")));
        let later = Duration::from_millis(self.faults.below(LATE_MAX_MS));
        let effect = |after: Duration| {
            let (this, pchannel) = (self.clone(), call.pchannel.clone());
            // The target goes on with what it was given, whether or not its client lives.
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                this.thaw().await;
                this.append(&pchannel, &messages);
            })
        };
        let fault = self.faults.next();
        let id = |message: &Spliced| match decode(message.to_bytes()).unwrap() {
            Message::Row(row) => row.msg_id,
            _ => 0,
        };
        let messages: Vec<_> = call.messages.iter().map(id).collect();
        let (now, pchannel) = (self.script.now(), &call.pchannel);
        tracing::debug!(%now, pchannel, end = %call.end, ?messages, ?fault, "call");
        match fault {
            Fault::None => effect(Duration::ZERO).await.unwrap(),
            Fault::Slow => effect(later).await.unwrap(),
            Fault::Refuse => {
                return Err(CallError::Refused(Error::transient("simulated: refused")));
            }
            Fault::LoseCall => return lost(),
            Fault::LoseAnswer => {
                effect(Duration::ZERO).await.unwrap();
                return lost();
            }
            Fault::Late => {
                effect(later);
                return lost();
            }
            Fault::CrashBefore => return self.faults.die().await,
            Fault::CrashAfter => {
                effect(later);
                return self.faults.die().await;
            }
        }
        Ok(())
    }

    async fn clock(&self) -> Result<Timestamp> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok(self.script.now())
    }
}

impl Milvus {
    fn carry_out(&self, ddl: &Ddl, at: Timestamp) {
        let mut cluster = self.cluster.lock().unwrap();
        let cluster = &mut *cluster;
        let by_name = |cluster: &Cluster, name: &str| {
            cluster.collections.iter().find(|(_, c)| c.name == name).map(|(id, _)| *id)
        };
        match ddl {
            Ddl::CreateCollection { name, collection, .. } => {
                if by_name(cluster, &name.name).is_some() {
                    return;
                }
                cluster.next_id += 1;
                let id = 9000 + cluster.next_id;
                let mut lanes = LANES.to_vec();
                lanes.rotate_left(usize::try_from(id).unwrap() % LANES.len());
                let vchannels = (0..collection.vchannels.len())
                    .map(|n| format!("{}_{id}v{n}", lanes[n]))
                    .collect();
                let info = TargetCollection {
                    id: CollectionId(id),
                    created: at,
                    vchannels,
                    fields: Some(milvus_wire::catalog::field_texts(&collection.schema)),
                    properties: BTreeMap::new(),
                };
                let partitions = BTreeMap::from([("_default".to_owned(), id * 1000)]);
                let (name, rows, last, met) =
                    (name.clone(), Vec::new(), BTreeMap::new(), BTreeSet::new());
                cluster
                    .collections
                    .insert(id, Collection { name: name.name, info, partitions, rows, last, met });
            }
            Ddl::DropCollection(name) => {
                let Some(id) = by_name(cluster, &name.name) else {
                    return;
                };
                let gone = cluster.collections.remove(&id).unwrap();
                // Everything before the drop must have arrived before it.
                if let Some(difference) = gone.compare(&self.script.world()) {
                    self.verdict.violated(format!("I2: dropped too early: {difference}"));
                }
            }
            Ddl::RenameCollection { from, to, .. } => self.rename(cluster, &from.name, &to.name),
            Ddl::CreatePartition { collection, partition, .. } => {
                let Some(id) = by_name(cluster, &collection.name) else {
                    return;
                };
                cluster.next_id += 1;
                let pid = 9_000_000 + cluster.next_id;
                let c = cluster.collections.get_mut(&id).unwrap();
                c.partitions.entry(partition.clone()).or_insert(pid);
            }
            Ddl::DropPartition { collection, partition, .. } => {
                let Some(id) = by_name(cluster, &collection.name) else {
                    return;
                };
                let c = cluster.collections.get_mut(&id).unwrap();
                if let Some(pid) = c.partitions.remove(partition) {
                    c.rows.retain(|row| row.partition != pid);
                }
            }
            Ddl::CreateDatabase(_)
            | Ddl::AlterCollection { .. }
            | Ddl::GiveAlias { .. }
            | Ddl::DropAlias { .. } => {}
            Ddl::Op(request) => {
                if let OpRequest::Access(request) = &**request {
                    self.script.access.apply(request);
                }
            }
        }
    }

    fn rename(&self, cluster: &mut Cluster, name: &str, to: &str) {
        let is_taken = cluster.collections.values().any(|c| c.name == to);
        let Some(it) = cluster.collections.values_mut().find(|c| c.name == name) else { return };
        if is_taken {
            self.verdict.violated(format!("{name} is renamed to {to}, which exists"));
        }
        to.clone_into(&mut it.name);
    }
}
