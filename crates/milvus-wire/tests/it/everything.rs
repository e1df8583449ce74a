//! Passes bytes to every decoder of the crate, and the results to every function that takes them.
//! The hostile tests and the fuzz target use it. Never expects the bytes to be well-formed.

use bytes::Bytes;
use milvus_wire::columns::{Keys, Rows};
use milvus_wire::fence::{delete_of, primary_keys};
use milvus_wire::ids::{CollectionId, DatabaseId, PartitionId, split_vchannel};
use milvus_wire::message::{Message, RowMessage, decode};
use milvus_wire::replicate::ReplicateCall;
use milvus_wire::splice::{Patch, splice, splice_ddl};
use milvus_wire::timestamp::Timestamp;
use milvus_wire::{catalog, op, roles, serving};

/// Fails by a panic only.
pub(crate) fn read(bytes: &[u8]) {
    let patch = Patch {
        vchannel: "by-dev-rootcoord-dml_3_7v0",
        database: "database",
        collection: "collection",
        collection_id: CollectionId(7),
        partition_id: Some(PartitionId(8)),
        stamp: Some(Timestamp(9)),
        msg_id: Some(-9),
    };
    match decode(Bytes::copy_from_slice(bytes)) {
        Ok(Message::Row(row)) => rewrite(&row, &patch),
        Ok(
            Message::CreateCollection(ddl)
            | Message::DropCollection(ddl)
            | Message::CreatePartition(ddl)
            | Message::DropPartition(ddl),
        ) => assert!(!splice_ddl(&ddl, &patch).is_empty(), "what is decoded can be rewritten"),
        Ok(Message::Tick(_) | Message::Import { .. } | Message::Other(..)) | Err(_) => {}
    }
    let _ = op::decode(bytes);
    let _ = catalog::decode_collection(DatabaseId(1), CollectionId(7), bytes);
    let _ = catalog::decode_partition(bytes);
    let _ = catalog::decode_database(bytes);
    let _ = catalog::decode_field(bytes);
    let _ = catalog::decode_function(bytes);
    let _ = serving::decode_alias(bytes);
    let _ = serving::decode_index(bytes);
    let _ = serving::decode_load(CollectionId(7), bytes);
    let _ = serving::decode_partition_load(CollectionId(7), bytes);
    // Keys are text, with a value behind them.
    let cut = bytes.len() / 2;
    let (key, value) = bytes.split_at(cut);
    if let Ok(key) = std::str::from_utf8(key) {
        let _ = roles::decode_member(key);
        let _ = roles::decode_grantee(key, value);
        let _ = roles::decode_privilege(key);
        let _ = split_vchannel(key);
    }
}

/// The rows as a reader other than Milvus sees them.
fn rows(row: &RowMessage) {
    if let Ok(rows) = Rows::of(row) {
        for place in 0..row.rows.min(8) as usize {
            for column in &rows.columns {
                let _ = column.value(place);
            }
        }
    }
    if let Ok(keys) = Keys::of(row) {
        for place in 0..row.rows.min(8) as usize {
            let _ = keys.value(place);
        }
    }
}

fn rewrite(row: &RowMessage, patch: &Patch<'_>) {
    rows(row);
    let kept = Patch { stamp: None, partition_id: None, ..patch.clone() };
    let kept = splice(row, &kept).expect("what is decoded can be rewritten");
    let moved = splice(row, patch).expect("what is decoded can be rewritten");
    let again = decode(moved.to_bytes()).expect("what is rewritten can be decoded");
    assert!(matches!(again, Message::Row(again) if again.timestamp == Timestamp(9)));
    let mut messages = vec![kept, moved];
    for field_id in [0, 100] {
        if let Ok(keys) = primary_keys(row, field_id) {
            messages.push(delete_of(row, keys, 1, Timestamp(8), patch));
        }
    }
    let (begin, end) = (Timestamp(8), Timestamp(9));
    let call = ReplicateCall { pchannel: "by-dev-rootcoord-dml_3".into(), begin, end, messages };
    assert_eq!(call.pieces().concat().len(), call.encoded_len());
}
