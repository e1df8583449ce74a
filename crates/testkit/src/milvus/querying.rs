//! Reads rows and counts. Never decides what is equal: see [`crate::compare`].

use super::Milvus;
use super::fault::{Fault, Result};
use super::spec::pair;
use milvus_wire::proto::common::ConsistencyLevel;
use milvus_wire::proto::milvus::{GetCollectionStatisticsRequest, QueryRequest};
use milvus_wire::proto::schema::FieldData;
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::scalar_field::Data;
use milvus_wire::timestamp::Timestamp;

/// The most that a limited query of 2.3 returns.
pub const PAGE_ROWS_MAX: usize = 16_384;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// All that was acknowledged before the query. On a target it waits for ticks, and without them
    /// for ever.
    Strong,
    /// At least all up to this timestamp: on a target, of the source's clock.
    AtLeast(Timestamp),
    /// Whatever is there now; never waits.
    Now,
}

/// A query for rows.
#[derive(Clone, Debug)]
pub struct Query {
    /// The collection.
    pub collection: String,
    /// Which rows.
    pub expression: String,
    /// Which fields; `*` for all.
    pub fields: Vec<String>,
    /// In which partitions; none means all.
    pub partitions: Vec<String>,
    /// How fresh.
    pub reading: Reading,
    /// At most so many rows, those with the lowest keys; none means all.
    pub limit: Option<usize>,
}

impl Query {
    /// All fields of what an expression selects, strong.
    pub fn of(collection: &str, expression: &str) -> Self {
        Self {
            collection: collection.to_owned(),
            expression: expression.to_owned(),
            fields: vec!["*".to_owned()],
            partitions: vec![],
            reading: Reading::Strong,
            limit: None,
        }
    }
}

impl Milvus {
    /// One column per field; no column or empty ones if there is no row.
    ///
    /// # Errors
    /// As every call.
    pub async fn query(&self, query: &Query) -> Result<Vec<FieldData>> {
        let (level, guarantee) = match query.reading {
            Reading::Strong => (ConsistencyLevel::Strong, Timestamp::ZERO),
            Reading::AtLeast(timestamp) => (ConsistencyLevel::Customized, timestamp),
            Reading::Now => (ConsistencyLevel::Eventually, Timestamp::ZERO),
        };
        let limit = query.limit.map(|rows| pair("limit", &rows.to_string()));
        let question = QueryRequest {
            collection_name: query.collection.clone(),
            expr: query.expression.clone(),
            output_fields: query.fields.clone(),
            partition_names: query.partitions.clone(),
            guarantee_timestamp: guarantee.0,
            consistency_level: level as i32,
            query_params: limit.into_iter().collect(),
            ..Default::default()
        };
        let answer = self
            .call("Query", question, |mut stub, request| async move { stub.query(request).await });
        Ok(answer.await?.fields_data)
    }

    /// How many rows there are, doubled keys counted as often as they occur (`count(*)`).
    ///
    /// # Errors
    /// As every call.
    pub async fn count(
        &self,
        collection: &str,
        expression: &str,
        partitions: &[String],
        reading: Reading,
    ) -> Result<u64> {
        let query = Query {
            fields: vec!["count(*)".to_owned()],
            partitions: partitions.to_vec(),
            reading,
            ..Query::of(collection, expression)
        };
        let columns = self.query(&query).await?;
        let count = columns.first().and_then(|column| match column.field.as_ref()? {
            Field::Scalars(scalars) => match scalars.data.as_ref()? {
                Data::LongData(counts) => counts.data.first().copied(),
                _ => None,
            },
            _ => None,
        });
        count
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| Fault::Odd(format!("count(*) of {collection} has no number")))
    }

    /// How many rows were ever stored (`num_entities`): what is flushed, deleted rows included.
    ///
    /// # Errors
    /// As every call.
    pub async fn stored_rows(&self, collection: &str) -> Result<u64> {
        let question = GetCollectionStatisticsRequest {
            collection_name: collection.to_owned(),
            ..Default::default()
        };
        let answer = self
            .call("GetCollectionStatistics", question, |mut stub, request| async move {
                stub.get_collection_statistics(request).await
            })
            .await?;
        let count = answer.stats.iter().find(|pair| pair.key == "row_count");
        count
            .and_then(|pair| pair.value.parse().ok())
            .ok_or_else(|| Fault::Odd(format!("the statistics of {collection} have no row_count")))
    }
}
