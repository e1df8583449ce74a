//! The op channel: databases, indexes, load, flush, and users and roles if the task is asked to. It has no ticks, and its messages come after
//! the fact, late or never; so each waits until the rows have come as far as its timestamp, and is
//! left out if what it concerns has ended or been overtaken since. While it waits, `serving` looks at
//! the catalog for what this channel does not tell, so that the two never ask the target at once.
//! Never holds up the rows.

use crate::context::Ports;
use crate::destination::Destination;
use crate::error::{Error, Kind, Result};
use crate::metadata::follower::Follower;
use crate::metadata::rights::on_target;
use crate::observer::Event;
use crate::ports::{Ddl, Record, Transaction};
use crate::progress::Progress;
use crate::records::checkpoint::{Covered, OpPosition};
use crate::records::codec::load_one;
use crate::records::keys::collection_key;
use crate::selection::named;
use crate::stop::{Backoff, Stop};
use crate::task::Task;
use crate::unsupported::Missed;
use milvus_wire::access::AccessRequest;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::CollectionId;
use milvus_wire::op::{OpRequest, decode};
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The message type of a tick: there may be some, and they say nothing here.
const TIME_TICK: i32 = 1200;

/// Replicates the op channel of a task until told to stop.
pub async fn replicate(
    task: Arc<Task>,
    ports: Ports,
    stop: Stop,
    progress: watch::Receiver<Progress>,
) -> Result<()> {
    let follower = Follower::new(task.clone(), ports.clone(), progress.clone());
    let ops = Ops { task, ports, stop: stop.clone(), progress, follower };
    stop.until(ops.run()).await?
}

struct Ops {
    task: Arc<Task>,
    ports: Ports,
    stop: Stop,
    progress: watch::Receiver<Progress>,
    follower: Follower,
}

impl Ops {
    async fn run(mut self) -> Result<()> {
        let channel = self.task.op_channel.clone();
        // Asked before anything else: what comes while the target is being reached is not missed.
        let now = self.ports.source.end(&channel).await;
        // A fault of the source is told by whoever writes to the target.
        self.ports.destination.ready().await?;
        let now = now?;
        let stored = OpPosition::load(&*self.ports.store, &self.task.id).await?;
        let position = match stored {
            Some(position) => position,
            None => {
                let next = self.task.op_position.clone().unwrap_or(now);
                let position = OpPosition::new(next, Timestamp::ZERO);
                self.save(&position).await?;
                position
            }
        };
        let mut reader = self.ports.source.open(&channel, &position.next).await?;
        loop {
            let Record { id, payload } = self.follower.during(reader.next()).await??;
            let done = position.at > Timestamp::ZERO && id == position.next;
            let message = decode(&payload).map_err(|e| {
                Error::permanent(format!(
                    "a message of {channel} at position {id:?} can't be read; report it"
                ))
                .because(e)
            })?;
            if done || message.request == Err(TIME_TICK) {
                continue;
            }
            match message.request {
                Ok(request) => self.carry_out(request, message.timestamp).await?,
                Err(kind) => {
                    let missed = Missed::of_type(kind, message.timestamp);
                    missed.note(&self.task, &self.ports).await?;
                }
            }
            self.save(&OpPosition::new(id, message.timestamp)).await?;
        }
    }

    async fn save(&self, position: &OpPosition) -> Result<()> {
        let mut stored = Transaction::default();
        position.put(&self.task.id, &mut stored);
        let lease = self.ports.destination.lease();
        lease.commit_of(&*self.ports.store, &self.task.id, stored).await
    }

    fn count(&self, what: &str) {
        self.ports.observer.event(Event::Counted(what, 1));
    }

    async fn carry_out(&mut self, request: OpRequest, at: Timestamp) -> Result<()> {
        let observer = self.ports.observer.clone();
        let mut backoff = Backoff::new(&*observer, self.task.limits.backoff_max);
        loop {
            let far = self.progress.wait_for(|progress| progress.idle || progress.done >= at);
            let far = async { far.await.map(|_| ()).map_err(|_| Error::stopped()) };
            self.follower.during(far).await??;
            let tried = async {
                let Some(request) = self.for_target(request.clone(), at).await? else {
                    self.count("op_skipped");
                    return Ok::<(), Error>(());
                };
                let name = request.name();
                self.ports.destination.apply(&Ddl::Op(Box::new(request)), at).await?;
                tracing::info!(request = name, "request carried out on the target");
                self.ports.observer.event(Event::Called(name));
                Ok(())
            };
            match tried.await {
                Err(e) if e.kind == Kind::Transient => {
                    self.follower.during(self.stop.until(backoff.pause(&e))).await??;
                }
                Err(e) if e.kind == Kind::Permanent => {
                    // The rows go on: what an index or a load lacks can be made good by hand.
                    tracing::error!(error = ?e, "request not carried out on the target");
                    self.count("op_refused");
                    return Ok(());
                }
                done => return done,
            }
        }
    }

