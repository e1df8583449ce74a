//! A target that does with its log what Milvus 2.3 does, whenever it is read: at once, or later
//! from any tick on. Never forgives a violation: it is in the verdict.

use crate::cluster::{Cluster, Collection, Lane, Row, apply};
use crate::faults::{Fault, Faults, Verdict};
use crate::script::Script;
use crate::silence::{Calls, Silence};
use crate::stranger::MADE_AT;
use async_trait::async_trait;
use bytes::Bytes;
use milvus_wire::ids::{CollectionId, CollectionName, DEFAULT_DATABASE, split_vchannel};
use milvus_wire::message::{Message, RowKind, RowMessage, decode};
use milvus_wire::op::OpRequest;
use milvus_wire::replicate::{ReplicateCall, tick};
use milvus_wire::roles::Role;
use milvus_wire::splice::Spliced;
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use replication::ports::{CallError, Ddl, Flush, Target, TargetCollection, TargetPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// How late an append may come. Together with a standstill, and behind others of its channel that
/// are late, it is below the settle time of the simulated tasks.
const LATE_MAX_MS: u64 = 1000;

/// How far a tick may be ahead of its clock, by which it ticks itself when it is promoted: a
/// second, and what is reserved for ticks beyond that.
const AHEAD_MAX_MS: u64 = 1000 + 2000;

/// How long a handler may stand still between the receipt of a call and its append.
const STANDSTILL_MAX_MS: u64 = 900;

/// The target.
#[derive(Clone)]
pub(crate) struct Milvus {
    cluster: Arc<Mutex<Cluster>>,
    condition: Arc<watch::Sender<Condition>>,
    /// Each has the channels on which it is appending. What it appends to one of them, it appends
    /// in the order of its calls.
    proxies: Arc<Vec<Mutex<BTreeMap<String, Turn>>>>,
    /// Calls that have been received and not appended.
    under_way: Arc<AtomicUsize>,
    /// How often its data node was started; `None`: its version does not forget then.
    starts: Arc<Mutex<Option<i64>>>,
    /// How far its clock is behind the source's.
    behind_ms: Arc<AtomicU64>,
    /// Rows of collections whose name begins like this are refused.
    refused: Arc<Mutex<Option<&'static str>>>,
    /// A channel may leave calls without an answer.
    pub(crate) silence: Silence,
    faults: Faults,
    script: Script,
    verdict: Verdict,
}

/// Whose turn it is to append to a channel.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// What a test has done to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Condition {
    #[default]
    Serves,
    StandsStill,
    /// Nobody is there.
    IsDead,
}

impl Milvus {
    pub(crate) fn new(faults: Faults, script: Script, verdict: Verdict, proxies: usize) -> Self {
        Self {
            proxies: Arc::new((0..proxies).map(|_| Mutex::default()).collect()),
            under_way: Arc::default(),
            starts: Arc::default(),
            behind_ms: Arc::default(),
            refused: Arc::default(),
            silence: Silence::default(),
            cluster: Arc::default(),
            condition: Arc::new(watch::Sender::default()),
            faults,
            script,
            verdict,
        }
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

    /// Ticks its channels itself, as it does while it is not in replica mode. It leaves out those
    /// on which a window is open: ticking them is what the user must not let it do.
    pub(crate) fn tick_by_itself(&self) {
        if self.under_way.load(Ordering::Relaxed) > 0 {
            return;
        }
        let mut cluster = self.cluster.lock().unwrap();
        let is_empty = |lane: &Lane| lane.consumer.holds_nothing();
        let closed = cluster.lanes.iter().filter(|(_, lane)| is_empty(lane));
        for pchannel in closed.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            let tick = tick(self.now()).to_bytes();
            cluster.lanes.get_mut(&pchannel).unwrap().log.push(tick.clone());
            self.read(&mut cluster, &pchannel, &tick);
        }
    }

