//! How collections are served: indexes, loads, properties and aliases, of which the op channel tells
//! neither what was before its task nor all that is. The source's catalog does, so the target follows the difference
//! between what the catalog says and what was carried over last, which is stored. Roles and grants are
//! followed the same way if the task is asked to: see `access`.
//! Never holds up the rows, and never waits until a load or an index is complete.

use crate::context::Ports;
use crate::destination::Destination;
use crate::error::{Kind, Result};
use crate::metadata::serving_state::{Change, Served, changes};
use crate::observer::Event;
use crate::ports::next_event;
use crate::ports::{CatalogEvent, Committed, Ddl, Transaction};
use crate::progress::Progress;
use crate::records::checkpoint::Covered;
use crate::records::codec::{decode, load_one};
use crate::records::keys::{collection_key, serving_key};
use crate::task::Task;
use milvus_wire::catalog::State;
use milvus_wire::ids::{CollectionId, PartitionId};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// From an event to the look at it. Milvus writes the records of a load one by one
/// (`querycoord.Catalog.SaveCollection`): a load counts when two looks so far apart see the same.
const SETTLE: Duration = Duration::from_millis(300);

/// The longest pause between two looks at a collection that the target does not have yet.
const AWAIT_MAX: Duration = Duration::from_secs(5);

/// The longest pause between two looks at roles while the target lacks a user who has one: a person has to
/// create the user.
const USER_AWAIT_MAX: Duration = Duration::from_secs(30);

/// Looks at how collections are served, and lets the target follow.
pub(crate) struct Follower {
    pub(crate) task: Arc<Task>,
    pub(crate) ports: Ports,
    /// Roles and the users that the target lacks for them, as far as that was told.
    pub(crate) awaited: BTreeSet<(String, String)>,
    changes: Receiver<CatalogEvent>,
    progress: watch::Receiver<Progress>,
    due: BTreeMap<Look, Due>,
}

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    /// What there is to look at.
    All,
    /// Roles and grants.
    Access,
    /// A collection.
    At(CollectionId),
}

/// When to look again.
#[derive(Debug)]
struct Due {
    at: Instant,
    pause: Duration,
    /// What was seen when it was looked at last, if that may not have been complete.
    seen: Option<Served>,
}

/// How a look ended.
enum Looked {
    /// The target follows, as far as it will.
    Done,
    /// The target does not have all of it yet.
    Awaits,
    /// It may just be changing.
    Changing(Served),
}

impl Looked {
    fn all_or_awaits(is_all: bool) -> Self {
        if is_all { Self::Done } else { Self::Awaits }
    }
}

impl Follower {
    /// Looks at everything first: what is carried over already is stored. A log has nothing that could
    /// follow.
    pub(crate) fn new(task: Arc<Task>, ports: Ports, progress: watch::Receiver<Progress>) -> Self {
        let changes = ports.catalog.changes();
        let (due, awaited) = (BTreeMap::new(), BTreeSet::new());
        let mut follower = Self { task, ports, awaited, changes, progress, due };
        follower.soon(Look::All);
        follower
    }

    /// Waits for something, and looks at what is due until it is there.
    pub(crate) async fn during<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T> {
        if !self.ports.destination.follows() {
            return Ok(awaited.await);
        }
        let mut awaited = pin!(awaited);
        loop {
            tokio::select! {
                done = &mut awaited => return Ok(done),
                look = self.next() => self.look(look).await?,
            }
        }
    }

    /// A collection is to be looked at again.
    pub(crate) fn note(&mut self, id: CollectionId) {
        self.soon(Look::At(id));
    }

    /// Roles and grants are to be looked at again, if they are the task's.
    pub(crate) fn note_access(&mut self) {
        if self.task.access {
            self.soon(Look::Access);
        }
    }

    /// How a collection of the source is served; `None` if it is gone.
    pub(crate) async fn served(&self, id: CollectionId) -> Result<Option<Served>> {
        let catalog = &*self.ports.catalog;
        // In this order: a partition is there after it is loaded with its collection, and a
        // collection is marked as dropped before what serves it is taken away. Source:
        // `createPartitionTask.Execute`, `dropCollectionTask.Execute`.
        let partitions = catalog.partitions(id).await?;
        let serving = catalog.serving(id).await?;
        let aliases = catalog.aliases().await?;
        let collection = catalog.collection(id).await?.filter(|c| c.state == State::Created);
        Ok(collection.map(|it| Served::new(&it, &partitions, &serving, &aliases)))
    }

