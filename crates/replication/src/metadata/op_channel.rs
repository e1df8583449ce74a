//! The op channel: databases, indexes, load, flush, and users and roles if the task is asked to.
//! The channel has no ticks, and its messages come after the fact, late or never. So each request
//! waits until the rows have come as far as its timestamp, and is left out if what it concerns has
//! ended or been overtaken since. While a request waits, the `follower` looks at the catalog for
//! what this channel omits, so that the two never ask the target at once. Never holds up the rows.

use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::metadata::follower::Follower;
use crate::metadata::rights::on_target;
use crate::observer::Noted;
use crate::ports::{ChannelReader, Ddl, Record, Transaction};
use crate::progress::Progress;
use crate::records::checkpoint::OpPosition;
use crate::records::keys::op_key;
use crate::rows::resumed::{self, Resumed};
use crate::selection::named;
use crate::stop::{Backoff, Stop};
use crate::task::Task;
use crate::unsupported::Missed;
use bytes::Bytes;
use milvus_wire::catalog::{Collection, Database, State};
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::op::{OpRequest, decode};
use milvus_wire::rbac::RbacRequest;
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// The message type of a tick: there may be some, and they say nothing here.
const TIME_TICK: i32 = 1200;

/// Replicates the op channel of a task until told to stop.
pub(crate) async fn replicate(
    context: Context,
    stop: Stop,
    progress: watch::Receiver<Progress>,
) -> Result<()> {
    let milvus = context.ports.destination.milvus().cloned();
    let follower = milvus.map(|link| Follower::new(context.clone(), link, progress.clone()));
    let op_channel = OpChannel { context, stop: stop.clone(), progress, follower };
    stop.until(op_channel.run()).await?
}

struct OpChannel {
    context: Context,
    stop: Stop,
    progress: watch::Receiver<Progress>,
    /// A log has nothing that could follow.
    follower: Option<Follower>,
}

