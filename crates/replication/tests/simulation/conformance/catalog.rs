//! The scripted catalog against the suite of catalogs. Never acts by itself: the suite says what a
//! user of the source does.

use super::quiet::{block_on, no_faults};
use crate::faults::Verdict;
use crate::script::Script;
use ::conformance::catalog::{self, CatalogUnderTest, Damaged, Interrupted, Record};
use async_trait::async_trait;
use milvus_wire::ids::{CollectionId, CollectionName, DatabaseId, PartitionId};
use milvus_wire::serving::{Alias, Index, Load, Serving};
use replication::ports::{Catalog, CatalogEvent};
use std::sync::Arc;

#[test]
fn the_scripted_catalog_is_a_catalog() {
    block_on(async {
        let source = Source(Script::new(0, no_faults(), Verdict::default()));
        catalog::suite(&source).await;
        catalog::absence(&source).await;
        catalog::damage(&source).await;
    });
}

struct Source(Script);

impl Source {
    fn id(&self, name: &CollectionName) -> CollectionId {
        self.0.world().id_of(name).unwrap()
    }

    fn serve(&self, name: &CollectionName, change: impl FnOnce(&mut Serving)) {
        let id = self.id(name);
        self.0.change(|world| change(world.serving.entry(id).or_default()));
        self.0.announce(CatalogEvent::Serving(id));
    }
}

#[async_trait]
impl CatalogUnderTest for Source {
    fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::new(self.0.clone())
    }

    async fn create_database(&self, name: &str) {
        self.0.change(|world| world.databases.push(name.to_owned()));
    }

    async fn create_collection(&self, name: &CollectionName, shards: usize) {
        let now = self.0.now();
        self.0.change(|world| world.create_as(now, name, shards));
        self.0.announce(CatalogEvent::Collection(self.id(name)));
    }

    async fn drop_collection(&self, name: &CollectionName) {
        let (id, now) = (self.id(name), self.0.now());
        self.0.change(|world| world.end_of(now, id));
        self.0.announce(CatalogEvent::Collection(id));
    }

    async fn create_partition(&self, collection: &CollectionName, name: &str) {
        let (id, now) = (self.id(collection), self.0.now());
        self.0.change(|world| {
            world.add_partition(now, id.0, name.to_owned());
        });
        self.0.announce(CatalogEvent::Partition(id));
    }

    async fn drop_partition(&self, collection: &CollectionName, _: &str) {
        let (id, now) = (self.id(collection), self.0.now());
        self.0.change(|world| {
            world.drop_partition(now, id.0);
        });
        self.0.announce(CatalogEvent::Partition(id));
    }

    async fn create_index(&self, collection: &CollectionName, name: &str) {
        let index = Index { id: 1, name: name.to_owned(), field: 100, params: vec![] };
        self.serve(collection, |serving| serving.indexes.push(index));
    }

    async fn drop_index(&self, collection: &CollectionName, name: &str) {
        self.serve(collection, |serving| serving.indexes.retain(|index| index.name != name));
    }

    async fn load(&self, collection: &CollectionName) {
        self.serve(collection, |serving| {
            serving.load = Some(Load { whole: true, replicas: 1 });
            serving.partitions.insert(PartitionId(1));
        });
    }

    async fn release(&self, collection: &CollectionName) {
        self.serve(collection, |serving| {
            serving.load = None;
            serving.partitions.clear();
        });
    }

    async fn create_alias(&self, collection: &CollectionName, alias: &str) {
        let collection = self.id(collection);
        let alias = Alias { database: DatabaseId(1), name: alias.to_owned(), collection };
        self.0.change(|world| world.aliases.push(alias));
        self.0.announce(CatalogEvent::Serving(collection));
    }

    async fn drop_alias(&self, alias: &str) {
        self.0.change(|world| world.aliases.retain(|it| it.name != alias));
    }

    async fn create_role(&self, name: &str) {
        self.0.roles.create_role(name);
        self.0.announce(CatalogEvent::Rbac);
    }

    async fn drop_role(&self, name: &str) {
        self.0.roles.drop_role(name);
        self.0.announce(CatalogEvent::Rbac);
    }
}

#[async_trait]
impl Interrupted for Source {
    fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::new(self.0.clone())
    }

    async fn change(&self) -> CatalogEvent {
        let event = CatalogEvent::Collection(CollectionId(7));
        self.0.announce(event);
        event
    }

    async fn leave(&self) {
        self.0.set_catalog_away(true);
    }

    async fn come_back(&self) {
        self.0.set_catalog_away(false);
    }
}

#[async_trait]
impl Damaged for Source {
    fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::new(self.0.clone())
    }

    async fn damage(&self, record: Record) -> String {
        let name = format!("{record:?}");
        self.0.change(|world| match record {
            Record::Index(_) => world.damaged.serving = Some(name.clone()),
            Record::Alias => world.damaged.aliases = Some(name.clone()),
            Record::Grant => world.damaged.roles = Some(name.clone()),
        });
        name
    }
}
