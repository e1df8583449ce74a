//! Tests the fence: the keys of an insert, and the delete made of them. Never needs a target.

use crate::samples::{PRIMARY_KEY, insert, keys_of, target};
use milvus_wire::fence::{delete_of, primary_keys};
use milvus_wire::message::{DecodeError, Message as Read, RowMessage, decode};
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg::{DeleteRequest, InsertRequest};
use milvus_wire::timestamp::Timestamp;
use proptest::prelude::*;
use prost::Message;

fn row(insert: &InsertRequest) -> RowMessage {
    match decode(insert.encode_to_vec().into()) {
        Ok(Read::Row(row)) => row,
        other => panic!("not a row message: {other:?}"),
    }
}

proptest! {
    #[test]
    fn an_inserts_keys_become_a_delete(insert in insert(), target in target(), id in any::<i64>()) {
        let row = row(&insert);
        let keys = primary_keys(&row, PRIMARY_KEY).unwrap();
        prop_assert_eq!(&keys, &keys_of(&insert));
        let raw = delete_of(&row, keys.clone(), id, Timestamp(9), &target.patch()).to_bytes();
        let rows = insert.num_rows as usize;
        let named = target.partition_id.is_some();
        let expected = DeleteRequest {
            base: Some(MsgBase {
                msg_type: MsgType::Delete.into(),
                msg_id: id,
                timestamp: 9,
                source_id: -1,
                ..Default::default()
            }),
            shard_name: target.vchannel,
            db_name: target.database,
            collection_name: target.collection,
            partition_name: if named { insert.partition_name } else { String::new() },
            collection_id: target.collection_id,
            partition_id: target.partition_id.unwrap_or(-1),
            timestamps: vec![9; rows],
            num_rows: rows as i64,
            primary_keys: Some(keys),
            ..Default::default()
        };
        prop_assert_eq!(DeleteRequest::decode(raw.clone()).unwrap(), expected);
        prop_assert!(matches!(decode(raw), Ok(Read::Row(_))));
    }

    #[test]
    fn keys_that_are_not_one_for_each_row_are_an_error(mut insert in insert()) {
        insert.num_rows += 1;
        let keys = primary_keys(&row(&insert), PRIMARY_KEY);
        let rows = insert.num_rows;
        prop_assert_eq!(keys, Err(DecodeError::KeyCount { keys: rows - 1, rows }));
    }

    #[test]
    fn a_field_that_holds_no_keys_is_an_error(mut insert in insert()) {
        let missing = primary_keys(&row(&insert), PRIMARY_KEY + 500);
        assert!(matches!(missing, Err(DecodeError::Missing { .. })));
        insert.fields_data.retain(|column| column.field_id != PRIMARY_KEY);
        if let Some(vector) = insert.fields_data.first() {
            let missing = primary_keys(&row(&insert), vector.field_id);
            assert!(matches!(missing, Err(DecodeError::Missing { what: "scalars", .. })));
        }
    }
}
