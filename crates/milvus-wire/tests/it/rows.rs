//! Tests inserts and deletes: decoding returns their scalars, and splicing changes what the patch
//! names. Never anything else.

use crate::samples::{Target, delete, insert, target};
use bytes::Bytes;
use milvus_wire::ids::{CollectionId, PartitionId};
use milvus_wire::message::{DecodeError, Message as Read, RowKind, RowMessage, decode};
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg::{DeleteRequest, InsertRequest};
use milvus_wire::splice::splice;
use milvus_wire::timestamp::Timestamp;
use proptest::prelude::*;
use prost::Message;
use prost::encoding::{bytes as bytes_field, uint64};

fn row(raw: impl Into<Bytes>) -> RowMessage {
    match decode(raw.into()) {
        Ok(Read::Row(row)) => row,
        other => panic!("not a row message: {other:?}"),
    }
}

/// The fields of an insert one by one, its timestamps unpacked, with one that no version has.
fn scattered(insert: &InsertRequest) -> Vec<Vec<u8>> {
    let one = |edit: &dyn Fn(&mut InsertRequest)| {
        let mut only = InsertRequest::default();
        edit(&mut only);
        only.encode_to_vec()
    };
    let mut fields = vec![
        one(&|only| only.base = insert.base.clone()),
        one(&|only| only.shard_name = insert.shard_name.clone()),
        one(&|only| only.db_name = insert.db_name.clone()),
        one(&|only| only.collection_name = insert.collection_name.clone()),
        one(&|only| only.partition_name = insert.partition_name.clone()),
        one(&|only| only.db_id = insert.db_id),
        one(&|only| only.collection_id = insert.collection_id),
        one(&|only| only.partition_id = insert.partition_id),
        one(&|only| only.segment_id = insert.segment_id),
        one(&|only| only.row_i_ds = insert.row_i_ds.clone()),
        one(&|only| only.row_data = insert.row_data.clone()),
        one(&|only| only.fields_data = insert.fields_data.clone()),
        one(&|only| only.num_rows = insert.num_rows),
        one(&|only| only.version = insert.version),
        one(&|only| only.namespace = insert.namespace.clone()),
    ];
    let mut stamps = Vec::new();
    uint64::encode_repeated(10, &insert.timestamps, &mut stamps);
    fields.push(stamps);
    let mut unknown = Vec::new();
    bytes_field::encode(1000, &b"unknown to us".to_vec(), &mut unknown);
    fields.push(unknown);
    fields
}

fn edited_insert(mut insert: InsertRequest, target: &Target) -> InsertRequest {
    insert.shard_name = target.vchannel.clone();
    insert.db_name = target.database.clone();
    insert.collection_name = target.collection.clone();
    insert.collection_id = target.collection_id;
    insert.partition_id = target.partition_id.unwrap_or(insert.partition_id);
    if let Some(stamp) = target.stamp {
        insert.base.as_mut().unwrap().timestamp = stamp;
        insert.timestamps.fill(stamp);
    }
    if let Some(id) = target.msg_id {
        insert.base.as_mut().unwrap().msg_id = id;
    }
    insert
}

fn edited_delete(mut delete: DeleteRequest, target: &Target) -> DeleteRequest {
    delete.shard_name = target.vchannel.clone();
    delete.db_name = target.database.clone();
    delete.collection_name = target.collection.clone();
    delete.collection_id = target.collection_id;
    delete.partition_id = target.partition_id.unwrap_or(delete.partition_id);
    if let Some(stamp) = target.stamp {
        delete.base.as_mut().unwrap().timestamp = stamp;
        delete.timestamps.fill(stamp);
    }
    if let Some(id) = target.msg_id {
        delete.base.as_mut().unwrap().msg_id = id;
    }
    delete
}

