//! The etcd catalog against the suite of catalogs. Never changes the records of a running Milvus:
//! what is damaged or changed by hand is in an etcd without one.

use crate::support::{User, done, own_etcd, pair, shared_pair};
use ::conformance::catalog::{self, CatalogUnderTest, Damaged, Interrupted, Record};
use async_trait::async_trait;
use connectors::etcd::{Etcd, EtcdOptions};
use lab::Server as _;
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::proto::milvus as pb;
use replication::ports::{Catalog, CatalogEvent};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

#[tokio::test(flavor = "multi_thread")]
async fn the_etcd_of_a_milvus_is_a_catalog() {
    let pair = shared_pair();
    let root_path = pair.source.options.name.clone();
    let endpoints = vec![pair.source_etcd.endpoint()];
    let options = EtcdOptions { endpoints, root_path, ..EtcdOptions::default() };
    catalog::suite(&Source(Arc::new(Etcd::new(options).unwrap()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_was_away_is_watched_again() {
    let (server, _run) = own_etcd(lab::EtcdOptions::default());
    catalog::absence(&Bare::new(server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_can_t_be_read_is_named() {
    let (server, _run) = own_etcd(lab::EtcdOptions::default());
    let bare = Bare::new(server);
    assert!(bare.0.roles().await.unwrap().is_empty());
    catalog::damage(&bare).await;
}

/// What the tests share, and who uses it.
struct Source(Arc<Etcd>);

impl Source {
    async fn user(&self) -> User {
        User::of(&shared_pair().source).await
    }
}

#[async_trait]
impl CatalogUnderTest for Source {
    fn catalog(&self) -> Arc<dyn Catalog> {
        self.0.clone()
    }

    async fn create_database(&self, name: &str) {
        self.user().await.create_database(name).await;
    }

    async fn create_collection(&self, name: &CollectionName, shards: usize) {
        self.user().await.create(&name.database, &name.name, shards as i32).await;
    }

    async fn drop_collection(&self, name: &CollectionName) {
        self.user().await.drop(&name.database, &name.name).await;
    }

    async fn create_partition(&self, collection: &CollectionName, name: &str) {
        self.user().await.create_partition(&collection.name, name).await;
    }

    async fn drop_partition(&self, collection: &CollectionName, name: &str) {
        let request = pb::DropPartitionRequest {
            collection_name: collection.name.clone(),
            partition_name: name.to_owned(),
            ..Default::default()
        };
        done(self.user().await.0.drop_partition(request).await.unwrap().into_inner());
    }

    async fn create_index(&self, collection: &CollectionName, name: &str) {
        let request = pb::CreateIndexRequest {
            collection_name: collection.name.clone(),
            field_name: "vec".into(),
            index_name: name.to_owned(),
            extra_params: vec![pair("index_type", "FLAT"), pair("metric_type", "L2")],
            ..Default::default()
        };
        done(self.user().await.0.create_index(request).await.unwrap().into_inner());
    }

    async fn drop_index(&self, collection: &CollectionName, name: &str) {
        let request = pb::DropIndexRequest {
            collection_name: collection.name.clone(),
            index_name: name.to_owned(),
            ..Default::default()
        };
        done(self.user().await.0.drop_index(request).await.unwrap().into_inner());
    }

    async fn load(&self, collection: &CollectionName) {
        let request = pb::LoadCollectionRequest {
            collection_name: collection.name.clone(),
            replica_number: 1,
            ..Default::default()
        };
        done(self.user().await.0.load_collection(request).await.unwrap().into_inner());
    }

    async fn release(&self, collection: &CollectionName) {
        let request = pb::ReleaseCollectionRequest {
            collection_name: collection.name.clone(),
            ..Default::default()
        };
        done(self.user().await.0.release_collection(request).await.unwrap().into_inner());
    }

    async fn create_alias(&self, collection: &CollectionName, alias: &str) {
        let request = pb::CreateAliasRequest {
            collection_name: collection.name.clone(),
            alias: alias.to_owned(),
            ..Default::default()
        };
        done(self.user().await.0.create_alias(request).await.unwrap().into_inner());
    }

    async fn drop_alias(&self, alias: &str) {
        let request = pb::DropAliasRequest { alias: alias.to_owned(), ..Default::default() };
        done(self.user().await.0.drop_alias(request).await.unwrap().into_inner());
    }

    async fn create_role(&self, name: &str) {
        let entity = Some(pb::RoleEntity { name: name.to_owned(), ..Default::default() });
        let request = pb::CreateRoleRequest { entity, ..Default::default() };
        done(self.user().await.0.create_role(request).await.unwrap().into_inner());
    }

    async fn drop_role(&self, name: &str) {
        let request = pb::DropRoleRequest { role_name: name.to_owned(), ..Default::default() };
        done(self.user().await.0.drop_role(request).await.unwrap().into_inner());
    }
}

/// An etcd without a Milvus.
struct Bare(Arc<Etcd>, Mutex<lab::Etcd>, AtomicI64);

impl Bare {
    fn new(server: lab::Etcd) -> Self {
        let options = EtcdOptions { endpoints: vec![server.endpoint()], ..EtcdOptions::default() };
        Self(Arc::new(Etcd::new(options).unwrap()), Mutex::new(server), AtomicI64::new(7))
    }

    fn put(&self, key: &str, value: &str) {
        self.1.lock().unwrap().client().run(&["put", key, value]).unwrap();
    }
}

#[async_trait]
impl Interrupted for Bare {
    fn catalog(&self) -> Arc<dyn Catalog> {
        self.0.clone()
    }

    /// Something like a collection's record: a watch does not look into it.
    async fn change(&self) -> CatalogEvent {
        let id = self.2.fetch_add(1, Ordering::Relaxed);
        self.put(&format!("by-dev/meta/root-coord/database/collection-info/1/{id}"), "x");
        CatalogEvent::Collection(CollectionId(id))
    }

    async fn leave(&self) {
        self.1.lock().unwrap().kill().unwrap();
    }

    async fn come_back(&self) {
        self.1.lock().unwrap().bring_back().unwrap();
    }
}

#[async_trait]
impl Damaged for Bare {
    fn catalog(&self) -> Arc<dyn Catalog> {
        self.0.clone()
    }

    async fn damage(&self, record: Record) -> String {
        let key = match record {
            Record::Index(id) => format!("by-dev/meta/field-index/{id}/1"),
            Record::Alias => "by-dev/meta/root-coord/database/aliases/1/x".to_owned(),
            Record::Grant => {
                "by-dev/meta/root-coord/credential/grantee-privileges/reader/Collection".to_owned()
            }
        };
        self.put(&key, "x");
        key
    }
}