    fn soon(&mut self, look: Look) {
        let at = Instant::now() + SETTLE;
        let due = self.due.entry(look).or_insert(Due { at, pause: SETTLE, seen: None });
        due.at = due.at.min(at);
        due.pause = SETTLE;
    }

    /// Safe to cancel.
    async fn next(&mut self) -> Look {
        loop {
            let first = self.due.iter().min_by_key(|(_, due)| due.at);
            let first = first.map(|(look, due)| (*look, due.at));
            let due = async {
                match first {
                    Some((look, at)) => {
                        sleep_until(at).await;
                        look
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                look = due => return look,
                event = next_event(&mut self.changes) => match event {
                    CatalogEvent::Resync => self.soon(Look::All),
                    CatalogEvent::Access => self.note_access(),
                    CatalogEvent::Collection(id)
                    | CatalogEvent::Partition(id)
                    | CatalogEvent::Serving(id) => self.note(id),
                },
            }
        }
    }

    /// Looks once. What can't be read is left out: the rows do not depend on it.
    async fn look(&mut self, look: Look) -> Result<()> {
        let Some(due) = self.due.remove(&look) else { return Ok(()) };
        let looked = match look {
            Look::All => self.list().await,
            Look::Access => self.look_at_access(due.pause).await.map(Looked::all_or_awaits),
            Look::At(id) => self.follow(id, due.seen.as_ref()).await,
        };
        match looked {
            Ok(Looked::Done) => {}
            Ok(Looked::Awaits) => {
                let max = if look == Look::Access { USER_AWAIT_MAX } else { AWAIT_MAX };
                self.again(look, due.pause, max);
            }
            Ok(Looked::Changing(seen)) => {
                self.soon(look);
                if let Some(due) = self.due.get_mut(&look) {
                    due.seen = Some(seen);
                }
            }
            Err(e) if e.kind == Kind::Transient => {
                tracing::warn!(error = ?e, ?look, "can't follow the source's catalog yet");
                self.count("retried");
                self.again(look, due.pause, self.task.limits.backoff_max);
            }
            Err(e) if e.kind == Kind::Permanent => {
                tracing::error!(error = ?e, ?look, "the source's catalog can't be followed");
                self.count("serving_unreadable");
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn again(&mut self, look: Look, pause: Duration, max: Duration) {
        let at = Instant::now() + pause;
        let pause = (pause * 2).min(max.max(SETTLE));
        self.due.insert(look, Due { at, pause, seen: None });
    }

    async fn list(&mut self) -> Result<Looked> {
        self.note_access();
        let snapshot = self.ports.catalog.snapshot().await?;
        for collection in &snapshot.collections {
            let selected = self.task.selection.find(&collection.database, collection.name());
            if collection.state == State::Created && selected.is_some() {
                self.note(collection.id);
            }
        }
        Ok(Looked::Done)
    }

    /// Lets the target follow in one collection.
    async fn follow(&self, id: CollectionId, seen: Option<&Served>) -> Result<Looked> {
        let (store, task) = (&*self.ports.store, &*self.task.id);
        let key = collection_key(task, id);
        let Some(stored) = store.get(&key).await? else {
            return self.will_be_covered(id).await;
        };
        let covered: Covered = decode(&key, &stored.value)?;
        // What the source has dropped is dropped on the target in the order of the rows.
        let Some(now) = self.served(id).await? else { return Ok(Looked::Done) };
        if !covered.is_live() || covered.naming.next.is_some() {
            return Ok(Looked::Awaits);
        }
        let (mut now, mut is_all) = self.as_far_as_there(now, &covered).await?;
        let before: Option<Served> = load_one(store, &serving_key(task, id)).await?;
        let had = match &before {
            Some(before) => before.clone(),
            None => self.as_created(&covered, &now).await?,
        };
        let changes = changes(Some(&had), &now);
        if changes.iter().any(Change::is_of_load) && seen != Some(&now) {
            return Ok(Looked::Changing(now));
        }
        // Not behind the back of the rows: they may have dropped it on the target by now.
        let unchanged = (key, stored.version);
        if let Some(giving) = had.aliases.before_giving(&now.aliases) {
            let about = Served { aliases: giving, ..had.clone() };
            if self.store(id, &about, unchanged.clone()).await? == Committed::Conflict {
                return Ok(Looked::Awaits);
            }
        }
        is_all &= self.follow_aliases(&covered, &had.aliases, &mut now.aliases).await?;
        let done = Looked::all_or_awaits(is_all);
        if before.as_ref() == Some(&now) {
            return Ok(done);
        }
        let (database, collection) = covered.on_target(&self.task.names);
        for change in changes {
            self.ask(change.request(&database, &collection)).await?;
        }
        match self.store(id, &now, unchanged).await? {
            Committed::Yes => Ok(done),
            Committed::Conflict => Ok(Looked::Awaits),
        }
    }

    /// What is known of a collection when nothing has been carried over: its properties came with its
    /// creation, and what only the target has stays.
    async fn as_created(&self, covered: &Covered, now: &Served) -> Result<Served> {
        let (database, name) = covered.on_target(&self.task.names);
        let Destination::Milvus(link) = &self.ports.destination else {
            return Ok(Served::default());
        };
        let there = link.target.describe(&database, &name).await?;
        let mut properties = there.map(|there| there.properties).unwrap_or_default();
        properties.retain(|key, _| now.properties.contains_key(key));
        Ok(Served { properties, ..Served::default() })
    }

    async fn store(
        &self,
        id: CollectionId,
        served: &Served,
        unchanged: (String, u64),
    ) -> Result<Committed> {
        let mut carried = Transaction::default();
        served.put(&self.task.id, id, &mut carried);
        carried.conditions.push(unchanged);
        let lease = self.ports.destination.lease();
        lease.try_commit_of(&*self.ports.store, &self.task.id, carried).await
    }

    /// A collection that the rows do not know: they may come to it, or it is none of the task's.
    async fn will_be_covered(&self, id: CollectionId) -> Result<Looked> {
        let collection = self.ports.catalog.collection(id).await?;
        let covered = collection.filter(|c| c.state == State::Created).is_some_and(|collection| {
            self.task.selection.find(&collection.database, collection.name()).is_some()
        });
        Ok(if covered { Looked::Awaits } else { Looked::Done })
    }

    /// Leaves out the partitions that the target does not have yet: they come with the rows, and a
    /// name may still stand for another one until then. Returns whether it has all.
    async fn as_far_as_there(&self, mut now: Served, covered: &Covered) -> Result<(Served, bool)> {
        if self.task.ignore_partition {
            return Ok((now.without_partitions(), true));
        }
        let (database, name) = covered.on_target(&self.task.names);
        let Destination::Milvus(link) = &self.ports.destination else { return Ok((now, true)) };
        let there = link.target.partitions(&database, &name).await?;
        let all = now.partitions.len();
        now.partitions.retain(|id, partition| {
            let stands_for = covered.partitions.get(&partition.name).copied().map(PartitionId);
            stands_for == Some(PartitionId(*id)) && there.contains_key(&partition.name)
        });
        let is_all = now.partitions.len() == all;
        Ok((now, is_all))
    }

    /// Asks the target for a change. What it refuses for good is counted and left out. Returns whether it
    /// was done.
    pub(crate) async fn ask(&self, request: Ddl) -> Result<bool> {
        let at = self.progress.borrow().done;
        let (name, what) = (request.name(), request.what().to_owned());
        match self.ports.destination.apply(&request, at).await {
            Ok(()) => {
                tracing::info!(request = name, what, "the target follows the source");
                self.ports.observer.event(Event::Called(name));
                Ok(true)
            }
            Err(e) if e.kind == Kind::Permanent => {
                self.refused(name, &what, &e);
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// The rows go on: what an index, a load or an alias lacks can be made good by hand.
    pub(crate) fn refused(&self, request: &str, what: &str, why: &dyn std::fmt::Debug) {
        tracing::error!(request, what, error = ?why, "the target does not follow");
        self.count("serving_refused");
    }

    pub(crate) fn count(&self, what: &str) {
        self.ports.observer.event(Event::Counted(what, 1));
    }
}
