//! The world as a task sees it: the ports `Source` and `Catalog`, whose calls fail, and the clock.
//! Never does anything of its own: `world` does.

use crate::faults::{Faults, Verdict};
use crate::log::{id, offset};
use crate::roles::SimulatedRoles;
use crate::world::{CHANNELS, World};
use async_trait::async_trait;
use milvus_wire::catalog::{Collection, Database, Partition};
use milvus_wire::ids::{CollectionId, DEFAULT_DATABASE, DatabaseId};
use milvus_wire::position::MessageId;
use milvus_wire::roles::Roles;
use milvus_wire::serving::{Alias, Serving};
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use replication::ports::{Catalog, CatalogEvent, ChannelReader, Record, Snapshot, Source};
use std::cmp::Ordering;
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

const OPS: &str = "s-replicate-msg";
/// How late the catalog may tell of a change.
const EVENT_LATE_MAX_MS: u64 = 3000;

const BASE_MS: u64 = 1_700_000_000_000;

/// The source.
#[derive(Clone)]
pub(crate) struct Script {
    world: Arc<Mutex<World>>,
    faults: Faults,
    began: Instant,
    grown: Arc<Notify>,
    /// Whether the queue is away.
    away: Arc<AtomicBool>,
    /// Whether the catalog is.
    catalog_away: Arc<AtomicBool>,
    events: broadcast::Sender<CatalogEvent>,
    pub(crate) roles: SimulatedRoles,
}

impl Script {
    pub(crate) fn new(seed: u64, faults: Faults, verdict: Verdict) -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new(seed))),
            faults,
            began: Instant::now(),
            grown: Arc::default(),
            away: Arc::default(),
            catalog_away: Arc::default(),
            events: broadcast::channel(16).0,
            roles: SimulatedRoles::new(seed, verdict),
        }
    }

    /// A process's way to it.
    pub(crate) fn seen_by(&self, faults: Faults) -> Self {
        Self { faults, ..self.clone() }
    }

    /// The source's clock.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        Timestamp::from_ms(BASE_MS + elapsed)
    }

    /// What is true. Nothing waits while it is held.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Changes what is true, outside of the script.
    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world());
        self.grown.notify_waiters();
    }

    /// Whether the queue answers from now on.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, atomic::Ordering::Relaxed);
        self.grown.notify_waiters();
    }

    fn is_away(&self) -> bool {
        self.away.load(atomic::Ordering::Relaxed)
    }

    /// Whether the catalog can be read and watched from now on.
    pub(crate) fn set_catalog_away(&self, away: bool) {
        self.catalog_away.store(away, atomic::Ordering::Relaxed);
        if !away {
            let _ = self.events.send(CatalogEvent::Resync);
        }
    }

    /// What a watch of the catalog sees, if nothing is in the way.
    pub(crate) fn announce(&self, event: CatalogEvent) {
        if !self.catalog_away.load(atomic::Ordering::Relaxed) {
            let _ = self.events.send(event);
        }
    }

    /// Before the catalog is read.
    async fn reading(&self) -> Result<()> {
        self.faults.reading().await?;
        match self.catalog_away.load(atomic::Ordering::Relaxed) {
            true => Err(Error::transient("simulated: the catalog is away")),
            false => Ok(()),
        }
    }

    async fn asked(&self, channel: &str) -> Result<()> {
        self.faults.reading().await?;
        let is_known = channel == OPS || CHANNELS.contains(&channel);
        assert!(is_known || self.world().log.any_channel);
        if self.is_away() { Err(Error::transient("simulated: the queue is away")) } else { Ok(()) }
    }

    /// One random act.
    pub(crate) fn act(&self, late: bool) {
        let mut events = self.world().act(self.now(), late);
        events.extend(self.roles.act().then_some(CatalogEvent::Rbac));
        self.grown.notify_waiters();
        for event in events {
            let lost = self.faults.chance(4);
            let event = if lost { CatalogEvent::Resync } else { event };
            let late = self.faults.chance(4).then(|| self.faults.below(EVENT_LATE_MAX_MS));
            let events = self.events.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(late.unwrap_or_default())).await;
                let _ = events.send(event);
            });
        }
    }

    /// A tick on every channel that carries a collection, sometimes twice.
    pub(crate) fn tick(&self) {
        self.world().tick(self.now());
        self.grown.notify_waiters();
    }
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
        if self.script.is_away() {
            return Ok(None);
        }
        let world = self.script.world();
        if let Some(loss) = world.log.loss(&self.channel, self.next) {
            return Err(Error::permanent(loss));
        }
        let Some(payload) = world.log.read(&self.channel, self.next) else {
            return Ok(None);
        };
        let record = Record { id: id(self.next), payload };
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
        self.asked(channel).await?;
        Ok(self.world().log.end(channel))
    }

    async fn newest(&self, channel: &str, count: usize) -> Result<Vec<Record>> {
        self.asked(channel).await?;
        let newest = self.world().log.newest(channel, count);
        let record = |(offset, payload)| Record { id: id(offset), payload };
        Ok(newest.into_iter().map(record).collect())
    }

    fn compare(&self, a: &MessageId, b: &MessageId) -> Ordering {
        offset(a).cmp(&offset(b))
    }

    fn behind(&self, entry: &MessageId) -> MessageId {
        id(offset(entry) + 1)
    }
}

/// An error that names the record, if it can't be read.
fn readable(damaged: Option<&String>) -> Result<()> {
    damaged.map_or(Ok(()), |name| Err(Error::permanent(format!("{name} can't be read"))))
}

#[async_trait]
impl Catalog for Script {
    async fn snapshot(&self) -> Result<Snapshot> {
        self.reading().await?;
        let world = self.world();
        let names =
            [DEFAULT_DATABASE].into_iter().chain(world.databases.iter().map(String::as_str));
        let database = |(id, name): (i64, &str)| {
            let created = Timestamp::ZERO;
            Database { id: DatabaseId(id), name: name.to_owned(), created }
        };
        let databases = (1..).zip(names).map(database).collect();
        Ok(Snapshot { databases, collections: world.collections().cloned().collect() })
    }

    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>> {
        self.reading().await?;
        Ok(self.world().collection(id).cloned())
    }

    async fn partitions(&self, id: CollectionId) -> Result<Vec<Partition>> {
        self.reading().await?;
        Ok(self.world().partitions(id))
    }

    async fn serving(&self, id: CollectionId) -> Result<Serving> {
        self.reading().await?;
        let world = self.world();
        readable(world.damaged.serving.as_ref())?;
        Ok(world.serving.get(&id).cloned().unwrap_or_default())
    }

    async fn roles(&self) -> Result<Roles> {
        self.reading().await?;
        readable(self.world().damaged.roles.as_ref())?;
        Ok(self.roles.source())
    }

    async fn aliases(&self) -> Result<Vec<Alias>> {
        let world = self.world();
        readable(world.damaged.aliases.as_ref())?;
        Ok(world.aliases.clone())
    }

    fn changes(&self) -> broadcast::Receiver<CatalogEvent> {
        self.events.subscribe()
    }
}
