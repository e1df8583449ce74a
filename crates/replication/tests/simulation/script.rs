//! The world as a task sees it: the ports `Source` and `Catalog`, whose calls fail, and the clock.
//! Never does anything of its own: `world` does.

use crate::access::Access;
use crate::faults::{Faults, Verdict};
use crate::log::{id, offset};
use crate::world::{CHANNELS, World};
use async_trait::async_trait;
use milvus_wire::catalog::{Collection, Database, Partition};
use milvus_wire::ids::{CollectionId, DatabaseId};
use milvus_wire::position::MessageId;
use milvus_wire::roles::Roles;
use milvus_wire::serving::{Alias, Serving};
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use replication::ports::{Catalog, CatalogEvent, ChannelReader, Record, Snapshot, Source};
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

const OPS: &str = "s-replicate-msg";
const BASE_MS: u64 = 1_700_000_000_000;

/// The source.
#[derive(Clone)]
pub(crate) struct Script {
    world: Arc<Mutex<World>>,
    faults: Faults,
    began: Instant,
    grown: Arc<Notify>,
    events: broadcast::Sender<CatalogEvent>,
    pub(crate) access: Access,
}

impl Script {
    pub(crate) fn new(seed: u64, faults: Faults, verdict: Verdict) -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new(seed))),
            faults,
            began: Instant::now(),
            grown: Arc::default(),
            events: broadcast::channel(16).0,
            access: Access::new(seed, verdict),
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

    /// One random act.
    pub(crate) fn act(&self, late: bool) {
        let mut events = self.world().act(self.now(), late);
        events.extend(self.access.act().then_some(CatalogEvent::Access));
        self.grown.notify_waiters();
        for event in events {
            let lost = self.faults.chance(4);
            let _ = self.events.send(if lost { CatalogEvent::Resync } else { event });
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
        let Some(payload) = self.script.world().log.read(&self.channel, self.next) else {
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
        self.faults.reading().await?;
        assert!(channel == OPS || CHANNELS.contains(&channel));
        Ok(self.world().log.end(channel))
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
        let database =
            Database { id: DatabaseId(1), name: "default".into(), created: Timestamp::ZERO };
        let collections = self.world().collections().cloned().collect();
        Ok(Snapshot { databases: vec![database], collections })
    }

    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>> {
        self.faults.reading().await?;
        Ok(self.world().collection(id).cloned())
    }

    async fn partitions(&self, id: CollectionId) -> Result<Vec<Partition>> {
        self.faults.reading().await?;
        Ok(self.world().partitions(id))
    }

    async fn serving(&self, _: CollectionId) -> Result<Serving> {
        self.faults.reading().await?;
        Ok(Serving::default())
    }

    async fn roles(&self) -> Result<Roles> {
        self.faults.reading().await?;
        Ok(self.access.source())
    }

    async fn aliases(&self) -> Result<Vec<Alias>> {
        Ok(Vec::new())
    }

    fn changes(&self) -> broadcast::Receiver<CatalogEvent> {
        self.events.subscribe()
    }
}
