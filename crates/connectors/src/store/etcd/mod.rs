//! A store in etcd, which several machines can share: each key of the store is one of etcd, each
//! transaction one of etcd's, guarded by revisions.
//!
//! | key, below `<rootPath>/milvus-cdc/` | what |
//! |---|---|
//! | `layout` | the form of all this, `{"layout":1}`; a higher one was written by a newer program |
//! | `records/<key>` | a record; its version is etcd's revision of the last write |
//! | `journal/…` | a transaction that is too large for etcd, see `journal` |
//!
//! A Go tool whose `metaStoreConfig.etcd.rootPath` lies above reads all of it as messages of its own, and
//! each has to be a JSON object for it, without `base`, `data` and `type`; the journal is none.
//! Never touches a key outside of that.

mod changes;
mod journal;

use super::holder::Holder;
use crate::etcd::{Connection, EtcdOptions, reader};
use async_trait::async_trait;
use changes::Changes;
use etcd_client::{
    Client, Compare, CompareOp, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use replication::error::{Error, Result};
use replication::ports::{Committed, EXISTS, Store, Stored, Transaction, VALUE_BYTES_MAX};
use std::path::Path;

/// The form of what is kept here.
const LAYOUT: u64 = 1;

/// Operations in one transaction; etcd's own default limit is 128.
const OPERATIONS_MAX: usize = 100;

/// Bytes of one transaction; etcd's own default limit for a request is 1.5 MiB.
const TRANSACTION_BYTES_MAX: usize = VALUE_BYTES_MAX + (64 << 10);

/// Records of one page: of the largest, fewer bytes than a client takes.
const PAGE_RECORDS: usize = 50;

/// More rounds over a journal that others keep writing mean that something is wrong.
const ROUNDS_MAX: usize = 64;

/// Records in etcd.
pub struct EtcdStore {
    connection: Connection,
    /// Before every key, ends in a slash.
    root: String,
    holder: Holder,
}

impl EtcdStore {
    /// Opens the store below `options.root_path`, which is made if nothing is there. What this
    /// machine is called in it is kept in the folder `state`.
    pub async fn open(options: EtcdOptions, state: &Path) -> Result<Self> {
        let root = format!("{}/milvus-cdc/", options.root_path.trim_end_matches('/'));
        let place = format!("etcd {}/{root}", options.endpoints.join(","));
        let holder = Holder::claim(state, &place);
        let store = Self { connection: Connection::new(options)?, root, holder };
        store.check_layout().await?;
        Ok(store)
    }

    async fn check_layout(&self) -> Result<()> {
        let key = format!("{}layout", self.root);
        let txn = Txn::new()
            .when(vec![has_revision(key.clone(), 0)])
            .and_then(vec![TxnOp::put(key.clone(), format!("{{\"layout\":{LAYOUT}}}"), None)])
            .or_else(vec![TxnOp::get(key.clone(), None)]);
        let mut answers = self.txn("open the store", txn).await?.1;
        let Some(kv) = answers.next().into_iter().flatten().next() else {
            return Ok(());
        };
        match layout(kv.value()) {
            Some(layout) if layout <= LAYOUT => Ok(()),
            Some(layout) => Err(Error::permanent(format!(
                "the store under {} was written by a newer milvus-cdc (layout {layout}, this one \
                 knows {LAYOUT}): run that version, or give this one another \
                 metaStoreConfig.rootPath",
                self.root
            ))),
            None => Err(Error::permanent(format!(
                "{key} in etcd holds something else than the layout of a store; give this one \
                 another metaStoreConfig.rootPath"
            ))),
        }
    }

    /// Runs a transaction; whether its conditions held, and what its reads found, in their order.
    async fn txn(
        &self,
        tried: &str,
        txn: Txn,
    ) -> Result<(bool, impl Iterator<Item = Vec<KeyValue>> + use<>)> {
        let ask = async |client: Client| reader(&client).txn(txn.clone()).await;
        let answer: TxnResponse = self.connection.ask(tried, ask).await?;
        let reads = answer.op_responses().into_iter().filter_map(|answer| match answer {
            TxnOpResponse::Get(mut got) => Some(got.take_kvs()),
            _ => None,
        });
        Ok((answer.succeeded(), reads))
    }

    fn record_key(&self, key: &str) -> String {
        format!("{}records/{key}", self.root)
    }

    fn conditions(&self, conditions: &[(String, u64)]) -> Vec<Compare> {
        let compare = |(key, version): &(String, u64)| match *version {
            EXISTS => Compare::mod_revision(self.record_key(key), CompareOp::Greater, 0),
            version => has_revision(self.record_key(key), version as i64),
        };
        conditions.iter().map(compare).collect()
    }

    /// One transaction of etcd. `None`: a journal stood in the way.
    async fn commit_at_once(
        &self,
        conditions: &[(String, u64)],
        changes: &Changes,
    ) -> Result<Option<Committed>> {
        let head = self.journal_head();
        let mut when = self.conditions(conditions);
        when.push(has_revision(head.clone(), 0));
        let operations = changes.operations(|key| self.record_key(key));
        let txn = Txn::new().when(when).and_then(operations).or_else(vec![TxnOp::get(head, None)]);
        let (succeeded, mut reads) = self.txn("write to the store", txn).await?;
        Ok(match succeeded {
            true => Some(Committed::Yes),
            false if reads.next().unwrap_or_default().is_empty() => Some(Committed::Conflict),
            false => None,
        })
    }

    /// A page of a listing from a key on; with it the revision it is of. `None`: a journal stood in
    /// the way.
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
        let head = TxnOp::get(self.journal_head(), None);
        let txn = Txn::new().and_then(vec![head, TxnOp::get(from, Some(options))]);
        let ask = async |client: Client| reader(&client).txn(txn.clone()).await;
        let answer: TxnResponse = self.connection.ask("list the store", ask).await?;
        let now = answer.header().map_or(0, |header| header.revision());
        let mut reads = answer.op_responses().into_iter().map(|answer| match answer {
            TxnOpResponse::Get(mut got) => got.take_kvs(),
            _ => Vec::new(),
        });
        let head = reads.next().unwrap_or_default();
        // Later pages are of a moment at which there was none.
        if revision == 0 && !head.is_empty() {
            return Ok(None);
        }
        let revision = if revision == 0 { now } else { revision };
        Ok(Some((reads.next().unwrap_or_default(), revision)))
    }

    async fn try_list(&self, prefix: &str) -> Result<Option<Vec<(String, Stored)>>> {
        let head = self.record_key("").len();
        let first = self.record_key(prefix).into_bytes();
        let behind = super::behind(first.clone());
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
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &str) -> Result<Option<Stored>> {
        for _ in 0..ROUNDS_MAX {
            let head = TxnOp::get(self.journal_head(), None);
            let record = TxnOp::get(self.record_key(key), None);
            let txn = Txn::new().and_then(vec![head, record]);
            let mut reads = self.txn(&format!("read {key}"), txn).await?.1;
            if reads.next().unwrap_or_default().is_empty() {
                return Ok(reads.next().into_iter().flatten().next().map(|kv| stored(&kv)));
            }
            self.finish_journal().await?;
        }
        Err(self.too_busy())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>> {
        for _ in 0..ROUNDS_MAX {
            match self.try_list(prefix).await? {
                Some(records) => return Ok(records),
                None => self.finish_journal().await?,
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
                false => self.commit_by_journal(&transaction.conditions, &changes).await?,
            };
            match committed {
                Some(committed) => return Ok(committed),
                None => self.finish_journal().await?,
            }
        }
        Err(self.too_busy())
    }

    fn holder(&self) -> &str {
        self.holder.name()
    }
}

impl EtcdStore {
    fn too_busy(&self) -> Error {
        Error::transient(format!("the store under {} is written by others all the time", self.root))
    }
}

/// The number in a record of the layout; early ones are the number alone.
fn layout(value: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    value.as_u64().or_else(|| value.get("layout")?.as_u64())
}

fn has_revision(key: String, revision: i64) -> Compare {
    Compare::mod_revision(key, CompareOp::Equal, revision)
}

fn stored(kv: &KeyValue) -> Stored {
    Stored { value: kv.value().to_vec(), version: kv.mod_revision() as u64 }
}
