//! Milvus's internal records in etcd, with the few fields that are needed. They are not in the
//! public `.proto` files. Source: Milvus 2.3 `etcd_meta.proto`, `index_coord.proto`,
//! `query_coord.proto`; later versions only add fields. Never used outside of `catalog` and
//! `serving`: nothing here is checked.

use crate::proto::common::{KeyDataPair, KeyValuePair};
use crate::proto::schema::CollectionSchema;

/// `etcdpb.DatabaseInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DatabaseInfo {
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(int64, tag = "3")]
    pub(crate) id: i64,
    #[prost(uint64, tag = "5")]
    pub(crate) created_time: u64,
}

/// `etcdpb.CollectionInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CollectionInfo {
    #[prost(int64, tag = "1")]
    pub(crate) id: i64,
    #[prost(message, optional, tag = "2")]
    pub(crate) schema: Option<CollectionSchema>,
    #[prost(uint64, tag = "3")]
    pub(crate) create_time: u64,
    #[prost(string, repeated, tag = "7")]
    pub(crate) virtual_channel_names: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    pub(crate) physical_channel_names: Vec<String>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) start_positions: Vec<KeyDataPair>,
    #[prost(int32, tag = "12")]
    pub(crate) consistency_level: i32,
    #[prost(int32, tag = "13")]
    pub(crate) state: i32,
    #[prost(message, repeated, tag = "14")]
    pub(crate) properties: Vec<KeyValuePair>,
}

/// `etcdpb.PartitionInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PartitionInfo {
    #[prost(int64, tag = "1")]
    pub(crate) partition_id: i64,
    #[prost(string, tag = "2")]
    pub(crate) partition_name: String,
    #[prost(uint64, tag = "3")]
    pub(crate) partition_created_timestamp: u64,
    #[prost(int64, tag = "4")]
    pub(crate) collection_id: i64,
    #[prost(int32, tag = "5")]
    pub(crate) state: i32,
}

/// `indexpb.FieldIndex`: written under `field-index` by the data coordinator.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FieldIndex {
    #[prost(message, optional, tag = "1")]
    pub(crate) index_info: Option<IndexInfo>,
    /// Whether it is dropped. The record is removed once its files are.
    #[prost(bool, tag = "2")]
    pub(crate) deleted: bool,
}

/// `indexpb.IndexInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct IndexInfo {
    #[prost(int64, tag = "1")]
    pub(crate) collection_id: i64,
    #[prost(int64, tag = "2")]
    pub(crate) field_id: i64,
    #[prost(string, tag = "3")]
    pub(crate) index_name: String,
    #[prost(int64, tag = "4")]
    pub(crate) index_id: i64,
    /// The parameters after the proxy has completed them.
    #[prost(message, repeated, tag = "6")]
    pub(crate) index_params: Vec<KeyValuePair>,
    /// The parameters as the user gave them.
    #[prost(message, repeated, tag = "12")]
    pub(crate) user_index_params: Vec<KeyValuePair>,
}

/// `querypb.CollectionLoadInfo`: written by the query coordinator when a load is accepted.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CollectionLoadInfo {
    #[prost(int64, tag = "1")]
    pub(crate) collection_id: i64,
    #[prost(int32, tag = "3")]
    pub(crate) replica_number: i32,
    #[prost(int32, tag = "6")]
    pub(crate) load_type: i32,
}

/// `querypb.PartitionLoadInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PartitionLoadInfo {
    #[prost(int64, tag = "1")]
    pub(crate) collection_id: i64,
    #[prost(int64, tag = "2")]
    pub(crate) partition_id: i64,
}

/// `etcdpb.AliasInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AliasInfo {
    #[prost(string, tag = "1")]
    pub(crate) alias_name: String,
    #[prost(int64, tag = "2")]
    pub(crate) collection_id: i64,
}