    /// Its clock is behind the source's.
    pub(crate) fn behind(self, behind_ms: u64) -> Self {
        self.behind_ms.store(behind_ms, Ordering::Relaxed);
        self
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.script.now().ms() - self.behind_ms.load(Ordering::Relaxed))
    }

    /// Is of a version that forgets what it has not flushed at its restarts.
    pub(crate) fn forgets(self) -> Self {
        *self.starts.lock().unwrap() = Some(1);
        self
    }

    /// Its data node is started again. Some shards lose what was not flushed, as by
    /// milvus-io/milvus#34255. Returns whether any row was lost.
    pub(crate) fn restart(&self, mut is_forgotten: impl FnMut(&str) -> bool) -> bool {
        *self.starts.lock().unwrap().as_mut().unwrap() += 1;
        let mut cluster = self.cluster.lock().unwrap();
        cluster.collections.values_mut().for_each(|c| c.forget(&mut is_forgotten));
        cluster.collections.values().any(|c| c.has_forgotten)
    }

    /// Refuses the rows of collections whose name begins like this, from now on.
    pub(crate) fn refuse(&self, start: Option<&'static str>) {
        *self.refused.lock().unwrap() = start;
    }

    fn is_refused(&self, messages: &[Bytes]) -> bool {
        let Some(start) = *self.refused.lock().unwrap() else { return false };
        let cluster = self.cluster.lock().unwrap();
        messages.iter().any(|raw| match decode(raw.clone()).unwrap() {
            Message::Row(row) => {
                let collection = cluster.collections.get(&row.collection_id.0);
                collection.is_some_and(|c| c.name.name.starts_with(start))
            }
            _ => false,
        })
    }

    /// What somebody does to it by hand.
    pub(crate) fn by_hand<T>(&self, act: impl FnOnce(&mut Cluster) -> T) -> T {
        act(&mut self.cluster.lock().unwrap())
    }

    /// Changes its condition.
    pub(crate) fn set_condition(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }

    /// The collections of a database.
    pub(crate) fn collections(&self, database: &str) -> BTreeSet<String> {
        let cluster = self.cluster.lock().unwrap();
        let there = cluster.collections.values().filter(|c| c.name.database == database);
        there.map(|c| c.name.name.clone()).collect()
    }

    /// The first channel of a collection in the default database.
    pub(crate) fn channel_of(&self, name: &str) -> String {
        let name = CollectionName::new(DEFAULT_DATABASE, name);
        let mut cluster = self.cluster.lock().unwrap();
        let vchannels = cluster.named(&name).map(|c| c.info.vchannels.clone()).unwrap_or_default();
        vchannels.first().map(|v| split_vchannel(v).unwrap().0.to_owned()).unwrap_or_default()
    }

    /// When the newest row or delete was written that a collection in the default database has got.
    pub(crate) fn newest_of(&self, name: &str) -> Timestamp {
        let name = CollectionName::new(DEFAULT_DATABASE, name);
        let mut cluster = self.cluster.lock().unwrap();
        let newest = cluster.named(&name).and_then(|c| c.applied.last().map(|row| row.timestamp));
        newest.unwrap_or_default()
    }

    /// The ticks in the log of a channel, in order.
    pub(crate) fn ticks(&self, pchannel: &str) -> Vec<Timestamp> {
        let cluster = self.cluster.lock().unwrap();
        cluster.lanes.get(pchannel).map(|lane| lane.ticks.clone()).unwrap_or_default()
    }

    /// The lowest tick over the lanes that carry a collection.
    pub(crate) fn ticked(&self) -> Timestamp {
        let cluster = self.cluster.lock().unwrap();
        let lanes = cluster.used();
        let tick = |lane: &String| {
            cluster.lanes.get(lane).map_or(Timestamp::ZERO, |lane| lane.consumer.passed_on())
        };
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
            |c: &Collection| (c.name.name.clone(), world.created_at(c.info.created).unwrap_or(0));
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
        differs
            .or_else(|| cluster.difference_when_read_late(&world))
            .or_else(|| self.script.roles.difference())
    }

    fn append(&self, pchannel: &str, messages: &[Bytes]) {
        let mut cluster = self.cluster.lock().unwrap();
        for raw in messages {
            cluster.lanes.entry(pchannel.to_owned()).or_default().log.push(raw.clone());
            self.read(&mut cluster, pchannel, raw);
        }
    }

    /// A consumer reads a message as soon as it comes, and passes on behind every tick.
    fn read(&self, cluster: &mut Cluster, pchannel: &str, raw: &Bytes) {
        let lane = cluster.lanes.entry(pchannel.to_owned()).or_default();
        if let Message::Tick(at) = decode(raw.clone()).unwrap() {
            lane.ticks.push(at);
            if at > self.now().plus_ms(AHEAD_MAX_MS) {
                self.verdict.violated(format!("{pchannel} is ticked at {at}, now {}", self.now()));
            }
        }
        let from = lane.consumer.passed_on();
        if !lane.consumer.read(raw) {
            return;
        }
        let rows = lane.consumer.pass_on();
        if let Some(row) = rows.iter().find(|row| row.timestamp <= from) {
            self.verdict.violated(format!(
                "I3: a row of {pchannel} at {} below the tick {from}",
                row.timestamp
            ));
        }
        let seen: Vec<_> = rows.iter().map(|r| (r.msg_id, r.kind, r.timestamp)).collect();
        tracing::debug!(now = %self.script.now(), pchannel, %from, rows = ?seen, "tick");
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
        apply(&mut c.rows, row);
        c.applied.push(row.clone());
        if row.kind == RowKind::Insert {
            let Row { key, version, at, .. } = Row::of(row);
            cluster.kept.1 += 1;
            let shard = split_vchannel(&row.vchannel).unwrap().2;
            if usize::try_from(key).unwrap() % c.info.vchannels.len() != shard {
                self.verdict.violated(format!("I4: the key {key} is in the shard {shard}"));
            }
            if self.script.world().timestamp_of(version) == Some(at) {
                cluster.kept.0 += 1;
            }
        }
    }

    async fn thaw(&self) {
        let until = self.cluster.lock().unwrap().frozen_until;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
        let mut condition = self.condition.subscribe();
        condition.wait_for(|condition| *condition == Condition::Serves).await.unwrap();
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

#[async_trait]
impl Target for Milvus {
    async fn describe(&self, name: &CollectionName) -> Result<Option<TargetCollection>> {
        self.thaw().await;
        self.faults.reading().await?;
        let mut cluster = self.cluster.lock().unwrap();
        Ok(cluster.named(name).map(|c| c.info.clone()))
    }

    async fn alias(&self, database: &str, alias: &str) -> Result<Option<CollectionId>> {
        let cluster = self.cluster.lock().unwrap();
        let alias = (database.to_owned(), alias.to_owned());
        Ok(cluster.aliases.get(&alias).map(|id| CollectionId(*id)))
    }

    async fn users(&self) -> Result<BTreeSet<String>> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok(self.script.roles.users())
    }

    async fn role(&self, name: &str, _: &BTreeSet<&str>) -> Result<Option<Role>> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok(self.script.roles.role(name))
    }

    async fn partitions(&self, name: &CollectionName) -> Result<BTreeMap<String, TargetPartition>> {
        self.thaw().await;
        self.faults.reading().await?;
        let mut cluster = self.cluster.lock().unwrap();
        let c = cluster.named(name);
        c.map(|c| c.partitions.clone()).ok_or_else(|| Error::transient("collection not found"))
    }

    async fn databases(&self) -> Result<Vec<String>> {
        let cluster = self.cluster.lock().unwrap();
        Ok(["default".into()].into_iter().chain(cluster.databases.iter().cloned()).collect())
    }

    async fn collections(&self, database: &str) -> Result<BTreeSet<CollectionName>> {
        self.thaw().await;
        self.faults.reading().await?;
        let cluster = self.cluster.lock().unwrap();
        let names = cluster.collections.values().map(|c| &c.name);
        Ok(names.filter(|name| name.database == database).cloned().collect())
    }

    async fn pchannels(&self) -> Result<Vec<String>> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok(self.cluster.lock().unwrap().used().into_iter().collect())
    }

    async fn apply(&self, ddl: &Ddl, at: Timestamp) -> Result<()> {
        self.thaw().await;
        match self.faults.next() {
            Fault::None | Fault::Slow => self.carry_out(ddl, at)?,
            Fault::Refuse | Fault::LoseCall | Fault::Late => {
                return Err(Error::transient("simulated"));
            }
            Fault::LoseAnswer => {
                self.carry_out(ddl, at)?;
                return Err(Error::transient("simulated: done, and nobody knows"));
            }
            Fault::CrashBefore => self.faults.die().await,
            Fault::CrashAfter => {
                self.carry_out(ddl, at)?;
                self.faults.die().await
            }
        }
        Ok(())
    }

    async fn replicate(&self, call: &ReplicateCall) -> std::result::Result<(), CallError> {
        let messages: Vec<Bytes> = call.messages.iter().map(|m| m.to_bytes()).collect();
        assert!(!messages.is_empty() && call.end > Timestamp::ZERO);
        let is_tick = matches!(decode(messages[0].clone()).unwrap(), Message::Tick(_));
        let lost = || Err(CallError::Unanswered(Error::transient("simulated: no answer")));
        if *self.condition.borrow() == Condition::IsDead {
            return Err(CallError::Refused(Error::transient("simulated: nobody is there")));
        }
        // One of them may have got through before.
        if !self.faults.chance(8) && self.is_refused(&messages) {
            return Err(CallError::Refused(Error::transient("simulated: these rows are refused")));
        }
        let later = Duration::from_millis(self.faults.below(LATE_MAX_MS));
        let still = match self.faults.chance(20) {
            true => Duration::from_millis(self.faults.below(STANDSTILL_MAX_MS)),
            false => Duration::ZERO,
        };
        let proxy = &self.proxies[self.faults.below(self.proxies.len() as u64) as usize];
        let turn = proxy.lock().unwrap().entry(call.pchannel.clone()).or_default().clone();
        let effect = |after: Duration| {
            let (this, pchannel) = (self.clone(), call.pchannel.clone());
            this.under_way.fetch_add(1, Ordering::Relaxed);
            // The target goes on with what it was given, whether or not its client lives.
            tokio::spawn(async move {
                if !still.is_zero() {
                    tokio::time::sleep(still).await;
                }
                let _turn = turn.lock().await;
                tokio::time::sleep(after).await;
                this.thaw().await;
                this.append(&pchannel, &messages);
                this.under_way.fetch_sub(1, Ordering::Relaxed);
            })
        };
        let calls = if is_tick { Calls::Ticks } else { Calls::WithRows };
        let kept = self.silence.keep(&call.pchannel, calls).await;
        let fault = kept.unwrap_or_else(|| self.faults.next());
        let id = |message: &Spliced| match decode(message.to_bytes()).unwrap() {
            Message::Row(row) => row.msg_id,
            _ => 0,
        };
        let messages: Vec<_> = call.messages.iter().map(id).collect();
        let (now, pchannel) = (self.script.now(), &call.pchannel);
        tracing::debug!(%now, pchannel, end = %call.end, ?messages, ?fault, "call");
        match fault {
            Fault::None => {
                let mut condition = self.condition.subscribe();
                tokio::select! {
                    biased;
                    done = effect(Duration::ZERO) => done.unwrap(),
                    _ = condition.wait_for(|now| *now == Condition::IsDead) => return lost(),
                }
            }
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

    async fn flush(&self, name: &CollectionName) -> Result<Flush> {
        self.thaw().await;
        self.faults.reading().await?;
        if self.cluster.lock().unwrap().named(name).is_none() {
            return Err(Error::transient("collection not found"));
        }
        let (collection, segments) = (name.clone(), Vec::new());
        Ok(Flush { collection, segments, at: self.now() })
    }

    /// The checkpoints of its channels have to be there (`datacoord.Server.GetFlushState`).
    async fn is_flushed(&self, flush: &Flush) -> Result<bool> {
        self.thaw().await;
        self.faults.reading().await?;
        let mut cluster = self.cluster.lock().unwrap();
        let Some(c) = cluster.named(&flush.collection) else { return Ok(true) };
        let lanes: Vec<_> = c.info.vchannels.iter().map(|v| split_vchannel(v).unwrap().0).collect();
        let lanes: Vec<_> = lanes.into_iter().map(str::to_owned).collect();
        let passed_on = |lane: &String| {
            cluster.lanes.get(lane).map_or(Timestamp::ZERO, |l| l.consumer.passed_on())
        };
        if lanes.iter().any(|lane| passed_on(lane) < flush.at) {
            return Ok(false);
        }
        let c = cluster.named(&flush.collection).unwrap();
        c.stored = c.stored.max(flush.at);
        Ok(true)
    }

    async fn clock(&self) -> Result<Timestamp> {
        if *self.condition.borrow() == Condition::IsDead {
            return Err(Error::transient("simulated: nobody is there"));
        }
        self.thaw().await;
        self.silence.keep("", Calls::Clock).await;
        self.faults.reading().await?;
        Ok(self.now())
    }

    async fn proxies(&self) -> Result<BTreeSet<i64>> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok((1..).take(self.proxies.len()).collect())
    }

    async fn data_nodes(&self) -> Result<BTreeSet<i64>> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok([100 + self.starts.lock().unwrap().unwrap_or_default()].into())
    }

    async fn is_replica(&self) -> Result<bool> {
        self.thaw().await;
        self.faults.reading().await?;
        Ok(true)
    }

    async fn version(&self) -> Result<String> {
        let forgets = self.starts.lock().unwrap().is_some();
        Ok(if forgets { "v2.3.5" } else { "2.3.19" }.to_owned())
    }
}