impl OpChannel {
    async fn run(mut self) -> Result<()> {
        let channel = self.context.task.op_channel.clone();
        // Asked before anything else: what comes while the target is being reached is not missed.
        let now = self.context.ports.source.end(&channel).await;
        // A fault of the source is told by whoever writes to the target.
        self.context.ports.destination.ready().await?;
        let now = now?;
        let stored = self.context.records().load(&op_key(&self.context.task.id)).await?;
        let position = match stored {
            Some(position) => position,
            None => {
                let next = self.context.task.op_position.clone().unwrap_or(now);
                let position = OpPosition::new(next, Timestamp::ZERO);
                self.save(&position).await?;
                position
            }
        };
        let is_done = position.at > Timestamp::ZERO;
        let mut reader = self.reader(&channel, &position).await?;
        loop {
            let Record { id, payload } = self.during(reader.next()).await??;
            let done = is_done && id == position.next;
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
                    missed.note(&self.context).await?;
                }
            }
            self.save(&OpPosition::new(id, message.timestamp)).await?;
        }
    }

    /// The channel may be quiet for longer than the queue keeps the last request that is done.
    async fn reader(&self, channel: &str, position: &OpPosition) -> Result<Box<dyn ChannelReader>> {
        let (source, at) = (self.context.ports.source.clone(), position.at);
        if at == Timestamp::ZERO {
            return source.open(channel, &position.next).await;
        }
        let is_it = move |payload: &Bytes| decode(payload).is_ok_and(|it| it.timestamp == at);
        let (id, is_it) = (position.next.clone(), Box::new(is_it));
        let from = resumed::Entry { id, is_done: true, is_it };
        Ok(Box::new(Resumed::open(source, channel, from).await?))
    }

    async fn save(&self, position: &OpPosition) -> Result<()> {
        let mut stored = Transaction::default();
        position.put(&self.context.task.id, &mut stored);
        self.context.records().commit(stored).await
    }

    /// Waits for something. A target Milvus follows the catalog meanwhile.
    async fn during<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T> {
        match &mut self.follower {
            Some(follower) => follower.during(awaited).await,
            None => Ok(awaited.await),
        }
    }

    async fn carry_out(&mut self, request: OpRequest, at: Timestamp) -> Result<()> {
        let observer = self.context.ports.observer.clone();
        let mut backoff = Backoff::new(&*observer, self.context.task.limits.backoff_max);
        loop {
            let mut progress = self.progress.clone();
            let far = async move {
                let far = progress.wait_for(|progress| progress.idle || progress.done >= at).await;
                far.map(|_| ()).map_err(|_| Error::stopped())
            };
            self.during(far).await??;
            let tried = async {
                match self.for_target(request.clone(), at).await? {
                    Some(request) => self.context.ask(&Ddl::Op(Box::new(request)), at).await,
                    None => {
                        self.context.count(Noted::OpSkipped);
                        Ok(())
                    }
                }
            };
            match tried.await {
                Err(e) if e.kind == Kind::Transient => {
                    let stop = self.stop.clone();
                    self.during(stop.until(backoff.pause(&e))).await??;
                }
                Err(e) if e.kind == Kind::Permanent => {
                    // The rows go on: what an index or a load lacks can be made good by hand.
                    tracing::error!(error = ?e, "request not carried out on the target");
                    self.context.count(Noted::OpRefused);
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
        let selection = &self.context.task.selection;
        let snapshot = self.context.ports.catalog.snapshot().await?;
        let mut called = BTreeMap::new();
        match &mut request {
            OpRequest::Rbac(access) => {
                if !self.context.task.rbac || !self.agrees_on_roles(access).await? {
                    return Ok(None);
                }
                access.rename(on_target(&self.context.task.names));
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
                    if let Some(follower) = &self.follower
                        && !follower.has(&request, id).await?
                    {
                        return Ok(None);
                    }
                    called.extend(self.called(id).await?);
                }
            }
        }
        let names = &self.context.task.names;
        let on_target = |name: &str| {
            called.get(name).cloned().unwrap_or_else(|| names.collection(&database, name))
        };
        let to = request.collections().first().map_or_else(
            || names.database(&database).to_owned(),
            |first| on_target(first).database,
        );
        request.rename(&to, |name| on_target(name).name);
        if matches!(request, OpRequest::DropDatabase(_)) && self.stays(&database, &to).await? {
            return Ok(None);
        }
        Ok(Some(request))
    }

    /// Whether the target keeps a database that the source has dropped, because it is not this
    /// database's alone. What the task itself has there is dropped first; that is waited for.
    async fn stays(&self, database: &str, there: &str) -> Result<bool> {
        let Some(link) = self.context.ports.destination.milvus() else { return Ok(false) };
        let Task { names, selection, .. } = &*self.context.task;
        let snapshot = self.context.ports.catalog.snapshot().await?;
        let leads_there = |other: &&Database| {
            other.name != database
                && names.database(&other.name) == there
                && selection.covers_database(&other.name)
        };
        let mut held = link.target.collections(there).await?;
        let mut ours = None;
        let all = self.context.records().load_all().await?.collections;
        for collection in all.iter().filter(|collection| collection.is_in_step()) {
            let name = collection.on_target(names);
            ours = held.take(&name).or(ours);
        }
        let other = snapshot.databases.iter().find(leads_there).map(|other| &other.name);
        if other.is_none() && held.is_empty() {
            return match ours {
                None => Ok(false),
                Some(ours) => Err(Error::transient(format!(
                    "the database {there} can't be dropped on the target before the collection \
                     {ours} of this task is"
                ))),
            };
        }
        let held: Vec<_> = held.iter().map(ToString::to_string).collect();
        tracing::warn!(
            database = there,
            collections = held.join(", "),
            source_database = other,
            "the source has dropped a database that stays on the target: it has collections that \
             are not this task's, or another database of the source leads there too"
        );
        self.context.count(Noted::OpRefused);
        Ok(true)
    }

    /// Those that the task has or is about to have, by name. One that was renamed into its
    /// selection may be another task's: it will never be where this task would have it.
    async fn living<'a>(
        &self,
        collections: impl Iterator<Item = &'a Collection>,
    ) -> Result<BTreeMap<&'a str, CollectionId>> {
        let mut living = BTreeMap::new();
        for collection in collections.filter(|c| c.state == State::Created) {
            let (id, name) = (collection.id, collection.name());
            let is_selected =
                self.context.task.selection.find(&collection.database, name).is_some();
            let stored = self.context.records().collection(id).await?;
            // What the target has under the name of one that is out of step is not it.
            let is_in_step = stored.is_none_or(|(collection, _)| collection.is_in_step());
            if is_selected
                && is_in_step
                && !self.context.ports.destination.is_anothers(&self.context.task.id, id).await?
            {
                living.insert(name, id);
            }
        }
        Ok(living)
    }

    /// A collection's name on the source and on the target. They do not follow from each other
    /// while the target has not followed a rename.
    async fn called(&self, id: CollectionId) -> Result<Option<(String, CollectionName)>> {
        let catalog = &self.context.ports.catalog;
        let Some(collection) = catalog.collection(id).await? else { return Ok(None) };
        let replicated = self.context.records().collection(id).await?;
        let name = collection.name().to_owned();
        let names = &self.context.task.names;
        Ok(replicated.map(|(replicated, _)| (name, replicated.on_target(names))))
    }

    async fn agrees(&mut self, request: &OpRequest, concerned: &[CollectionId]) -> Result<bool> {
        match &mut self.follower {
            Some(follower) => follower.agrees(request, concerned).await,
            None => Ok(true),
        }
    }

    async fn agrees_on_roles(&mut self, request: &RbacRequest) -> Result<bool> {
        match &mut self.follower {
            Some(follower) => follower.agrees_on_roles(request).await,
            None => Ok(true),
        }
    }
}
