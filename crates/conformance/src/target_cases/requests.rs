//! The requests and calls of the cases, and what is asked again and again. Never checks a sentence.

use crate::cases::{done, soon};
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, CollectionName, DatabaseId};
use milvus_wire::op::OpRequest;
use milvus_wire::proto::common::KeyValuePair;
use milvus_wire::proto::milvus as pb;
use milvus_wire::proto::schema::{CollectionSchema, DataType, FieldSchema};
use milvus_wire::rbac::RbacRequest;
use milvus_wire::replicate::{ReplicateCall, tick};
use milvus_wire::timestamp::Timestamp;
use replication::ports::{Ddl, Target, TargetCollection};
use std::collections::BTreeMap;

pub(super) const DATABASE: &str = "default";

/// Ticks of one call.
pub(super) const TICKS: u64 = 3;

pub(super) const TTL: &str = "collection.ttl.seconds";
pub(super) const MMAP: &str = "mmap.enabled";

/// Applying twice is the same as once.
pub(super) async fn apply(target: &dyn Target, ddl: &Ddl) {
    let at = now(target).await;
    for _ in 0..2 {
        let applied = soon("a request", target.apply(ddl, at)).await;
        assert!(applied.is_ok(), "{} {}: {applied:?}", ddl.name(), ddl.what());
    }
}

/// Makes a collection and ticks all channels; returns its time. A target's data node takes up one
/// channel after the other, each only when its first tick comes: until then no flush succeeds on
/// any of them.
pub(super) async fn make(target: &dyn Target, name: &CollectionName, shards: usize) -> Timestamp {
    let at = now(target).await;
    let request = create(name, shards);
    for _ in 0..2 {
        done(soon("a request", target.apply(&request, at)).await);
    }
    tick_all(target).await;
    at
}

/// Ticks every channel that has a collection.
pub(super) async fn tick_all(target: &dyn Target) {
    let now = now(target).await;
    for pchannel in done(soon("the channels", target.pchannels()).await) {
        done(soon("an answer", target.replicate(&ticks(&pchannel, now))).await);
    }
}

pub(super) async fn now(target: &dyn Target) -> Timestamp {
    done(soon("the clock", target.clock()).await)
}

pub(super) async fn describe(
    target: &dyn Target,
    name: &CollectionName,
) -> Option<TargetCollection> {
    done(soon("a description", target.describe(name)).await)
}

pub(super) async fn described(target: &dyn Target, name: &CollectionName) -> TargetCollection {
    describe(target, name).await.unwrap_or_else(|| panic!("{name} should be there"))
}

pub(super) async fn alias(target: &dyn Target, alias: &str) -> Option<CollectionId> {
    done(soon("an alias", target.alias(DATABASE, alias)).await)
}

/// A call with some ticks.
pub(super) fn ticks(pchannel: &str, at: Timestamp) -> ReplicateCall {
    ReplicateCall {
        pchannel: pchannel.into(),
        begin: at,
        end: Timestamp(at.0 + TICKS - 1),
        messages: times(at).map(tick).collect(),
    }
}

pub(super) fn times(at: Timestamp) -> impl Iterator<Item = Timestamp> {
    (at.0..at.0 + TICKS).map(Timestamp)
}

/// A collection of the default database.
pub(super) fn named(name: &str) -> CollectionName {
    CollectionName::new(DATABASE, name)
}

pub(super) fn create(name: &CollectionName, shards: usize) -> Ddl {
    let channels = || (0..shards).map(|shard| format!("src-rootcoord-dml_{shard}"));
    let collection = Collection {
        id: CollectionId(7),
        database_id: DatabaseId(1),
        database: DATABASE.into(),
        state: State::Created,
        schema: schema("its_name_on_the_source"),
        created: Timestamp::ZERO,
        vchannels: channels().enumerate().map(|(n, name)| format!("{name}_7v{n}")).collect(),
        pchannels: channels().collect(),
        start_positions: BTreeMap::new(),
        consistency_level: 2,
        properties: vec![key_value(TTL, "86400")],
        partition_count: None,
    };
    let collection = Box::new(collection);
    Ddl::CreateCollection { name: name.clone(), collection }
}

pub(super) fn schema(name: &str) -> CollectionSchema {
    let id = FieldSchema {
        field_id: 100,
        name: "id".into(),
        is_primary_key: true,
        data_type: DataType::Int64.into(),
        ..Default::default()
    };
    let vector = FieldSchema {
        field_id: 101,
        name: "vec".into(),
        data_type: DataType::FloatVector.into(),
        type_params: vec![key_value("dim", "8")],
        ..Default::default()
    };
    CollectionSchema {
        name: name.into(),
        fields: vec![id, vector],
        enable_dynamic_field: true,
        ..Default::default()
    }
}

pub(super) fn drop_collection(name: &CollectionName) -> Ddl {
    Ddl::DropCollection(name.clone())
}

pub(super) fn create_partition(collection: &CollectionName, partition: &str) -> Ddl {
    Ddl::CreatePartition { collection: collection.clone(), partition: partition.into() }
}

pub(super) fn drop_partition(collection: &CollectionName, partition: &str) -> Ddl {
    Ddl::DropPartition { collection: collection.clone(), partition: partition.into() }
}

pub(super) fn rename(from: &CollectionName, to: &CollectionName) -> Ddl {
    Ddl::RenameCollection { id: CollectionId(7), from: from.clone(), to: to.clone() }
}

pub(super) fn give_alias(collection: &CollectionName, alias: &str) -> Ddl {
    Ddl::GiveAlias { collection: collection.clone(), alias: alias.into() }
}

pub(super) fn drop_alias(alias: &str) -> Ddl {
    Ddl::DropAlias { database: DATABASE.into(), alias: alias.into() }
}

pub(super) const INDEX: &str = "vec_index";

pub(super) fn create_index(collection: &CollectionName) -> Ddl {
    op(OpRequest::CreateIndex(pb::CreateIndexRequest {
        db_name: collection.database.clone(),
        collection_name: collection.name.clone(),
        field_name: "vec".into(),
        index_name: INDEX.into(),
        extra_params: vec![key_value("index_type", "FLAT"), key_value("metric_type", "L2")],
        ..Default::default()
    }))
}

pub(super) fn drop_database(name: &str) -> Ddl {
    let request = pb::DropDatabaseRequest { db_name: name.into(), ..Default::default() };
    op(OpRequest::DropDatabase(request))
}

pub(super) fn op(request: OpRequest) -> Ddl {
    Ddl::Op(Box::new(request))
}

pub(super) fn access(request: RbacRequest) -> Ddl {
    op(OpRequest::Rbac(request))
}

pub(super) fn key_value(key: &str, value: &str) -> KeyValuePair {
    KeyValuePair { key: key.into(), value: value.into() }
}

pub(super) fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}
