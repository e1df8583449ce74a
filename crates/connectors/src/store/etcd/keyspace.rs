//! The keys of one store in etcd, and how etcd is asked about them. Never decides what is written.

use super::changes::{Changes, OPERATIONS_MAX};
use crate::etcd::{Answer, Connection, Repeat, transact};
use etcd_client::{Compare, CompareOp, KeyValue, Txn, TxnOp};
use replication::error::Result;
use replication::ports::EXISTS;

/// All keys below one root path.
pub(super) struct Keyspace {
    connection: Connection,
    /// Before every key; ends with a slash.
    root: String,
}

impl Keyspace {
    pub(super) fn new(connection: Connection, root: String) -> Self {
        Self { connection, root }
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn layout(&self) -> String {
        format!("{}layout", self.root)
    }

    pub(super) fn record(&self, key: &str) -> String {
        format!("{}records/{key}", self.root)
    }

    pub(super) fn journal_head(&self) -> String {
        format!("{}journal/head", self.root)
    }

    pub(super) fn journal_parts(&self) -> String {
        format!("{}journal/part/", self.root)
    }

    pub(super) fn journal_part(&self, number: usize) -> String {
        format!("{}{number:03}", self.journal_parts())
    }

    /// The conditions of a store's transaction in etcd's form.
    pub(super) fn conditions(&self, conditions: &[(String, u64)]) -> Vec<Compare> {
        let compare = |(key, version): &(String, u64)| match *version {
            EXISTS => Compare::mod_revision(self.record(key), CompareOp::Greater, 0),
            version => has_revision(self.record(key), version as i64),
        };
        conditions.iter().map(compare).collect()
    }

    /// Runs a transaction that may be carried out twice: one that only reads, or one whose
    /// conditions do not hold any more once it has been carried out.
    pub(super) async fn txn(&self, tried: &str, txn: Txn) -> Result<Answer> {
        transact(&self.connection, tried, Repeat::Always, txn).await
    }

    /// Whether the records are as these changes make them.
    pub(super) async fn has(&self, changes: &Changes) -> Result<bool> {
        let each: Vec<_> = changes.each().collect();
        for some in each.chunks(OPERATIONS_MAX) {
            let reads = some.iter().map(|(key, _)| TxnOp::get(self.record(key), None));
            let txn = Txn::new().and_then(reads.collect::<Vec<_>>());
            let mut answer = self.txn("read what was written to the store", txn).await?;
            for (_, value) in some {
                if answer.next_read().first().map(KeyValue::value) != *value {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Runs a transaction that must not be carried out twice.
    pub(super) async fn txn_once(&self, tried: &str, txn: Txn) -> Result<Answer> {
        transact(&self.connection, tried, Repeat::IfUnsent, txn).await
    }
}

/// The condition that a key was written last at a revision; zero: that it does not exist.
pub(super) fn has_revision(key: String, revision: i64) -> Compare {
    Compare::mod_revision(key, CompareOp::Equal, revision)
}
