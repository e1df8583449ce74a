//! Milvus's internal etcd records, the few fields of them that are needed. They are not in the
//! public `.proto` files. Source: Milvus 2.3 `etcd_meta.proto`; later versions only add fields.
//! Never used outside the catalog: nothing here is checked.

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
