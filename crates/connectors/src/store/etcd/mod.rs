//! A store in etcd, which several machines can share: each key of the store is one of etcd, each
//! transaction one of etcd's, guarded by revisions.
//!
//! | key, below `<rootPath>/milvus-cdc/` | what |
//! |---|---|
//! | `layout` | the form of all this, `{"layout":1}`; a higher one was written by a newer program |
//! | `records/<key>` | a record; its version is etcd's revision of the last write |
//! | `journal/…` | a transaction that is too large for etcd, see `journal` |
//!
//! A Go tool whose `metaStoreConfig.etcd.rootPath` lies above this path reads all these values as
//! its own messages. So each value has to be a JSON object without `base`, `data` and `type`,
//! except in the journal. Never touches a key outside of this path.

mod changes;
mod journal;
mod keyspace;

use super::holder::Holder;
use crate::etcd::{Connection, EtcdOptions};
use crate::key_range;
use async_trait::async_trait;
use changes::{Changes, OPERATIONS_MAX, TRANSACTION_BYTES_MAX};
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp};
use keyspace::{Keyspace, has_revision};
use replication::error::{Error, Result};
use replication::ports::{Committed, Store, Stored, Transaction};
use std::path::Path;

/// The layout of these keys and values.
const LAYOUT: u64 = 1;

/// Records of one page: even of the largest records, fewer bytes than a client takes.
const PAGE_RECORDS: usize = 50;

/// After this many rounds over other writers' journals something is wrong.
const ROUNDS_MAX: usize = 64;

/// Records in etcd.
pub struct EtcdStore {
    keys: Keyspace,
    holder: Holder,
}

impl EtcdStore {
    /// Opens the store below `options.root_path`; creates it if there is none. The name of this
    /// machine is kept in the folder `state`.
    pub async fn open(options: EtcdOptions, state: &Path) -> Result<Self> {
        let root = format!("{}/milvus-cdc/", options.root_path.trim_end_matches('/'));
        let place = format!("etcd {}/{root}", options.endpoints.join(","));
        let holder = Holder::claim(state, &place);
        let store = Self { keys: Keyspace::new(Connection::new(options)?, root), holder };
        store.check_layout().await?;
        Ok(store)
    }

    async fn check_layout(&self) -> Result<()> {
        let key = self.keys.layout();
        let txn = Txn::new()
            .when(vec![has_revision(key.clone(), 0)])
            .and_then(vec![TxnOp::put(key.clone(), format!("{{\"layout\":{LAYOUT}}}"), None)])
            .or_else(vec![TxnOp::get(key.clone(), None)]);
        let read = self.keys.txn("open the store", txn).await?.next_read();
        let Some(kv) = read.into_iter().next() else { return Ok(()) };
        match layout(kv.value()) {
            Some(layout) if layout <= LAYOUT => Ok(()),
            Some(layout) => Err(Error::permanent(format!(
                "the store under {} was written by a newer milvus-cdc (layout {layout}, this one \
                 knows {LAYOUT}): run that version, or give this one another \
                 metaStoreConfig.rootPath",
                self.keys.root()
            ))),
            None => Err(Error::permanent(format!(
                "{key} in etcd is not the layout of a store; give this one another \
                 metaStoreConfig.rootPath"
            ))),
        }
    }

    /// Commits with one transaction of etcd. `None`: a journal was in the way. One that a member
    /// did not answer is repeated only if it can't be carried out twice.
    async fn commit_at_once(
        &self,
        conditions: &[(String, u64)],
        changes: &Changes,
    ) -> Result<Option<Committed>> {
        let head = self.keys.journal_head();
        let mut when = self.keys.conditions(conditions);
        when.push(has_revision(head.clone(), 0));
        let operations = changes.operations(|key| self.keys.record(key));
        let txn = Txn::new().when(when).and_then(operations).or_else(vec![TxnOp::get(head, None)]);
        let tried = "write to the store";
        let mut answer = match changes.outdate(conditions) {
            true => self.keys.txn(tried, txn).await?,
            false => self.keys.txn_once(tried, txn).await?,
        };
        if answer.succeeded || (answer.is_doubtful && self.keys.has(changes).await?) {
            return Ok(Some(Committed::Yes));
        }
        Ok(answer.next_read().is_empty().then_some(Committed::Conflict))
    }

