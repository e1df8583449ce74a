//! What every [`Catalog`] must pass. Each case has collections of its own, whose names begin with
//! `suite_`, so a source may be shared.
//! Never makes a catalog or a client of a Milvus itself: what the tests of an implementation give
//! does.
//!
//! Not checked, and why:
//! - "The metadata of a source Milvus." It says what it is.
//! - "All that exists at one moment." A case cannot act in the middle of a read. What can be seen
//!   of it is checked: each case reads what was done just before, without waiting for it.
//! - That a receiver that lagged is the same as a lost watch: the channel reports it, not the
//!   catalog.

use crate::cases::{Cases, done, soon};
use async_trait::async_trait;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::serving::Serving;
use replication::error::{Error, Kind};
use replication::ports::{Catalog, CatalogEvent, next_event};
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;

const DATABASE: &str = "default";

/// The first id of a field that a user has made; below are Milvus's own.
const FIRST_FIELD: i64 = 100;

/// No collection has it.
const NEVER: CollectionId = CollectionId(i64::MAX);

/// What the suite needs of an implementation and its source: what a user of the source does.
#[async_trait]
pub trait CatalogUnderTest: Sync {
    /// The catalog.
    fn catalog(&self) -> Arc<dyn Catalog>;

    /// Creates a database.
    async fn create_database(&self, name: &str);

    /// Creates a collection with so many shards.
    async fn create_collection(&self, name: &CollectionName, shards: usize);

    /// Drops a collection.
    async fn drop_collection(&self, name: &CollectionName);

    /// Creates a partition of a collection.
    async fn create_partition(&self, collection: &CollectionName, name: &str);

    /// Drops a partition of a collection.
    async fn drop_partition(&self, collection: &CollectionName, name: &str);

    /// Creates an index of this name for a field of a collection.
    async fn create_index(&self, collection: &CollectionName, name: &str);

    /// Drops an index of a collection.
    async fn drop_index(&self, collection: &CollectionName, name: &str);

    /// Loads a collection that has an index.
    async fn load(&self, collection: &CollectionName);

    /// Releases a collection.
    async fn release(&self, collection: &CollectionName);

    /// Gives an alias to a collection.
    async fn create_alias(&self, collection: &CollectionName, alias: &str);

    /// Drops an alias of the default database.
    async fn drop_alias(&self, alias: &str);

    /// Creates a role.
    async fn create_role(&self, name: &str);

    /// Drops a role.
    async fn drop_role(&self, name: &str);
}

/// A catalog that can be cut off from its source.
#[async_trait]
pub trait Interrupted: Sync {
    /// The catalog.
    fn catalog(&self) -> Arc<dyn Catalog>;

    /// Something changes; what a catalog is to say of it.
    async fn change(&self) -> CatalogEvent;

    /// The source can't be reached any more.
    async fn leave(&self);

    /// It can be reached again.
    async fn come_back(&self);
}

/// Records of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Of an index of a collection.
    Index(CollectionId),
    /// Of an alias.
    Alias,
    /// Of what a role may do.
    Grant,
}

/// A source whose records can be damaged.
#[async_trait]
pub trait Damaged: Sync {
    /// The catalog.
    fn catalog(&self) -> Arc<dyn Catalog>;

    /// Leaves such a record that can't be read; its name.
    async fn damage(&self, record: Record) -> String;
}

/// The cases that need a source that works.
pub async fn suite(world: &impl CatalogUnderTest) {
    let mut cases = Cases::of("the catalog");
    let sentence = "Every read is linearizable. Lists databases and collections. Without \
                    tombstones. Without tombstones, in every state, with fields, without system \
                    fields.";
    cases.case(sentence, what_exists_is_listed(world)).await;
    let sentence = "One collection in whatever state; `None` if it is gone or never was.";
    cases.case(sentence, a_collection_is_read_by_its_id(world)).await;
    let sentence = "The partitions of a collection in every state, without tombstones.";
    cases.case(sentence, partitions_are_listed(world)).await;
    let sentence = "The indexes of a collection and what of it is loaded, as of one moment; \
                    nothing of either if it is gone.";
    cases.case(sentence, indexes_and_loads_are_read(world)).await;
    cases.case("All aliases.", aliases_are_listed(world)).await;
    cases.case("All roles, as of one moment.", roles_are_listed(world)).await;
    let sentence = "A live feed of changes. A collection, its fields or its state. A partition of \
                    this collection. An index of this collection, what of it is loaded, or an \
                    alias that it has or had. A role, a grant, who has which role, or a user. \
                    What a change of the metadata concerns; always re-read it, the event carries \
                    no content.";
    cases.case(sentence, changes_are_announced(world)).await;
    cases.end();
}

