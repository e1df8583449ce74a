//! The setting of a Milvus that makes it a replica, `common.ttMsgEnabled`, as its etcd has it, and
//! what shows that an etcd is the one of a certain Milvus. Never touches any other setting.

use super::connection::{Connection, Repeat};
use super::listing::list;
use super::options::EtcdOptions;
use super::record::text;
use super::transaction::transact;
use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use milvus_wire::ids::CollectionId;
use milvus_wire::keys::Keys;
use replication::error::Result;
use std::collections::BTreeSet;

/// The setting below `config`, as Milvus's documentation of dynamic configuration writes it.
const SETTING: &str = "common/ttMsgEnabled";

/// The same as Milvus compares names of settings: it ignores case and what separates the parts.
/// Source: `formatKey` in `pkg/config/source.go`.
const SETTING_AS_COMPARED: &str = "commonttmsgenabled";

/// The setting in the etcd of one Milvus. Milvus reads all keys below `<rootPath>/config` every few
/// seconds, and prefers them to its file. Source: `EtcdSource.refreshConfigurations` and
/// `GetPriority` in `pkg/config/etcd_source.go`.
pub struct ReplicaSetting {
    connection: Connection,
    keys: Keys,
    /// The prefix of all settings.
    settings: String,
}

impl ReplicaSetting {
    /// Checks the options and reads the certificates; connects when it is first needed.
    pub fn new(options: EtcdOptions) -> Result<Self> {
        let root = options.root_path.trim_end_matches('/');
        let separator = if root.is_empty() { "" } else { "/" };
        Ok(Self {
            keys: Keys::new(root, &options.meta_sub_path),
            settings: format!("{root}{separator}config/"),
            connection: Connection::new(options)?,
        })
    }

    /// The key of the setting.
    pub fn key(&self) -> String {
        format!("{}{SETTING}", self.settings)
    }

    /// The prefix of the sessions of proxies.
    pub fn sessions(&self) -> String {
        self.keys.proxy_sessions()
    }

    /// The ids of the proxies that are registered.
    pub async fn proxies(&self) -> Result<BTreeSet<i64>> {
        let prefix = self.sessions();
        let (records, _) = list(&self.connection, &prefix, None).await?;
        let id = |key: &[u8]| text(key).strip_prefix(&prefix).and_then(|id| id.parse().ok());
        Ok(records.iter().filter_map(|record| id(record.key())).collect())
    }

    /// Whether there is a collection of this id.
    pub async fn has_collection(&self, id: CollectionId) -> Result<bool> {
        // Its fields have no database in their keys, and are below the same prefix in all versions.
        let (fields, _) = list(&self.connection, &self.keys.fields(id), None).await?;
        Ok(!fields.is_empty())
    }

    /// Other keys that Milvus takes for the same setting.
    pub async fn other_spellings(&self) -> Result<Vec<String>> {
        let (records, _) = list(&self.connection, &self.settings, None).await?;
        let keys = records.iter().map(|record| text(record.key()));
        Ok(keys.filter(|key| *key != self.key() && self.is_the_setting(key)).collect())
    }

    /// What the key has; `None`: there is no such key.
    pub async fn read(&self) -> Result<Option<String>> {
        let txn = Txn::new().and_then([TxnOp::get(self.key(), None)]);
        let tried = format!("read {}", self.key());
        let mut answer = transact(&self.connection, &tried, Repeat::Always, txn).await?;
        Ok(answer.next_read().first().map(|record| text(record.value())))
    }

    /// Fails if the user may not write the key. Changes nothing.
    pub async fn check_writable(&self) -> Result<()> {
        // No key has a version below zero. etcd asks for the right all the same: `checkTxnAuth` in
        // its `apply_auth.go` looks at both branches.
        let never = Compare::version(self.key(), CompareOp::Less, 0);
        let write = TxnOp::put(self.key(), "false", None);
        self.write(Txn::new().when([never]).and_then([write])).await
    }

    /// Sets the key.
    pub async fn put(&self, value: &str) -> Result<()> {
        self.write(Txn::new().and_then([TxnOp::put(self.key(), value, None)])).await
    }

    /// Removes the key.
    pub async fn remove(&self) -> Result<()> {
        self.write(Txn::new().and_then([TxnOp::delete(self.key(), None)])).await
    }

    /// Each of these writes may be carried out twice.
    async fn write(&self, txn: Txn) -> Result<()> {
        let tried = format!("write {}", self.key());
        transact(&self.connection, &tried, Repeat::Always, txn).await.map(drop)
    }

    fn is_the_setting(&self, key: &str) -> bool {
        let name = key.strip_prefix(&self.settings).unwrap_or_default();
        name.to_lowercase().replace(['/', '_', '.'], "") == SETTING_AS_COMPARED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(root_path: &str) -> ReplicaSetting {
        let options = EtcdOptions { root_path: root_path.to_owned(), ..EtcdOptions::default() };
        ReplicaSetting::new(options).unwrap()
    }

    #[test]
    fn the_key_is_the_one_that_milvus_reads() {
        for (root_path, root) in [("by-dev", "by-dev/"), ("/a/b/", "/a/b/"), ("", "")] {
            let setting = setting(root_path);
            assert_eq!(setting.key(), format!("{root}config/common/ttMsgEnabled"));
            assert_eq!(setting.sessions(), format!("{root}meta/session/proxy-"));
        }
    }

    #[test]
    fn other_spellings_of_the_setting_are_recognized() {
        let is_the_setting = |key: &str| setting("by-dev").is_the_setting(key);
        assert!(is_the_setting("by-dev/config/common.ttMsgEnabled"));
        assert!(is_the_setting("by-dev/config/common/ttmsgenabled"));
        assert!(!is_the_setting("by-dev/config/common/retentionDuration"));
        assert!(!is_the_setting("other/config/common/ttMsgEnabled"));
    }
}