proptest! {
    #[test]
    fn an_inserts_scalars_are_read(insert in insert()) {
        let row = row(insert.encode_to_vec());
        prop_assert_eq!(row.kind, RowKind::Insert);
        prop_assert_eq!(row.msg_id, insert.base.unwrap().msg_id);
        prop_assert_eq!(row.timestamp, Timestamp(insert.timestamps.into_iter().max().unwrap()));
        prop_assert_eq!(row.vchannel, insert.shard_name);
        prop_assert_eq!(row.database, insert.db_name);
        prop_assert_eq!(row.collection, insert.collection_name);
        prop_assert_eq!(row.partition, insert.partition_name);
        prop_assert_eq!(row.collection_id, CollectionId(insert.collection_id));
        prop_assert_eq!(row.partition_id, PartitionId(insert.partition_id));
        prop_assert_eq!(row.rows, insert.num_rows);
    }

    #[test]
    fn a_deletes_scalars_are_read(delete in delete()) {
        let row = row(delete.encode_to_vec());
        prop_assert_eq!(row.kind, RowKind::Delete);
        prop_assert_eq!(row.msg_id, delete.base.unwrap().msg_id);
        prop_assert_eq!(row.timestamp, Timestamp(delete.timestamps.into_iter().max().unwrap()));
        prop_assert_eq!(row.vchannel, delete.shard_name);
        prop_assert_eq!(row.partition, delete.partition_name);
        prop_assert_eq!(row.collection_id, CollectionId(delete.collection_id));
        prop_assert_eq!(row.partition_id, PartitionId(delete.partition_id));
        prop_assert_eq!(row.rows, delete.num_rows as u64);
    }

    #[test]
    fn splicing_an_insert_changes_what_the_patch_names(insert in insert(), target in target()) {
        let raw = Bytes::from(insert.encode_to_vec());
        let spliced = splice(&row(raw.clone()), &target.patch()).unwrap();
        let whole = spliced.to_bytes();
        prop_assert_eq!(spliced.len(), whole.len());
        prop_assert_eq!(InsertRequest::decode(whole).unwrap(), edited_insert(insert, &target));
        let range = raw.as_ptr_range();
        for part in &spliced.parts[1..] {
            prop_assert!(range.contains(&part.as_ptr()), "rows are not copied");
        }
        prop_assert!(spliced.parts.len() <= 3);
    }

    #[test]
    fn splicing_a_delete_changes_what_the_patch_names(delete in delete(), target in target()) {
        let spliced = splice(&row(delete.encode_to_vec()), &target.patch()).unwrap();
        let whole = spliced.to_bytes();
        prop_assert_eq!(spliced.len(), whole.len());
        prop_assert_eq!(DeleteRequest::decode(whole).unwrap(), edited_delete(delete, &target));
    }

    #[test]
    fn fields_in_any_order_are_read_and_spliced(
        (insert, fields) in insert().prop_flat_map(|insert| {
            let fields = Just(scattered(&insert)).prop_shuffle();
            (Just(insert), fields)
        }),
        target in target(),
    ) {
        let row = row(fields.concat());
        prop_assert_eq!(row.rows, insert.num_rows);
        prop_assert_eq!(&row.partition, &insert.partition_name);
        let whole = splice(&row, &target.patch()).unwrap().to_bytes();
        let unknown = whole.windows(13).filter(|bytes| bytes == b"unknown to us").count();
        prop_assert_eq!(unknown, 1, "an unknown field is kept");
        prop_assert_eq!(InsertRequest::decode(whole).unwrap(), edited_insert(insert, &target));
    }

    #[test]
    fn a_message_in_a_thousand_pieces_stays_whole(rows in 1usize..200) {
        // A piece of a kept field and a piece of a replaced one, in turn.
        let name = InsertRequest { db_name: "d".into(), ..Default::default() }.encode_to_vec();
        let mut raw = minimal().encode_to_vec();
        for row in 0..rows {
            raw.extend(&name);
            let id = InsertRequest { row_i_ds: vec![row as i64], ..Default::default() };
            raw.extend(id.encode_to_vec());
        }
        let target = Target {
            vchannel: "t_0_2v0".into(),
            database: "there".into(),
            collection: String::new(),
            collection_id: 2,
            partition_id: None,
            stamp: None,
            msg_id: None,
        };
        let original = InsertRequest::decode(raw.as_slice()).unwrap();
        let spliced = splice(&row(raw), &target.patch()).unwrap();
        prop_assert!(spliced.parts.len() <= 18);
        let whole = InsertRequest::decode(spliced.to_bytes()).unwrap();
        prop_assert_eq!(whole, edited_insert(original, &target));
    }
}

fn minimal() -> InsertRequest {
    InsertRequest {
        base: Some(MsgBase { msg_type: MsgType::Insert.into(), ..Default::default() }),
        shard_name: "dml_0_1v0".into(),
        timestamps: vec![5, 7, 6],
        ..Default::default()
    }
}

#[test]
fn rows_are_counted_by_timestamps_if_the_message_does_not_say() {
    assert_eq!(row(minimal().encode_to_vec()).rows, 3);
}

#[test]
fn a_row_message_needs_timestamps_and_a_shard() {
    let fails = |insert: InsertRequest| decode(insert.encode_to_vec().into()).unwrap_err();
    let no_stamps = InsertRequest { timestamps: Vec::new(), ..minimal() };
    assert_eq!(fails(no_stamps), DecodeError::Missing { message: "an insert", what: "timestamps" });
    for shard_name in ["", "dml", "dml_0", "dml_0_1v", "dml_0_xv0"] {
        let vchannel = shard_name.to_owned();
        let insert = InsertRequest { shard_name: vchannel.clone(), ..minimal() };
        assert_eq!(fails(insert), DecodeError::Vchannel { vchannel });
    }
}

#[test]
fn text_that_is_not_utf8_and_counts_below_zero_are_errors() {
    let mut raw = minimal().encode_to_vec();
    raw.extend([0x22, 1, 0xFF]);
    assert_eq!(decode(raw.into()).unwrap_err(), DecodeError::NotUtf8 { field: 4 });
    let delete = DeleteRequest {
        base: Some(MsgBase { msg_type: MsgType::Delete.into(), ..Default::default() }),
        shard_name: "dml_0_1v0".into(),
        timestamps: vec![5],
        num_rows: -1,
        ..Default::default()
    };
    assert_eq!(
        decode(delete.encode_to_vec().into()).unwrap_err(),
        DecodeError::OutOfRange { what: "num_rows", value: -1 }
    );
}
