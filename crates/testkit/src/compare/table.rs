//! All rows of a collection as keys and digests, partition by partition, with the counts that
//! Milvus itself gives. Never keeps rows for longer than a page.

use crate::milvus::{Key, Milvus, PAGE_ROWS_MAX, Query, Reading};
use crate::rows::{Columns, Digest};
use anyhow::{Context, Result, ensure};
use milvus_wire::proto::milvus::DescribeCollectionResponse;
use milvus_wire::proto::schema::{DataType, FieldSchema};
use std::collections::BTreeMap;

/// An answer of this size is well below every limit of Milvus.
const PAGE_BYTES: usize = 16 << 20;

/// What a row is taken to need beside its vectors.
const SCALAR_BYTES: usize = 512;

/// What a collection holds.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub collection: String,
    /// The name of its key.
    pub key_field: String,
    /// Where a key decides the partition, all of them under one empty name.
    pub partitions: BTreeMap<String, Partition>,
    /// `count(*)` over all partitions.
    pub counted: u64,
}

/// What a partition holds.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    /// Every key once.
    pub rows: BTreeMap<Key, Digest>,
    /// `count(*)`: above the number of keys if some occur more than once.
    pub counted: u64,
}

impl Table {
    /// Reads all of a loaded collection.
    ///
    /// # Errors
    /// If Milvus refuses or does not answer, or if what it counts changes meanwhile.
    pub async fn read(milvus: &Milvus, collection: &str, reading: Reading) -> Result<Self> {
        let reading = match reading {
            // The same, but only the first page waits for the next tick.
            Reading::Strong => Reading::AtLeast(milvus.clock().await?),
            other => other,
        };
        let described = milvus.describe(collection).await?;
        let key_field = key_field(&described)?;
        let page = page_rows(&described);
        let mut partitions = BTreeMap::new();
        for names in partition_groups(milvus, &described, collection).await? {
            let rows = read_rows(milvus, collection, &key_field, &names, reading, page).await?;
            let counted = milvus.count(collection, "", &names, reading).await?;
            let name = names.into_iter().next().unwrap_or_default();
            partitions.insert(name, Partition { rows, counted });
        }
        let counted = milvus.count(collection, "", &[], reading).await?;
        let table = Self { collection: collection.to_owned(), key_field, partitions, counted };
        let sum: u64 = table.partitions.values().map(|partition| partition.counted).sum();
        ensure!(sum == counted, "{collection}: {counted} rows, {sum} in its partitions");
        Ok(table)
    }

    /// How many different keys, partition by partition.
    pub fn keys(&self) -> u64 {
        self.partitions.values().map(|partition| partition.rows.len() as u64).sum()
    }
}

/// Each partition by itself; Milvus refuses that where a key decides the partition.
async fn partition_groups(
    milvus: &Milvus,
    described: &DescribeCollectionResponse,
    collection: &str,
) -> Result<Vec<Vec<String>>> {
    let fields = described.schema.iter().flat_map(|schema| &schema.fields);
    if fields.into_iter().any(|field| field.is_partition_key) {
        return Ok(vec![vec![]]);
    }
    let names = milvus.partitions(collection).await?.into_keys();
    Ok(names.map(|name| vec![name]).collect())
}

fn key_field(described: &DescribeCollectionResponse) -> Result<String> {
    let schema = described.schema.as_ref().context("a description without schema")?;
    let key = schema.fields.iter().find(|field| field.is_primary_key);
    Ok(key.context("a schema without key")?.name.clone())
}

fn page_rows(described: &DescribeCollectionResponse) -> usize {
    let fields = described.schema.iter().flat_map(|schema| &schema.fields);
    let bytes: usize = SCALAR_BYTES + fields.map(vector_bytes).sum::<usize>();
    (PAGE_BYTES / bytes).clamp(1, PAGE_ROWS_MAX)
}

fn vector_bytes(field: &FieldSchema) -> usize {
    let dimension = field.type_params.iter().find(|pair| pair.key == "dim");
    let dimension: usize = dimension.and_then(|pair| pair.value.parse().ok()).unwrap_or(0);
    if field.data_type == DataType::FloatVector as i32 { dimension * 4 } else { dimension / 8 }
}

/// A limited query returns the rows with the lowest keys, so each page begins above the last key
/// of the one before. Doubled keys make a page shorter than its limit: only an empty one is the
/// end.
async fn read_rows(
    milvus: &Milvus,
    collection: &str,
    key_field: &str,
    partitions: &[String],
    reading: Reading,
    page: usize,
) -> Result<BTreeMap<Key, Digest>> {
    let mut rows = BTreeMap::new();
    let mut expression = String::new();
    loop {
        let query = Query {
            partitions: partitions.to_vec(),
            reading,
            limit: Some(page),
            ..Query::of(collection, &expression)
        };
        let columns = Columns::new(milvus.query(&query).await?)?;
        let keys = columns.keys(key_field)?;
        let Some(last) = keys.iter().max().cloned() else {
            return Ok(rows);
        };
        for (at, key) in keys.into_iter().enumerate() {
            rows.insert(key, columns.digest(at));
        }
        expression = format!("{key_field} > {last}");
    }
}
