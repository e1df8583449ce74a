//! Indexes, and loading collections so that they can be read. Never touches rows.

use super::fault::{Fault, Result};
use super::spec::pair;
use super::{CollectionSpec, FieldKind, Milvus};
use crate::wait;
use milvus_wire::proto::common::LoadState;
use milvus_wire::proto::milvus::{
    CreateIndexRequest, DescribeIndexRequest, DropIndexRequest, GetLoadStateRequest,
    IndexDescription, LoadCollectionRequest, LoadPartitionsRequest, ReleaseCollectionRequest,
    ReleasePartitionsRequest,
};

/// Milvus's answer when a collection has no index at all, which is not a fault here. Source:
/// `merr`.
const INDEX_NOT_FOUND: i32 = 700;

/// The same in the older enumeration.
const INDEX_NOT_FOUND_OLD: i32 = 25;

impl Milvus {
    /// Creates a named index with parameters such as `index_type`, `metric_type`, `params`.
    ///
    /// # Errors
    /// As every call.
    pub async fn create_index(
        &self,
        collection: &str,
        field: &str,
        name: &str,
        parameters: &[(&str, &str)],
    ) -> Result<()> {
        let question = CreateIndexRequest {
            collection_name: collection.to_owned(),
            field_name: field.to_owned(),
            index_name: name.to_owned(),
            extra_params: parameters.iter().map(|(key, value)| pair(key, value)).collect(),
            ..Default::default()
        };
        self.call("CreateIndex", question, |mut stub, request| async move {
            stub.create_index(request).await
        })
        .await
        .map(drop)
    }

    /// Drops an index; the collection must not be loaded.
    ///
    /// # Errors
    /// As every call.
    pub async fn drop_index(&self, collection: &str, field: &str, name: &str) -> Result<()> {
        let question = DropIndexRequest {
            collection_name: collection.to_owned(),
            field_name: field.to_owned(),
            index_name: name.to_owned(),
            ..Default::default()
        };
        self.call("DropIndex", question, |mut stub, request| async move {
            stub.drop_index(request).await
        })
        .await
        .map(drop)
    }

    /// The indexes of a collection, none if it has none.
    ///
    /// # Errors
    /// As every call.
    pub async fn indexes(&self, collection: &str) -> Result<Vec<IndexDescription>> {
        let question =
            DescribeIndexRequest { collection_name: collection.to_owned(), ..Default::default() };
        let answer = self.call("DescribeIndex", question, |mut stub, request| async move {
            stub.describe_index(request).await
        });
        match answer.await {
            Ok(answer) => Ok(answer.index_descriptions),
            Err(Fault::Refused { code: INDEX_NOT_FOUND | INDEX_NOT_FOUND_OLD, .. }) => Ok(vec![]),
            Err(fault) => Err(fault),
        }
    }

    /// Loads a collection and waits until it is.
    ///
    /// # Errors
    /// As every call; if it takes longer than one may.
    pub async fn load(&self, collection: &str) -> Result<()> {
        let question = LoadCollectionRequest {
            collection_name: collection.to_owned(),
            replica_number: 1,
            ..Default::default()
        };
        let asked: Result<_> = self
            .call("LoadCollection", question, |mut stub, request| async move {
                stub.load_collection(request).await
            })
            .await;
        asked?;
        self.wait_loaded(collection, &[]).await
    }

    /// Loads partitions and waits until they are.
    ///
    /// # Errors
    /// As every call; if it takes longer than one may.
    pub async fn load_partitions(&self, collection: &str, partitions: &[&str]) -> Result<()> {
        let question = LoadPartitionsRequest {
            collection_name: collection.to_owned(),
            partition_names: partitions.iter().map(|&name| name.to_owned()).collect(),
            replica_number: 1,
            ..Default::default()
        };
        let asked: Result<_> = self
            .call("LoadPartitions", question, |mut stub, request| async move {
                stub.load_partitions(request).await
            })
            .await;
        asked?;
        self.wait_loaded(collection, partitions).await
    }

    async fn wait_loaded(&self, collection: &str, partitions: &[&str]) -> Result<()> {
        wait::until(format!("{collection} to be loaded"), self.within, || async {
            let state = self.load_state(collection, partitions).await?;
            Ok((state == LoadState::Loaded).then_some(()))
        })
        .await
        .map_err(|error| Fault::Odd(error.to_string()))
    }

    /// Releases a collection.
    ///
    /// # Errors
    /// As every call.
    pub async fn release(&self, collection: &str) -> Result<()> {
        let question = ReleaseCollectionRequest {
            collection_name: collection.to_owned(),
            ..Default::default()
        };
        self.call("ReleaseCollection", question, |mut stub, request| async move {
            stub.release_collection(request).await
        })
        .await
        .map(drop)
    }

    /// Releases partitions.
    ///
    /// # Errors
    /// As every call.
    pub async fn release_partitions(&self, collection: &str, partitions: &[&str]) -> Result<()> {
        let question = ReleasePartitionsRequest {
            collection_name: collection.to_owned(),
            partition_names: partitions.iter().map(|&name| name.to_owned()).collect(),
            ..Default::default()
        };
        self.call("ReleasePartitions", question, |mut stub, request| async move {
            stub.release_partitions(request).await
        })
        .await
        .map(drop)
    }

    /// Whether a collection, or these partitions of it, can be read.
    ///
    /// # Errors
    /// As every call.
    pub async fn load_state(&self, collection: &str, partitions: &[&str]) -> Result<LoadState> {
        let question = GetLoadStateRequest {
            collection_name: collection.to_owned(),
            partition_names: partitions.iter().map(|&name| name.to_owned()).collect(),
            ..Default::default()
        };
        let answer = self.call("GetLoadState", question, |mut stub, request| async move {
            stub.get_load_state(request).await
        });
        Ok(answer.await?.state())
    }

    /// Creates a collection, indexes its vector in the cheapest way and loads it: ready for rows
    /// and questions.
    ///
    /// # Errors
    /// As every call.
    pub async fn create_ready(&self, spec: &CollectionSpec) -> Result<()> {
        self.create_collection(spec).await?;
        self.make_ready(spec).await
    }

    /// Indexes and loads a collection that is there.
    ///
    /// # Errors
    /// As every call.
    pub async fn make_ready(&self, spec: &CollectionSpec) -> Result<()> {
        let vector = spec.vector_field()?;
        let field = spec.schema.fields.iter().find(|field| field.name == vector);
        let binary = field
            .map(FieldKind::of)
            .transpose()?
            .is_some_and(|kind| matches!(kind, FieldKind::BinaryVector(_)));
        let (kind, metric) = if binary { ("BIN_FLAT", "HAMMING") } else { ("FLAT", "L2") };
        let parameters = [("index_type", kind), ("metric_type", metric), ("params", "{}")];
        self.create_index(spec.name(), vector, "by_vector", &parameters).await?;
        self.load(spec.name()).await
    }
}