impl Milvus {
    fn carry_out(&self, ddl: &Ddl, at: Timestamp) -> Result<()> {
        let mut cluster = self.cluster.lock().unwrap();
        match ddl {
            Ddl::DropCollection(name) => {
                // Everything before the drop must have arrived before it.
                let gone = cluster.drop_collection(name);
                let is_of_source = |gone: &&Collection| {
                    self.script.world().created_at(gone.info.created).is_some()
                };
                let gone_here = gone.as_ref().filter(is_of_source);
                if let Some(lane) = gone_here.and_then(|gone| cluster.keeps(gone)) {
                    self.verdict.violated(format!("{lane} was not told that {name} is dropped"));
                }
                if gone.as_ref().is_some_and(|gone| gone.info.created == MADE_AT) {
                    self.verdict.violated(format!("{name} is a stranger's, and was dropped"));
                }
                let gone = gone.filter(|gone| !gone.has_forgotten);
                if let Some(difference) = gone.and_then(|gone| gone.compare(&self.script.world())) {
                    self.verdict.violated(format!("I2: dropped too early: {difference}"));
                }
            }
            Ddl::RenameCollection { from, to, .. } => {
                if !cluster.rename(from, to) {
                    self.verdict.violated(format!("{from} is renamed to {to}, which exists"));
                }
            }
            Ddl::Op(request) => match &**request {
                OpRequest::Rbac(request) => self.script.roles.apply(request),
                OpRequest::DropDatabase(request) => cluster.drop_database(&request.db_name)?,
                _ => {}
            },
            ddl => cluster.carry_out(ddl, at)?,
        }
        Ok(())
    }
}
