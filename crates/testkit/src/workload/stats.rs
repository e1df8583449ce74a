//! What a workload has written so far. Never claims that a call without an answer had no effect.

use crate::milvus::Key;
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeSet;

/// What was written so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows of acknowledged inserts.
    pub inserted: u64,
    /// Rows of acknowledged upserts.
    pub upserted: u64,
    /// Keys of acknowledged deletes.
    pub deleted: u64,
    /// Rows and keys of calls that were refused or not answered: nobody knows.
    pub uncertain: u64,
    /// The keys of these, with their collection, where they were not for Milvus to make up.
    pub uncertain_keys: BTreeSet<(String, Key)>,
    /// Calls that failed.
    pub failed_calls: u64,
    /// How the last one failed.
    pub last_failure: Option<String>,
    /// The timestamp of the newest acknowledged write.
    pub newest: Timestamp,
}

impl Stats {
    /// Acknowledged rows and keys of all kinds.
    pub fn acknowledged(&self) -> u64 {
        self.inserted + self.upserted + self.deleted
    }
}
