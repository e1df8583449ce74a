//! What a workload writes: where, how fast, and how many of the calls are upserts and deletes.
//! Never writes by itself.

use crate::milvus::CollectionSpec;

/// What is written.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The collections, which exist already; each has a writer of its own.
    pub collections: Vec<CollectionSpec>,
    /// The partitions that rows are spread over; none means the default one, or that a partition
    /// key decides.
    pub partitions: Vec<String>,
    /// Rows inserted per second and collection, as far as the source takes them.
    pub rows_per_second: u64,
    /// Rows per call.
    pub rows_per_call: u64,
    /// Of a hundred calls, how many are upserts of earlier rows; 2.3 has none where it makes up the
    /// keys.
    pub upserts_percent: u64,
    /// Of a hundred calls, how many are deletes of earlier rows.
    pub deletes_percent: u64,
    /// The same seed writes the same, as long as the source takes it all.
    pub seed: u64,
    /// The first key.
    pub first_key: u64,
}

impl Workload {
    /// A moderate mix: 500 rows a second in calls of 50, with upserts and deletes.
    pub fn mixed(collections: Vec<CollectionSpec>, seed: u64) -> Self {
        Self {
            collections,
            partitions: vec![],
            rows_per_second: 500,
            rows_per_call: 50,
            upserts_percent: 15,
            deletes_percent: 15,
            seed,
            first_key: 0,
        }
    }
}
