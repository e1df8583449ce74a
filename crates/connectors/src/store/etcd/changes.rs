//! What a transaction of the store in etcd changes: each key once. Never talks to etcd.

use etcd_client::TxnOp;
use prost::Message;
use replication::error::{Error, Result};
use replication::ports::{EXISTS, VALUE_BYTES_MAX};
use std::collections::BTreeMap;

/// Operations in one transaction; etcd's own default limit is 128.
pub(super) const OPERATIONS_MAX: usize = 100;

/// Bytes of one transaction; etcd's own default limit for a request is 1.5 MiB.
pub(super) const TRANSACTION_BYTES_MAX: usize = VALUE_BYTES_MAX + (64 << 10);

/// An upper limit for what etcd and the wire add to a key and its value.
const OVERHEAD_BYTES: usize = 64;

/// A key and its new value; without a value the key is removed.
#[derive(Clone, PartialEq, Message)]
struct KeyChange {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

/// Changes in the order of their keys; the journal keeps them in this protobuf form.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Changes {
    #[prost(message, repeated, tag = "1")]
    each: Vec<KeyChange>,
}

impl Changes {
    /// The changes of a transaction. Removals come first, and the last of several values counts:
    /// etcd refuses two operations on one key.
    pub(super) fn of(puts: Vec<(String, Vec<u8>)>, deletes: Vec<String>) -> Result<Self> {
        let mut each: BTreeMap<String, Option<Vec<u8>>> =
            deletes.into_iter().map(|key| (key, None)).collect();
        for (key, value) in puts {
            if value.len() > VALUE_BYTES_MAX {
                return Err(Error::permanent(format!(
                    "the record {key} has {} bytes, a store takes {VALUE_BYTES_MAX}; make the \
                     task smaller",
                    value.len()
                )));
            }
            each.insert(key, Some(value));
        }
        let each = each.into_iter().map(|(key, value)| KeyChange { key, value }).collect();
        Ok(Self { each })
    }

    /// Whether they are within these limits.
    pub(super) fn fit(&self, operations_max: usize, bytes_max: usize) -> bool {
        self.each.len() <= operations_max && self.bytes() <= bytes_max
    }

    /// Whether the conditions do not hold any more once these changes have been made, and never
    /// again: one of the keys has a version, which it loses for ever.
    pub(super) fn outdate(&self, conditions: &[(String, u64)]) -> bool {
        let changes = |key| self.each.binary_search_by(|change| change.key.cmp(key)).is_ok();
        let mut versions = conditions.iter().filter(|(_, version)| ![0, EXISTS].contains(version));
        versions.any(|(key, _)| changes(key))
    }

    /// The keys and their new values; no value: removed.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.each.iter().map(|change| (change.key.as_str(), change.value.as_deref()))
    }

    /// As operations of etcd.
    pub(super) fn operations(&self, name: impl Fn(&str) -> String) -> Vec<TxnOp> {
        let operation = |change: &KeyChange| match &change.value {
            Some(value) => TxnOp::put(name(&change.key), value.clone(), None),
            None => TxnOp::delete(name(&change.key), None),
        };
        self.each.iter().map(operation).collect()
    }

    /// The same changes in parts of at most `bytes_max` each, unless a single change is larger.
    pub(super) fn parts(&self, bytes_max: usize) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut bytes = 0;
        for change in &self.each {
            bytes += change.bytes();
            match parts.last_mut() {
                Some(part) if bytes <= bytes_max => part.each.push(change.clone()),
                _ => {
                    bytes = change.bytes();
                    parts.push(Self { each: vec![change.clone()] });
                }
            }
        }
        parts
    }

    /// At most `count_max` of them from an index on, and whether none are left behind these.
    pub(super) fn some(&self, from: usize, count_max: usize) -> (Self, bool) {
        let each: Vec<_> = self.each.iter().skip(from).take(count_max).cloned().collect();
        (Self { each }, from + count_max >= self.each.len())
    }

    fn bytes(&self) -> usize {
        self.each.iter().map(KeyChange::bytes).sum()
    }
}

impl KeyChange {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len) + OVERHEAD_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, bytes: usize) -> (String, Vec<u8>) {
        (key.to_owned(), vec![0; bytes])
    }

    #[test]
    fn a_key_is_changed_once_and_the_last_value_counts() {
        let puts = vec![put("a", 1), put("b", 1), put("a", 2)];
        let changes = Changes::of(puts, vec!["a".into(), "c".into()]).unwrap();
        let each: Vec<_> =
            changes.each.iter().map(|c| (c.key.as_str(), c.value.as_ref().map(Vec::len))).collect();
        assert_eq!(each, [("a", Some(2)), ("b", Some(1)), ("c", None)]);
    }

    #[test]
    fn parts_are_bounded_and_together_the_whole() {
        let puts = (0..250).map(|n| put(&format!("{n:03}"), n)).collect();
        let changes = Changes::of(puts, vec![]).unwrap();
        assert!(changes.fit(250, 100_000) && !changes.fit(249, 100_000));
        assert!(!changes.fit(250, 10_000));
        let parts = changes.parts(10_000);
        assert!(parts.len() > 4 && parts.iter().all(|part| part.fit(250, 10_000)));
        let together: Vec<_> = parts.into_iter().flat_map(|part| part.each).collect();
        assert_eq!(together, changes.each);

        let (some, is_rest) = changes.some(100, 100);
        assert_eq!((some.each.as_slice(), is_rest), (&changes.each[100..200], false));
        let (some, is_rest) = changes.some(200, 100);
        assert_eq!((some.each.as_slice(), is_rest), (&changes.each[200..], true));
    }

    #[test]
    fn only_a_version_that_is_lost_outdates_a_transaction() {
        let changes = Changes::of(vec![put("a", 1)], vec!["b".into()]).unwrap();
        let outdates = |key: &str, version| changes.outdate(&[(key.into(), version)]);
        assert!(outdates("a", 7) && outdates("b", 7));
        assert!(!outdates("c", 7), "it is not changed");
        assert!(!outdates("a", EXISTS) && !outdates("a", 0), "that may be so again");
    }

    #[test]
    fn a_record_that_is_too_large_is_named() {
        let error = Changes::of(vec![put("big", VALUE_BYTES_MAX + 1)], vec![]).unwrap_err();
        assert!(error.what.contains("the record big has"), "{error}");
    }
}
