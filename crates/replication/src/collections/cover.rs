//! Which collections a task covers, and how it comes to know of them: all that exist when it
//! begins, then those the catalog or the log announces.
//! Never touches rows; what it decides is stored before a row depends on it.

use crate::collections::given_positions;
use crate::context::Ports;
use crate::error::{Error, Result};
use crate::observer::Event;
use crate::ports::{CatalogEvent, Ddl, Transaction};
use crate::records::checkpoint::covered;
use crate::records::checkpoint::starts;
use crate::records::checkpoint::{Called, Checkpoint, Covered, From, Pending, Stage};
use crate::records::keys::collection_key;
use crate::records::position::Position;
use crate::rows::read::Channels;
use crate::rows::roster::Roster;
use crate::rows::route::Router;
use crate::selection::Selector;
use crate::task::Task;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::CollectionId;
use milvus_wire::message::Message;
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a task knows of its collections, and the channels they bring with them.
pub struct Cover {
    pub(crate) task: Arc<Task>,
    pub(crate) ports: Ports,
    /// The collections.
    pub roster: Roster,
    /// Their places on the target.
    pub router: Router,
    /// Their channels.
    pub channels: Channels,
    /// What the source calls collections by now that have another name on the target.
    pub(crate) renamed: BTreeMap<CollectionId, Called>,
}

impl Cover {
    /// What was stored of a task, with nothing opened yet.
    pub fn new(task: Arc<Task>, ports: Ports, collections: Vec<Covered>) -> Self {
        let limits = &task.limits;
        let channels = Channels::new(
            ports.source.clone(),
            ports.observer.clone(),
            limits.round_bytes,
            limits.held_bytes_max,
        );
        let router = Router::new(ports.observer.clone(), task.names.clone());
        let roster = Roster::new(task.selection.clone(), collections);
        Self { task, ports, roster, router, channels, renamed: BTreeMap::new() }
    }

    /// Takes up what a stored task was doing.
    pub async fn resume(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if checkpoint.taken_over {
            // What created them may lie before the place where the op channel goes on.
            let snapshot = self.ports.catalog.snapshot().await?;
            self.create_databases(&snapshot).await?;
        }
        let ids: Vec<_> = self.roster.all().filter(|c| c.is_live()).map(|c| c.id).collect();
        for id in ids {
            self.finish_rename(id).await?;
            let ended = checkpoint.pending.as_ref().is_some_and(|p| p.collection == id);
            if !self.find_place(id).await? && !ended && !self.was_renamed_there(id).await? {
                let covered = self.roster.get(id).map_or("", |c| &c.name).to_owned();
                return Err(Error::permanent(format!(
                    "the collection {covered} was on the target and is gone there; delete the task \
                     and create it again to begin anew"
                )));
            }
        }
        for (channel, position) in &checkpoint.channels {
            self.channels.open(channel, position.clone()).await?;
        }
        if checkpoint.taken_over {
            let taken = self.roster.all().filter(|c| c.stage == Stage::Existing);
            for id in taken.map(|c| c.id).collect::<Vec<_>>() {
                self.claim_taken_over(id).await?;
            }
        }
        self.create_existing().await
    }

    /// Begins a task: everything that exists is created on the target, and replicated from now on,
    /// or from where its selector says.
    pub async fn begin(&mut self) -> Result<()> {
        // Two listings with the ends of the channels between them: what only the second one has
        // came to be after the ends, and is announced on the log behind them.
        let before = self.ports.catalog.snapshot().await?;
        let mut ends = BTreeMap::new();
        for channel in before.collections.iter().flat_map(|c| &c.pchannels) {
            if !ends.contains_key(channel) {
                ends.insert(channel.clone(), self.ports.source.end(channel).await?);
            }
        }
        let after = self.ports.catalog.snapshot().await?;
        if let Some(what) = given_positions::misfit(self.roster.selection(), &after.collections) {
            return Err(Error::permanent(format!("{what}; {}", given_positions::REMEDY)));
        }
        self.create_databases(&after).await?;
        let known: BTreeSet<_> =
            before.collections.iter().filter(|c| c.state == State::Created).map(|c| c.id).collect();
        let mut stored = Transaction::default();
        for collection in after.collections.iter().filter(|c| c.state == State::Created) {
            let Some(selector) = self.selector(collection) else {
                continue;
            };
            let from = if known.contains(&collection.id) {
                first_of(collection, &selector, &ends)
            } else {
                starts(collection)
            };
            let existed = known.contains(&collection.id);
            let stage = if existed { Stage::Existing } else { Stage::Awaited };
            if self.claims(collection).await? {
                let target = self.ports.destination.address().to_owned();
                self.roster.add(Covered { target, ..covered(collection, from, stage)? });
            }
        }
        for covered in self.roster.all() {
            covered.put(&self.task.id, &mut stored);
        }
        let mut positions: BTreeMap<String, MessageId> = BTreeMap::new();
        for (channel, from) in self.roster.all().flat_map(|c| &c.from) {
            let first = positions.entry(channel.clone()).or_insert_with(|| from.id.clone());
            if self.ports.source.compare(&from.id, first).is_lt() {
                *first = from.id.clone();
            }
        }
        for (channel, id) in positions {
            self.channels.open(&channel, Position { id, tick: Timestamp::ZERO }).await?;
        }
        // Stored before the target is touched: what is created there must be known as the task's.
        self.save(stored).await?;
        self.create_existing().await
    }

