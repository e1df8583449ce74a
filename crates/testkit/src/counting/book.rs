//! The metadata of a target without rows: databases, collections, partitions, with made-up ids and
//! channels. Never forgets any of it, except by a drop.

use milvus_wire::ids::DEFAULT_DATABASE;
use milvus_wire::proto::common::{ErrorCode, KeyValuePair, Status};
use milvus_wire::proto::milvus::{
    CreateCollectionRequest, DescribeCollectionResponse, ShowCollectionsResponse,
    ShowPartitionsResponse,
};
use milvus_wire::proto::schema::{CollectionSchema, DataType, FieldSchema};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// User fields have the ids from here on. Source: `common.StartOfUserFieldID`.
const FIRST_FIELD_ID: i64 = 100;

/// Milvus's code of an unknown collection. Source: `merr.ErrCollectionNotFound`.
const COLLECTION_NOT_FOUND: i32 = 100;

/// What exists.
#[derive(Debug)]
pub(super) struct Book {
    prefix: String,
    pchannels: usize,
    content: Mutex<Content>,
}

#[derive(Debug)]
struct Content {
    databases: BTreeSet<String>,
    collections: BTreeMap<(String, String), Collection>,
    last_id: i64,
    next_channel: usize,
}

#[derive(Debug)]
struct Collection {
    id: i64,
    created: u64,
    schema: CollectionSchema,
    consistency: i32,
    properties: Vec<KeyValuePair>,
    vchannels: Vec<String>,
    pchannels: Vec<String>,
    partitions: BTreeMap<String, i64>,
}