/// The case of a source that goes away and comes back.
pub async fn absence(world: &impl Interrupted) {
    let mut cases = Cases::of("the catalog");
    let sentence = "What happens after this call is not missed: a watch that was lost or compacted \
                    is re-established and reported as [`CatalogEvent::Resync`], as is a receiver \
                    that lagged (`RecvError::Lagged` means the same). Events may have been missed: \
                    list again.";
    cases.case(sentence, a_lost_watch_is_announced(world)).await;
    cases.end();
}

/// The cases of records that can't be read.
pub async fn damage(world: &impl Damaged) {
    let mut cases = Cases::of("the catalog");
    let catalog = &*world.catalog();
    let sentence = "Records that can't be read are a permanent error.";
    cases.case(sentence, a_damaged_index_is_named(world, catalog)).await;
    let sentence = "A record that can't be read is a permanent error.";
    cases.case(sentence, a_damaged_alias_is_named(world, catalog)).await;
    cases.case(sentence, a_damaged_grant_is_named(world, catalog)).await;
    cases.end();
}

async fn what_exists_is_listed(world: &impl CatalogUnderTest) {
    let catalog = world.catalog();
    let [here, there] = [DATABASE, "suite_db"].map(|it| CollectionName::new(it, "suite_listed"));
    world.create_database("suite_db").await;
    world.create_collection(&here, 2).await;
    world.create_collection(&there, 1).await;
    let snapshot = done(soon("a snapshot", catalog.snapshot()).await);
    let databases: Vec<_> = snapshot.databases.iter().map(|it| it.name.as_str()).collect();
    assert!(databases.contains(&DATABASE) && databases.contains(&"suite_db"), "{databases:?}");
    for (name, shards) in [(&here, 2), (&there, 1)] {
        let found = found(&snapshot.collections, name).unwrap_or_else(|| panic!("no {name}"));
        let fields: Vec<_> = found.schema.fields.iter().map(|field| field.field_id).collect();
        assert!(!fields.is_empty() && fields.iter().all(|id| *id >= FIRST_FIELD), "{fields:?}");
        assert_eq!(found.vchannels.len(), shards);
        assert_eq!(found.pchannels.len(), shards);
        assert_eq!(found.start_positions.len(), shards);
    }
    for name in [&here, &there] {
        world.drop_collection(name).await;
        let snapshot = done(soon("a snapshot", catalog.snapshot()).await);
        assert!(found(&snapshot.collections, name).is_none(), "{name} was dropped");
    }
}

async fn a_collection_is_read_by_its_id(world: &impl CatalogUnderTest) {
    let catalog = world.catalog();
    let name = &named("suite_by_id");
    let listed = created(world, name).await;
    let read = async |id| done(soon("a collection", catalog.collection(id)).await);
    assert_eq!(read(listed.id).await.as_ref(), Some(&listed));
    assert_eq!(read(NEVER).await, None);
    world.drop_collection(name).await;
    // Its record stays for a while.
    assert_ne!(read(listed.id).await.map(|gone| gone.state), Some(State::Created));
}

async fn partitions_are_listed(world: &impl CatalogUnderTest) {
    let catalog = world.catalog();
    let name = &named("suite_partitions");
    let id = created(world, name).await.id;
    let usable = async || {
        let partitions = done(soon("the partitions", catalog.partitions(id)).await);
        assert!(partitions.iter().all(|partition| partition.collection == id));
        let usable = partitions.into_iter().filter(|it| it.state == State::Created);
        let mut names: Vec<_> = usable.map(|partition| partition.name).collect();
        names.sort();
        names
    };
    assert_eq!(usable().await, ["_default"]);
    world.create_partition(name, "p").await;
    assert_eq!(usable().await, ["_default", "p"]);
    world.drop_partition(name, "p").await;
    assert_eq!(usable().await, ["_default"]);
    world.drop_collection(name).await;
    assert_eq!(done(soon("the partitions", catalog.partitions(NEVER)).await), []);
}

async fn indexes_and_loads_are_read(world: &impl CatalogUnderTest) {
    let catalog = world.catalog();
    let name = &named("suite_served");
    let id = created(world, name).await.id;
    let serving = async |id| done(soon("the serving state", catalog.serving(id)).await);
    assert_eq!(serving(id).await, Serving::default());
    assert_eq!(serving(NEVER).await, Serving::default());
    world.create_index(name, "by_vec").await;
    let indexed = serving(id).await;
    let names: Vec<_> = indexed.indexes.iter().map(|index| index.name.as_str()).collect();
    assert_eq!((names, indexed.load), (vec!["by_vec"], None));
    world.load(name).await;
    let loaded = serving(id).await;
    assert!(loaded.load.is_some() && !loaded.partitions.is_empty(), "{loaded:?}");
    world.release(name).await;
    let released = serving(id).await;
    assert_eq!((released.load, released.partitions.len()), (None, 0));
    world.drop_index(name, "by_vec").await;
    assert_eq!(serving(id).await, Serving::default());
    world.drop_collection(name).await;
}

