//! A record of a source in etcd: its key as text, and the error if it can't be read. Never decodes
//! one.

use etcd_client::KeyValue;
use milvus_wire::DecodeError;
use replication::error::Error;

/// A key as text.
pub(super) fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// The error for a record that can't be decoded.
pub(super) fn unreadable(record: &KeyValue, error: DecodeError) -> Error {
    let what = format!("the source's etcd record {} can't be read", text(record.key()));
    Error::permanent(what).because(error)
}