    /// The request with the target's names; `None` if it does not concern the task or came too
    /// late: what it concerns has ended, been replaced by a namesake or been overtaken since.
    async fn for_target(
        &mut self,
        mut request: OpRequest,
        at: Timestamp,
    ) -> Result<Option<OpRequest>> {
        let database = named(request.database()).to_owned();
        let selection = &self.task.selection;
        let snapshot = self.ports.catalog.snapshot().await?;
        let mut called = BTreeMap::new();
        match &mut request {
            OpRequest::Access(access) => {
                if !self.task.access || !self.agrees_on_access(access).await? {
                    return Ok(None);
                }
                access.rename(on_target(&self.task.names));
                return Ok(Some(request));
            }
            OpRequest::CreateDatabase(_)
            | OpRequest::DropDatabase(_)
            | OpRequest::AlterDatabase(_) => {
                let here = snapshot.databases.iter().find(|d| d.name == database);
                let wanted = match request {
                    OpRequest::DropDatabase(_) => here.is_none_or(|d| d.created < at),
                    _ => here.is_some(),
                };
                if !wanted || !selection.covers_database(&database) {
                    return Ok(None);
                }
            }
            _ => {
                let here = snapshot.collections.iter().filter(|c| c.database == database);
                let living = self.living(here.filter(|c| c.created <= at)).await?;
                if let OpRequest::Flush(flush) = &mut request {
                    flush.collection_names.retain(|name| living.contains_key(name.as_str()));
                }
                let names = request.collections();
                let living: Vec<_> = names.iter().filter_map(|n| living.get(n)).copied().collect();
                if names.is_empty() || living.len() < names.len() {
                    return Ok(None);
                }
                if !self.agrees(&request, &living).await? {
                    return Ok(None);
                }
                for id in living {
                    called.extend(self.called(id).await?);
                }
            }
        }
        let names = &self.task.names;
        let on_target = |name: &str| {
            let (to, to_name) = names.collection(&database, name);
            called.get(name).cloned().unwrap_or_else(|| (to.to_owned(), to_name.to_owned()))
        };
        let to = request
            .collections()
            .first()
            .map_or_else(|| names.database(&database).to_owned(), |first| on_target(first).0);
        request.rename(&to, |name| on_target(name).1);
        self.wait_for_collections(&request, &to).await?;
        Ok(Some(request))
    }

    /// Those that the task has or is about to have, by name. One that was renamed into its selection
    /// may be another task's: it will never be where this task would have it.
    async fn living<'a>(
        &self,
        collections: impl Iterator<Item = &'a Collection>,
    ) -> Result<BTreeMap<&'a str, CollectionId>> {
        let mut living = BTreeMap::new();
        for collection in collections.filter(|c| c.state == State::Created) {
            let (id, name) = (collection.id, collection.name());
            let is_selected = self.task.selection.find(&collection.database, name).is_some();
            if is_selected && !self.ports.destination.is_anothers(&self.task.id, id).await? {
                living.insert(name, id);
            }
        }
        Ok(living)
    }

    /// A collection's name on the source and on the target, where they do not follow from each other
    /// because the target has not followed a rename yet.
    async fn called(&self, id: CollectionId) -> Result<Option<(String, (String, String))>> {
        let Some(collection) = self.ports.catalog.collection(id).await? else { return Ok(None) };
        let key = collection_key(&self.task.id, id);
        let covered: Option<Covered> = load_one(&*self.ports.store, &key).await?;
        let name = collection.name().to_owned();
        Ok(covered.map(|covered| (name, covered.on_target(&self.task.names))))
    }

    /// Whether a request is still what the source has. Either way the catalog is looked at: it may
    /// have changed once more while the request was on its way.
    async fn agrees(&mut self, request: &OpRequest, concerned: &[CollectionId]) -> Result<bool> {
        if matches!(request, OpRequest::Flush(_)) || !self.ports.destination.follows() {
            return Ok(true);
        }
        for id in concerned {
            self.follower.note(*id);
            match self.follower.served(*id).await {
                Ok(served) if !served.as_ref().is_some_and(|it| it.agrees_with(request)) => {
                    return Ok(false);
                }
                // Its records can't be read, which is told elsewhere: then the request stands.
                Err(e) if e.kind != Kind::Permanent => return Err(e),
                _ => {}
            }
        }
        Ok(true)
    }

    /// The same of a request on roles and grants.
    async fn agrees_on_access(&mut self, request: &AccessRequest) -> Result<bool> {
        if !self.ports.destination.follows() {
            return Ok(true);
        }
        self.follower.note_access();
        match self.follower.agrees_on_access(request).await {
            // As there.
            Err(e) if e.kind == Kind::Permanent => Ok(true),
            agrees => agrees,
        }
    }

    /// What a request concerns lives on the source, so it comes to the target with the rows, if it
    /// is not there yet: an op may be read before the first channel of the task is.
    async fn wait_for_collections(&self, request: &OpRequest, database: &str) -> Result<()> {
        let Destination::Milvus(link) = &self.ports.destination else { return Ok(()) };
        for name in request.collections() {
            if link.target.describe(database, name).await?.is_none() {
                let request = request.name();
                return Err(Error::transient(format!(
                    "{request} waits for the collection {database}.{name} on the target"
                )));
            }
        }
        Ok(())
    }
}