async fn aliases_are_listed(world: &impl CatalogUnderTest) {
    let catalog = world.catalog();
    let name = &named("suite_has_alias");
    let id = created(world, name).await.id;
    let collection = async || {
        let aliases = done(soon("the aliases", catalog.aliases()).await);
        aliases.into_iter().find(|alias| alias.name == "suite_alias").map(|alias| alias.collection)
    };
    assert_eq!(collection().await, None);
    world.create_alias(name, "suite_alias").await;
    assert_eq!(collection().await, Some(id));
    world.drop_alias("suite_alias").await;
    assert_eq!(collection().await, None);
    world.drop_collection(name).await;
}

async fn roles_are_listed(world: &impl CatalogUnderTest) {
    let catalog = world.catalog();
    let has = async || done(soon("the roles", catalog.roles()).await).contains_key("suite_role");
    assert!(!has().await);
    world.create_role("suite_role").await;
    assert!(has().await);
    world.drop_role("suite_role").await;
    assert!(!has().await);
}

async fn changes_are_announced(world: &impl CatalogUnderTest) {
    let catalog = world.catalog();
    let mut changes = catalog.changes();
    let name = &named("suite_announced");
    let id = created(world, name).await.id;
    announced(&mut changes, CatalogEvent::Collection(id)).await;
    world.create_partition(name, "p").await;
    announced(&mut changes, CatalogEvent::Partition(id)).await;
    world.drop_partition(name, "p").await;
    announced(&mut changes, CatalogEvent::Partition(id)).await;
    world.create_index(name, "by_vec").await;
    announced(&mut changes, CatalogEvent::Serving(id)).await;
    world.load(name).await;
    announced(&mut changes, CatalogEvent::Serving(id)).await;
    world.create_alias(name, "suite_announced_too").await;
    announced(&mut changes, CatalogEvent::Serving(id)).await;
    world.drop_alias("suite_announced_too").await;
    world.create_role("suite_announced").await;
    announced(&mut changes, CatalogEvent::Rbac).await;
    world.drop_role("suite_announced").await;
    world.release(name).await;
    world.drop_collection(name).await;
    announced(&mut changes, CatalogEvent::Collection(id)).await;
}

async fn a_lost_watch_is_announced(world: &impl Interrupted) {
    let catalog = world.catalog();
    let mut changes = catalog.changes();
    let change = world.change().await;
    announced(&mut changes, change).await;
    world.leave().await;
    let unanswered = soon("a snapshot", catalog.snapshot()).await;
    assert_eq!(unanswered.map(drop).map_err(|error| error.kind), Err(Kind::Transient));
    world.come_back().await;
    // Whatever came while nobody watched is in the list that this asks for.
    world.change().await;
    announced(&mut changes, CatalogEvent::Resync).await;
    let change = world.change().await;
    announced(&mut changes, change).await;
}

async fn a_damaged_index_is_named(world: &impl Damaged, catalog: &dyn Catalog) {
    let id = CollectionId(7);
    let name = world.damage(Record::Index(id)).await;
    names(soon("the serving state", catalog.serving(id)).await, &name);
}

async fn a_damaged_alias_is_named(world: &impl Damaged, catalog: &dyn Catalog) {
    let name = world.damage(Record::Alias).await;
    names(soon("the aliases", catalog.aliases()).await, &name);
}

async fn a_damaged_grant_is_named(world: &impl Damaged, catalog: &dyn Catalog) {
    let name = world.damage(Record::Grant).await;
    names(soon("the roles", catalog.roles()).await, &name);
}

/// The error is permanent and names the record.
fn names<T>(read: Result<T, Error>, record: &str) {
    match read {
        Ok(_) => panic!("{record} can't be read, yet it was"),
        Err(error) => {
            assert_eq!(error.kind, Kind::Permanent, "{error:?}");
            assert!(error.what.contains(record), "{record} is not in: {error}");
        }
    }
}

/// Waits for an event; others may come before it. A watch that has just begun asks to list again.
async fn announced(changes: &mut Receiver<CatalogEvent>, wanted: CatalogEvent) {
    let wait =
        async { while ![wanted, CatalogEvent::Resync].contains(&next_event(changes).await) {} };
    soon(&format!("{wanted:?}"), wait).await;
}

fn named(name: &str) -> CollectionName {
    CollectionName::new(DATABASE, name)
}

/// A usable collection of this name.
fn found<'a>(collections: &'a [Collection], name: &CollectionName) -> Option<&'a Collection> {
    collections.iter().find(|collection| {
        collection.state == State::Created
            && collection.database == name.database
            && collection.name() == name.name
    })
}

/// Creates a collection; as the catalog has it.
async fn created(world: &impl CatalogUnderTest, name: &CollectionName) -> Collection {
    world.create_collection(name, 1).await;
    let snapshot = done(soon("a snapshot", world.catalog().snapshot()).await);
    found(&snapshot.collections, name).unwrap_or_else(|| panic!("no {name}")).clone()
}