impl Book {
    pub(super) fn new(prefix: &str, pchannels: usize) -> Self {
        let content = Content {
            databases: [DEFAULT_DATABASE.to_owned()].into(),
            collections: BTreeMap::new(),
            last_id: 1_000_000,
            next_channel: 0,
        };
        Self { prefix: prefix.to_owned(), pchannels: pchannels.max(1), content: content.into() }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn databases(&self) -> Vec<String> {
        self.content().databases.iter().cloned().collect()
    }

    pub(super) fn create_database(&self, name: String) {
        self.content().databases.insert(name);
    }

    pub(super) fn drop_database(&self, name: &str) {
        self.content().databases.remove(name);
    }

    /// One that exists already stays as it is, as with Milvus.
    pub(super) fn create_collection(&self, database: String, request: &CreateCollectionRequest) {
        let mut content = self.content();
        let place = (database, request.collection_name.clone());
        if content.collections.contains_key(&place) {
            return;
        }
        let id = content.next_id();
        let mut schema = CollectionSchema::decode(request.schema.as_slice()).unwrap_or_default();
        for (at, field) in schema.fields.iter_mut().enumerate() {
            field.field_id = FIRST_FIELD_ID + at as i64;
        }
        if schema.enable_dynamic_field {
            schema.fields.push(meta_field(schema.fields.len()));
        }
        let shards = usize::try_from(request.shards_num).unwrap_or(0).max(1);
        let pchannels: Vec<String> = (0..shards)
            .map(|_| {
                content.next_channel = (content.next_channel + 1) % self.pchannels;
                format!("{}-rootcoord-dml_{}", self.prefix, content.next_channel)
            })
            .collect();
        let vchannel = |(shard, pchannel)| format!("{pchannel}_{id}v{shard}");
        let vchannels = pchannels.iter().enumerate().map(vchannel).collect();
        let told = request.base.as_ref().and_then(|base| base.replicate_info.as_ref());
        let keyed = schema.fields.iter().any(|field| field.is_partition_key);
        let names: Vec<String> = if keyed {
            // Milvus's default number of partitions for a key.
            let count = if request.num_partitions > 0 { request.num_partitions } else { 64 };
            (0..count).map(|at| format!("_default_{at}")).collect()
        } else {
            vec!["_default".to_owned()]
        };
        let partitions = names.into_iter().map(|name| (name, content.next_id())).collect();
        let collection = Collection {
            id,
            created: told.map_or(0, |info| info.msg_timestamp),
            schema,
            consistency: request.consistency_level,
            properties: request.properties.clone(),
            vchannels,
            pchannels,
            partitions,
        };
        content.collections.insert(place, collection);
    }

    pub(super) fn drop_collection(&self, database: String, name: String) {
        self.content().collections.remove(&(database, name));
    }

    pub(super) fn create_partition(&self, database: String, name: String, partition: String) {
        let mut content = self.content();
        let id = content.next_id();
        if let Some(collection) = content.collections.get_mut(&(database, name)) {
            collection.partitions.entry(partition).or_insert(id);
        }
    }

    pub(super) fn drop_partition(&self, database: String, name: String, partition: &str) {
        if let Some(collection) = self.content().collections.get_mut(&(database, name)) {
            collection.partitions.remove(partition);
        }
    }

    pub(super) fn has_collection(&self, database: String, name: String) -> bool {
        self.content().collections.contains_key(&(database, name))
    }

    pub(super) fn describe(&self, database: String, name: String) -> DescribeCollectionResponse {
        let content = self.content();
        let place = (database, name);
        let Some(collection) = content.collections.get(&place) else {
            return DescribeCollectionResponse {
                status: not_found(&place.1),
                ..Default::default()
            };
        };
        DescribeCollectionResponse {
            status: Some(Status::default()),
            schema: Some(collection.schema.clone()),
            collection_id: collection.id,
            virtual_channel_names: collection.vchannels.clone(),
            physical_channel_names: collection.pchannels.clone(),
            created_timestamp: collection.created,
            created_utc_timestamp: collection.created >> 18,
            shards_num: collection.vchannels.len() as i32,
            consistency_level: collection.consistency,
            collection_name: place.1,
            properties: collection.properties.clone(),
            db_name: place.0,
            num_partitions: collection.partitions.len() as i64,
            ..Default::default()
        }
    }

    pub(super) fn collections(&self, database: &str) -> ShowCollectionsResponse {
        let content = self.content();
        let here = content.collections.iter().filter(|((place, _), _)| place == database);
        let mut answer =
            ShowCollectionsResponse { status: Some(Status::default()), ..Default::default() };
        for ((_, name), collection) in here {
            answer.collection_names.push(name.clone());
            answer.collection_ids.push(collection.id);
            answer.created_timestamps.push(collection.created);
            answer.created_utc_timestamps.push(collection.created >> 18);
        }
        answer
    }

    pub(super) fn partitions(&self, database: String, name: String) -> ShowPartitionsResponse {
        let content = self.content();
        let place = (database, name);
        let Some(collection) = content.collections.get(&place) else {
            return ShowPartitionsResponse { status: not_found(&place.1), ..Default::default() };
        };
        ShowPartitionsResponse {
            status: Some(Status::default()),
            partition_names: collection.partitions.keys().cloned().collect(),
            partition_i_ds: collection.partitions.values().copied().collect(),
            created_timestamps: vec![collection.created; collection.partitions.len()],
            created_utc_timestamps: vec![collection.created >> 18; collection.partitions.len()],
            ..Default::default()
        }
    }

    /// Whether rows of this collection belong on this shard.
    pub(super) fn knows(&self, id: i64, vchannel: &str) -> bool {
        let content = self.content();
        content.collections.values().any(|collection| {
            collection.id == id && collection.vchannels.iter().any(|name| name == vchannel)
        })
    }
}

impl Content {
    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }
}

fn meta_field(place: usize) -> FieldSchema {
    FieldSchema {
        field_id: FIRST_FIELD_ID + place as i64,
        name: crate::rows::META_FIELD.to_owned(),
        data_type: DataType::Json as i32,
        is_dynamic: true,
        ..Default::default()
    }
}

fn not_found(name: &str) -> Option<Status> {
    Some(Status {
        error_code: ErrorCode::CollectionNotExists as i32,
        code: COLLECTION_NOT_FOUND,
        reason: format!("can't find collection {name}: collection not found"),
        ..Default::default()
    })
}
