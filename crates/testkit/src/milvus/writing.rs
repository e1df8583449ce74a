//! Inserts, upserts, deletes and flushes. Never makes up rows: see [`crate::rows`].

use super::Milvus;
use super::fault::{Fault, Result};
use super::key::Key;
use crate::wait;
use milvus_wire::proto::milvus::{
    DeleteRequest, FlushRequest, GetFlushStateRequest, InsertRequest, MutationResult,
    ReplicateMessageRequest, UpsertRequest,
};
use milvus_wire::proto::schema::FieldData;

/// Rows to be written.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The collection.
    pub collection: String,
    /// The partition; empty for the default one, or where a partition key decides.
    pub partition: String,
    /// One per field, all of `rows` values.
    pub columns: Vec<FieldData>,
    /// How many rows.
    pub rows: u32,
}

impl Milvus {
    /// Inserts rows; the answer contains their keys and the timestamp.
    ///
    /// # Errors
    /// As every call.
    pub async fn insert(&self, batch: Batch) -> Result<MutationResult> {
        let question = InsertRequest {
            collection_name: batch.collection,
            partition_name: batch.partition,
            fields_data: batch.columns,
            num_rows: batch.rows,
            ..Default::default()
        };
        self.call("Insert", question, |mut stub, request| async move { stub.insert(request).await })
            .await
    }

    /// Replaces rows by key, or inserts them.
    ///
    /// # Errors
    /// As every call; 2.3 refuses it where it makes up the keys.
    pub async fn upsert(&self, batch: Batch) -> Result<MutationResult> {
        let question = UpsertRequest {
            collection_name: batch.collection,
            partition_name: batch.partition,
            fields_data: batch.columns,
            num_rows: batch.rows,
            ..Default::default()
        };
        self.call("Upsert", question, |mut stub, request| async move { stub.upsert(request).await })
            .await
    }

    /// Deletes what an expression selects; an empty partition means all of them.
    ///
    /// # Errors
    /// As every call.
    pub async fn delete(
        &self,
        collection: &str,
        partition: &str,
        expression: &str,
    ) -> Result<MutationResult> {
        let question = DeleteRequest {
            collection_name: collection.to_owned(),
            partition_name: partition.to_owned(),
            expr: expression.to_owned(),
            ..Default::default()
        };
        self.call("Delete", question, |mut stub, request| async move { stub.delete(request).await })
            .await
    }

    /// Deletes by key, in all partitions. `field` is the name of the key.
    ///
    /// # Errors
    /// As every call.
    pub async fn delete_keys(
        &self,
        collection: &str,
        field: &str,
        keys: &[Key],
    ) -> Result<MutationResult> {
        self.delete(collection, "", &Key::any_of(field, keys)).await
    }

    /// Appends to the log of a target's physical channel, as the product does.
    ///
    /// # Errors
    /// As every call; if the server is not a target.
    pub async fn replicate(&self, question: ReplicateMessageRequest) -> Result<()> {
        self.call("ReplicateMessage", question, |mut stub, request| async move {
            stub.replicate_message(request).await
        })
        .await
        .map(drop)
    }

    /// Flushes a collection and waits until its segments are stored.
    ///
    /// # Errors
    /// As every call; if it takes longer than one may.
    pub async fn flush(&self, collection: &str) -> Result<()> {
        let question =
            FlushRequest { collection_names: vec![collection.to_owned()], ..Default::default() };
        let answer = self
            .call("Flush", question, |mut stub, request| async move { stub.flush(request).await })
            .await?;
        let segments = answer.coll_seg_i_ds.get(collection).map_or(vec![], |ids| ids.data.clone());
        let state = GetFlushStateRequest {
            segment_i_ds: segments,
            flush_ts: answer.coll_flush_ts.get(collection).copied().unwrap_or(0),
            collection_name: collection.to_owned(),
            ..Default::default()
        };
        wait::until(format!("the flush of {collection}"), self.within, || async {
            let state = self
                .call("GetFlushState", state.clone(), |mut stub, request| async move {
                    stub.get_flush_state(request).await
                })
                .await?;
            Ok(state.flushed.then_some(()))
        })
        .await
        .map_err(|error| Fault::Odd(error.to_string()))
    }
}
