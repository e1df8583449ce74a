//! Databases, collections and partitions: create, drop, list, describe. Never touches rows.

use super::fault::Result;
use super::spec::pair;
use super::{CollectionSpec, Milvus};
use milvus_wire::proto::milvus::{
    AllocTimestampRequest, CreateCollectionRequest, CreateDatabaseRequest, CreatePartitionRequest,
    DescribeCollectionRequest, DescribeCollectionResponse, DropCollectionRequest,
    DropDatabaseRequest, DropPartitionRequest, ListDatabasesRequest, ShowCollectionsRequest,
    ShowPartitionsRequest,
};
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use std::collections::BTreeMap;

impl Milvus {
    /// Creates a database.
    ///
    /// # Errors
    /// If Milvus refuses or does not answer; so it is with every call.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        let question = CreateDatabaseRequest { db_name: name.to_owned(), ..Default::default() };
        self.call("CreateDatabase", question, |mut stub, request| async move {
            stub.create_database(request).await
        })
        .await
        .map(drop)
    }

    /// Drops an empty database.
    ///
    /// # Errors
    /// As every call.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        let question = DropDatabaseRequest { db_name: name.to_owned(), ..Default::default() };
        self.call("DropDatabase", question, |mut stub, request| async move {
            stub.drop_database(request).await
        })
        .await
        .map(drop)
    }

    /// The names of the databases.
    ///
    /// # Errors
    /// As every call.
    pub async fn databases(&self) -> Result<Vec<String>> {
        let question = ListDatabasesRequest::default();
        let answer = self.call("ListDatabases", question, |mut stub, request| async move {
            stub.list_databases(request).await
        });
        Ok(answer.await?.db_names)
    }

    /// Creates a collection.
    ///
    /// # Errors
    /// As every call.
    pub async fn create_collection(&self, spec: &CollectionSpec) -> Result<()> {
        let question = CreateCollectionRequest {
            collection_name: spec.name().to_owned(),
            schema: spec.schema.encode_to_vec(),
            shards_num: spec.shards,
            consistency_level: spec.consistency as i32,
            properties: spec.properties.iter().map(|(key, value)| pair(key, value)).collect(),
            num_partitions: spec.key_partitions,
            ..Default::default()
        };
        self.call("CreateCollection", question, |mut stub, request| async move {
            stub.create_collection(request).await
        })
        .await
        .map(drop)
    }

    /// Drops a collection.
    ///
    /// # Errors
    /// As every call.
    pub async fn drop_collection(&self, name: &str) -> Result<()> {
        let question =
            DropCollectionRequest { collection_name: name.to_owned(), ..Default::default() };
        self.call("DropCollection", question, |mut stub, request| async move {
            stub.drop_collection(request).await
        })
        .await
        .map(drop)
    }

    /// The names of the collections of this database.
    ///
    /// # Errors
    /// As every call.
    pub async fn collections(&self) -> Result<Vec<String>> {
        let question = ShowCollectionsRequest::default();
        let answer = self.call("ShowCollections", question, |mut stub, request| async move {
            stub.show_collections(request).await
        });
        Ok(answer.await?.collection_names)
    }

    /// All about a collection.
    ///
    /// # Errors
    /// As every call; if there is no such collection.
    pub async fn describe(&self, name: &str) -> Result<DescribeCollectionResponse> {
        let question =
            DescribeCollectionRequest { collection_name: name.to_owned(), ..Default::default() };
        self.call("DescribeCollection", question, |mut stub, request| async move {
            stub.describe_collection(request).await
        })
        .await
    }

    /// Creates a partition.
    ///
    /// # Errors
    /// As every call.
    pub async fn create_partition(&self, collection: &str, partition: &str) -> Result<()> {
        let question = CreatePartitionRequest {
            collection_name: collection.to_owned(),
            partition_name: partition.to_owned(),
            ..Default::default()
        };
        self.call("CreatePartition", question, |mut stub, request| async move {
            stub.create_partition(request).await
        })
        .await
        .map(drop)
    }

    /// Drops a partition, which must not be loaded.
    ///
    /// # Errors
    /// As every call.
    pub async fn drop_partition(&self, collection: &str, partition: &str) -> Result<()> {
        let question = DropPartitionRequest {
            collection_name: collection.to_owned(),
            partition_name: partition.to_owned(),
            ..Default::default()
        };
        self.call("DropPartition", question, |mut stub, request| async move {
            stub.drop_partition(request).await
        })
        .await
        .map(drop)
    }

    /// The partitions of a collection, by name, with their ids.
    ///
    /// # Errors
    /// As every call.
    pub async fn partitions(&self, collection: &str) -> Result<BTreeMap<String, i64>> {
        let question =
            ShowPartitionsRequest { collection_name: collection.to_owned(), ..Default::default() };
        let answer = self.call("ShowPartitions", question, |mut stub, request| async move {
            stub.show_partitions(request).await
        });
        let answer = answer.await?;
        Ok(answer.partition_names.into_iter().zip(answer.partition_i_ds).collect())
    }

    /// The server's own clock: whatever it has acknowledged so far has a lower timestamp.
    ///
    /// # Errors
    /// As every call.
    pub async fn clock(&self) -> Result<Timestamp> {
        let question = AllocTimestampRequest::default();
        let answer = self.call("AllocTimestamp", question, |mut stub, request| async move {
            stub.alloc_timestamp(request).await
        });
        Ok(Timestamp(answer.await?.timestamp))
    }
}