    async fn create_existing(&mut self) -> Result<()> {
        let existing = self.roster.all().filter(|c| c.stage == Stage::Existing);
        let existing: Vec<_> = existing.map(|c| c.id).collect();
        for id in existing {
            match self.ports.catalog.collection(id).await? {
                Some(collection) if collection.state == State::Created => {
                    self.create(&collection).await?;
                    self.lives(id).await?;
                    self.note_name(&collection);
                }
                _ => self.never_came_to_be(id).await?,
            }
        }
        Ok(())
    }

    /// Looks at what the catalog announced.
    pub async fn look(&mut self, event: CatalogEvent) -> Result<()> {
        match event {
            CatalogEvent::Collection(id) => {
                if let Some(collection) = self.ports.catalog.collection(id).await? {
                    self.join(&collection).await?;
                    self.note_name(&collection);
                }
            }
            CatalogEvent::Partition(id) => self.learn_partitions(id).await?,
            // Nothing that rows depend on: see `serving`.
            CatalogEvent::Serving(_) | CatalogEvent::Access => {}
            CatalogEvent::Resync => {
                let snapshot = self.ports.catalog.snapshot().await?;
                for collection in &snapshot.collections {
                    self.join(collection).await?;
                    self.note_name(collection);
                }
                let live: Vec<_> =
                    self.roster.all().filter(|c| c.is_live()).map(|c| c.id).collect();
                for id in live {
                    self.learn_partitions(id).await?;
                }
            }
        }
        self.follow_names().await
    }

    /// Begins to read a collection that came to be while the task runs. It is created on the target
    /// when its CreateCollection message is met in the log. One that is known already has joined,
    /// whatever it is called by now.
    async fn join(&mut self, collection: &Collection) -> Result<bool> {
        let is_known = self.roster.get(collection.id).is_some();
        if is_known || collection.state != State::Created || self.selector(collection).is_none() {
            return Ok(false);
        }
        if !self.claims(collection).await? {
            return Ok(false);
        }
        let target = self.ports.destination.address().to_owned();
        let joined = covered(collection, starts(collection), Stage::Awaited)?;
        let joined = Covered { target, ..joined };
        let mut open = Vec::new();
        for (channel, from) in &joined.from {
            let position = self.channels.position(channel).cloned();
            match position {
                None => open.push((channel.clone(), from.id.clone())),
                // Read past its beginning already: go back, and let the others skip what is done.
                Some(done) if self.channels.has_passed(channel, &from.id) => {
                    for other in self.roster.on_mut(channel) {
                        if let Some(from) = other.from.get_mut(channel) {
                            from.after = from.after.max(done.tick);
                        }
                    }
                    let back = self.ports.source.compare(&from.id, &done.id).is_lt();
                    open.push((channel.clone(), if back { from.id.clone() } else { done.id }));
                }
                Some(_) => {}
            }
        }
        let mut stored = Transaction::default();
        self.roster.add(joined);
        for covered in self.roster.all() {
            if open.iter().any(|(channel, _)| covered.from.contains_key(channel))
                || covered.id == collection.id
            {
                covered.put(&self.task.id, &mut stored);
            }
        }
        for (channel, id) in open {
            self.channels.open(&channel, Position { id, tick: Timestamp::ZERO }).await?;
        }
        tracing::info!(collection = %collection.name(), id = %collection.id, "collection joined");
        self.save(stored).await?;
        Ok(true)
    }

    /// Whether the collection may be the task's. A rename may have brought one into its selection that
    /// another task has.
    async fn claims(&self, collection: &Collection) -> Result<bool> {
        let is_ours = self.ports.destination.claim(&self.task.id, collection.id).await?;
        if !is_ours {
            let name = collection.name();
            tracing::warn!(task = %self.task.id, name, "another task has this collection, under its old name");
            self.ports.observer.event(Event::Counted("of_another_task", 1));
        }
        Ok(is_ours)
    }