    /// A page of a listing from a key on, and its revision. `None`: a journal was in the way.
    async fn page(
        &self,
        from: Vec<u8>,
        behind: Vec<u8>,
        revision: i64,
    ) -> Result<Option<(Vec<KeyValue>, i64)>> {
        let options = GetOptions::new()
            .with_range(behind)
            .with_limit(PAGE_RECORDS as i64)
            .with_revision(revision);
        let head = TxnOp::get(self.keys.journal_head(), None);
        let txn = Txn::new().and_then(vec![head, TxnOp::get(from, Some(options))]);
        let mut answer = self.keys.txn("list the store", txn).await?;
        let head = answer.next_read();
        // Later pages are of a moment at which there was no journal.
        if revision == 0 && !head.is_empty() {
            return Ok(None);
        }
        let revision = if revision == 0 { answer.revision } else { revision };
        Ok(Some((answer.next_read(), revision)))
    }

    async fn try_list(&self, prefix: &str) -> Result<Option<Vec<(String, Stored)>>> {
        let head = self.keys.record("").len();
        let first = self.keys.record(prefix).into_bytes();
        let behind = key_range::behind(&first);
        let (mut from, mut revision) = (first, 0);
        let mut records = Vec::new();
        loop {
            let Some((page, at)) = self.page(from, behind.clone(), revision).await? else {
                return Ok(None);
            };
            revision = at;
            let is_last = page.len() < PAGE_RECORDS;
            from = page.last().map_or_else(Vec::new, |last| [last.key(), &[0]].concat());
            for kv in page {
                let key = String::from_utf8_lossy(&kv.key()[head..]).into_owned();
                records.push((key, stored(&kv)));
            }
            if is_last {
                return Ok(Some(records));
            }
        }
    }

    fn too_busy(&self) -> Error {
        let root = self.keys.root();
        Error::transient(format!("the store under {root} is written by others all the time"))
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &str) -> Result<Option<Stored>> {
        for _ in 0..ROUNDS_MAX {
            let head = TxnOp::get(self.keys.journal_head(), None);
            let record = TxnOp::get(self.keys.record(key), None);
            let txn = Txn::new().and_then(vec![head, record]);
            let mut answer = self.keys.txn(&format!("read {key}"), txn).await?;
            if answer.next_read().is_empty() {
                return Ok(answer.next_read().first().map(stored));
            }
            journal::finish(&self.keys).await?;
        }
        Err(self.too_busy())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>> {
        for _ in 0..ROUNDS_MAX {
            match self.try_list(prefix).await? {
                Some(records) => return Ok(records),
                None => journal::finish(&self.keys).await?,
            }
        }
        Err(self.too_busy())
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        if transaction.conditions.len() >= OPERATIONS_MAX {
            return Err(Error::permanent(format!(
                "a transaction has {} conditions, etcd takes fewer than {OPERATIONS_MAX}; use \
                 another store",
                transaction.conditions.len()
            )));
        }
        let changes = Changes::of(transaction.puts, transaction.deletes)?;
        let fits = changes.fit(OPERATIONS_MAX, TRANSACTION_BYTES_MAX);
        for _ in 0..ROUNDS_MAX {
            let committed = match fits {
                true => self.commit_at_once(&transaction.conditions, &changes).await?,
                false => journal::commit(&self.keys, &transaction.conditions, &changes).await?,
            };
            match committed {
                Some(committed) => return Ok(committed),
                None => journal::finish(&self.keys).await?,
            }
        }
        Err(self.too_busy())
    }

    fn holder(&self) -> &str {
        self.holder.name()
    }
}

/// The number in a record of the layout; in early versions the record is only the number.
fn layout(value: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    value.as_u64().or_else(|| value.get("layout")?.as_u64())
}

fn stored(kv: &KeyValue) -> Stored {
    Stored { value: kv.value().to_vec(), version: kv.mod_revision() as u64 }
}
