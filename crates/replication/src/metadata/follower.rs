//! Lets a target Milvus follow the source's catalog in what rows do not depend on: indexes, loads,
//! properties, aliases, and roles if the task is asked to. The op channel omits what existed before
//! the task, and some of what follows. Never holds up the rows, and never waits until a load or an
//! index is complete.

use crate::context::Context;
use crate::destination::milvus::link::Link;
use crate::error::{Error, Kind, Result};
use crate::metadata::asking::Asking;
use crate::metadata::follow_roles::{self, Lacking};
use crate::metadata::follow_serving::{self, Looked};
use crate::metadata::schedule::{Look, Schedule};
use crate::observer::Noted;
use crate::ports::{CatalogEvent, next_event};
use crate::progress::Progress;
use crate::records::checkpoint::ReplicatedCollection;
use milvus_wire::catalog::State;
use milvus_wire::ids::CollectionId;
use milvus_wire::op::OpRequest;
use milvus_wire::rbac::RbacRequest;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::watch;

/// The longest pause between two looks at a collection that the target does not have yet.
const AWAIT_MAX: Duration = Duration::from_secs(5);

/// The longest pause between two looks at roles while the target lacks a user who has one: a person
/// has to create the user.
const USER_AWAIT_MAX: Duration = Duration::from_secs(30);

/// Follows the catalog.
pub(super) struct Follower {
    asking: Asking,
    schedule: Schedule,
    changes: Receiver<CatalogEvent>,
    /// The roles and users that were reported as lacking.
    reported: Lacking,
}

impl Follower {
    /// Looks at everything first: what was carried over already is stored.
    pub(super) fn new(
        context: Context,
        link: Arc<Link>,
        progress: watch::Receiver<Progress>,
    ) -> Self {
        let changes = context.ports.catalog.changes();
        let mut schedule = Schedule::default();
        schedule.soon(Look::All);
        let asking = Asking::new(context, link, progress);
        Self { asking, schedule, changes, reported: Lacking::new() }
    }

    /// Waits for something, and looks at what is due until it is there.
    pub(super) async fn during<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T> {
        let mut awaited = pin!(awaited);
        loop {
            tokio::select! {
                biased;
                done = &mut awaited => return Ok(done),
                look = self.next() => self.look(look).await?,
            }
        }
    }

    /// Whether a request of the op channel is still what the source has. Either way the catalog is
    /// looked at again: it may have changed once more while the request was on its way.
    pub(super) async fn agrees(
        &mut self,
        request: &OpRequest,
        concerned: &[CollectionId],
    ) -> Result<bool> {
        if matches!(request, OpRequest::Flush(_)) {
            return Ok(true);
        }
        for id in concerned {
            self.note(*id);
            match follow_serving::read(&self.asking.context, *id).await {
                Ok(now) if !now.as_ref().is_some_and(|now| now.agrees_with(request)) => {
                    return Ok(false);
                }
                // Its records can't be read, which is reported elsewhere: then the request stands.
                Err(e) if e.kind != Kind::Permanent => return Err(e),
                _ => {}
            }
        }
        Ok(true)
    }

    /// The same for a request on roles and grants.
    pub(super) async fn agrees_on_roles(&mut self, request: &RbacRequest) -> Result<bool> {
        self.note_roles();
        match follow_roles::agrees(&self.asking, request).await {
            // As there.
            Err(e) if e.kind == Kind::Permanent => Ok(true),
            agrees => agrees,
        }
    }

    /// Whether the target has a collection that a request concerns, and not another one of its
    /// name. A transient error if it has none. The collection lives on the source, so it comes to
    /// the target with the rows: a request may be read before the first channel of the task is.
    pub(super) async fn has(&self, request: &OpRequest, id: CollectionId) -> Result<bool> {
        let context = &self.asking.context;
        let known = context.records().collection(id).await?.map(|(collection, _)| collection);
        let waits = |name: &dyn fmt::Display| {
            let request = request.name();
            Err(Error::transient(format!(
                "{request} waits for the collection {name} on the target"
            )))
        };
        let Some(known) = known.filter(ReplicatedCollection::is_live) else { return waits(&id) };
        let name = known.on_target(&context.task.names);
        match self.asking.target().describe(&name).await? {
            Some(there) => Ok(known.may_be(there.id)),
            None => waits(&name),
        }
    }

    fn note(&mut self, id: CollectionId) {
        self.schedule.soon(Look::Collection(id));
    }

    fn note_roles(&mut self) {
        if self.asking.context.task.rbac {
            self.schedule.soon(Look::Roles);
        }
    }

    /// Safe to cancel.
    async fn next(&mut self) -> Look {
        loop {
            tokio::select! {
                biased;
                event = next_event(&mut self.changes) => match event {
                    CatalogEvent::Resync => self.schedule.soon(Look::All),
                    CatalogEvent::Rbac => self.note_roles(),
                    CatalogEvent::Collection(id)
                    | CatalogEvent::Partition(id)
                    | CatalogEvent::Serving(id) => self.note(id),
                },
                look = self.schedule.next() => return look,
            }
        }
    }

    /// Looks once. What can't be read is left out: the rows do not depend on it.
    async fn look(&mut self, look: Look) -> Result<()> {
        let Some(due) = self.schedule.take(look) else { return Ok(()) };
        let looked = match look {
            Look::All => self.list().await.map(|()| Looked::Done),
            Look::Roles => {
                let followed = follow_roles::look(&self.asking, &mut self.reported, due.pause);
                followed.await.map(Looked::all_or_awaits)
            }
            Look::Collection(id) => {
                follow_serving::follow(&self.asking, id, due.seen.as_ref()).await
            }
        };
        match looked {
            Ok(Looked::Done) => {}
            Ok(Looked::Awaits) => {
                let max = if look == Look::Roles { USER_AWAIT_MAX } else { AWAIT_MAX };
                self.schedule.again(look, due.pause, max);
            }
            Ok(Looked::Changing(seen)) => self.schedule.soon_after(look, seen),
            Err(e) if e.kind == Kind::Transient => {
                tracing::warn!(error = ?e, ?look, "can't follow the source's catalog yet");
                self.asking.context.count(Noted::Retried);
                let max = self.asking.context.task.limits.backoff_max;
                self.schedule.again(look, due.pause, max);
            }
            Err(e) if e.kind == Kind::Permanent => {
                tracing::error!(error = ?e, ?look, "the source's catalog can't be followed");
                self.asking.context.count(Noted::ServingUnreadable);
            }
            Err(e) => return Err(e),
        }
        Ok(())
    }

    async fn list(&mut self) -> Result<()> {
        self.note_roles();
        let snapshot = self.asking.context.ports.catalog.snapshot().await?;
        for collection in &snapshot.collections {
            let selection = &self.asking.context.task.selection;
            let selected = selection.find(&collection.database, collection.name());
            if collection.state == State::Created && selected.is_some() {
                self.note(collection.id);
            }
        }
        Ok(())
    }
}