    /// Joins what a round announces before the round is taken apart: a channel may have to be read
    /// again for it, and the round with it. Returns whether anything joined.
    pub async fn join_announced(&mut self, upto: Timestamp) -> Result<bool> {
        let announced = |message: &Message| match message {
            Message::CreateCollection(ddl) => Some(ddl.collection_id),
            _ => None,
        };
        let announced: BTreeSet<_> = self.channels.held(upto).filter_map(announced).collect();
        let mut joined = false;
        for id in announced {
            if self.roster.get(id).is_none()
                && let Some(collection) = self.ports.catalog.collection(id).await?
            {
                joined |= self.join(&collection).await?;
            }
        }
        Ok(joined)
    }

    /// The log says that a collection was created and a tick covers it: the catalog now knows
    /// whether it was (invariant I6).
    pub async fn announced(&mut self, id: CollectionId) -> Result<()> {
        if self.roster.get(id).is_some_and(|c| c.is_live()) {
            return Ok(());
        }
        let collection = self.ports.catalog.collection(id).await?;
        let Some(collection) = collection.filter(|c| c.state == State::Created) else {
            return self.never_came_to_be(id).await;
        };
        if self.roster.get(id).is_none() {
            return Ok(());
        }
        self.make_room(&collection).await?;
        self.create(&collection).await?;
        self.lives(id).await?;
        self.note_name(&collection);
        self.follow_names().await
    }

    async fn lives(&mut self, id: CollectionId) -> Result<()> {
        let mut stored = Transaction::default();
        if let Some(covered) = self.roster.get_mut(id) {
            covered.stage = Stage::Live;
            self.ports.destination.address().clone_into(&mut covered.target);
            covered.put(&self.task.id, &mut stored);
        }
        self.save(stored).await
    }

    /// The catalog knows a collection no longer, or not yet. An earlier life may have created it on
    /// the target and died before it could store that; then its drop comes on the log.
    async fn never_came_to_be(&mut self, id: CollectionId) -> Result<()> {
        let Some(covered) = self.roster.get(id).cloned() else { return Ok(()) };
        let (database, name) = covered.on_target(self.router.names());
        let there = self.ports.destination.describe(&covered, (&database, &name)).await?;
        if there.is_some_and(|there| there.created == covered.created) {
            self.find_place(id).await?;
            self.learn_partitions(id).await?;
            return self.lives(id).await;
        }
        tracing::info!(collection = %covered.name, %id, "collection was gone before it was created");
        // Where another one has the name, this one was never told of.
        let is_free = self.has_name(id, &(database.clone(), name.clone())).is_none();
        // Without its database, which has been dropped since, it has no name.
        if self.ports.destination.forgets() && is_free && !covered.database.is_empty() {
            self.apply(Ddl::DropCollection { database, name }, covered.created).await?;
        }
        let mut stored = Transaction::default();
        stored.deletes.push(collection_key(&self.task.id, id));
        self.roster.remove(id);
        self.leave_channels(&covered);
        self.save(stored).await?;
        // Its name is free.
        self.follow_names().await
    }

    pub(crate) fn leave_channels(&mut self, gone: &Covered) {
        for channel in gone.from.keys() {
            if !self.roster.needs(channel) {
                self.channels.close(channel);
            }
        }
    }

    /// The positions of all channels, to be stored.
    pub fn checkpoint(&self, pending: Option<Pending>) -> Checkpoint {
        Checkpoint::new(self.channels.positions(), pending)
    }

    /// Stores the positions and what else has changed.
    pub async fn save(&self, mut stored: Transaction) -> Result<()> {
        self.checkpoint(None).put(&self.task.id, &mut stored);
        self.keep(stored).await
    }

    /// Stores what has changed besides the positions.
    pub(crate) async fn keep(&self, stored: Transaction) -> Result<()> {
        let lease = self.ports.destination.lease();
        lease.commit_of(&*self.ports.store, &self.task.id, stored).await
    }

    fn selector(&self, collection: &Collection) -> Option<Selector> {
        self.roster.selection().find(&collection.database, collection.name()).cloned()
    }
}

/// Where a collection begins that existed before its task.
fn first_of(
    collection: &Collection,
    selector: &Selector,
    ends: &BTreeMap<String, MessageId>,
) -> BTreeMap<String, From> {
    let mut from = starts(collection);
    if !selector.use_start_position {
        for (channel, from) in &mut from {
            if let Some(end) = ends.get(channel) {
                from.id = end.clone();
            }
        }
    }
    for (vchannel, id) in &selector.positions {
        if let Some((channel, of, _)) = milvus_wire::ids::split_vchannel(vchannel)
            && of == collection.id
            && let Some(from) = from.get_mut(channel)
        {
            from.id = id.clone();
        }
    }
    from
}
