//! Tests reading and rewriting the DDL messages of a physical channel. Never covers messages of
//! rows.

use bytes::Bytes;
use milvus_wire::ids::{CollectionId, PartitionId};
use milvus_wire::message::{DdlMessage, Message as Read, decode};
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg::{
    CreateCollectionRequest, DropCollectionRequest, DropPartitionRequest, ImportMsg, InsertRequest,
};
use milvus_wire::splice::{Patch, splice_ddl};
use milvus_wire::timestamp::Timestamp;
use prost::Message;

fn base(kind: MsgType) -> Option<MsgBase> {
    Some(MsgBase {
        msg_type: kind.into(),
        msg_id: 3,
        timestamp: 50,
        source_id: 4,
        ..Default::default()
    })
}

fn patch(stamp: Option<u64>, partition: Option<i64>) -> Patch<'static> {
    Patch {
        vchannel: "t_0_70v0",
        database: "there",
        collection: "renamed",
        collection_id: CollectionId(70),
        partition_id: partition.map(PartitionId),
        stamp: stamp.map(Timestamp),
        msg_id: None,
    }
}

#[test]
fn a_dropped_collection_gets_its_target_names_and_stamp() {
    let original = DropCollectionRequest {
        base: base(MsgType::DropCollection),
        db_name: String::new(),
        collection_name: "here".into(),
        db_id: 1,
        collection_id: 7,
    };
    let Read::DropCollection(ddl) = decode(original.encode_to_vec().into()).unwrap() else {
        panic!("another type");
    };
    assert_eq!((ddl.msg_id, ddl.timestamp), (3, Timestamp(50)));
    assert_eq!((ddl.collection.as_str(), ddl.collection_id), ("here", CollectionId(7)));
    let raw = splice_ddl(&ddl, &patch(Some(60), None)).to_bytes();
    let mut expected = DropCollectionRequest {
        db_name: "there".into(),
        collection_name: "renamed".into(),
        collection_id: 70,
        ..original
    };
    expected.base.as_mut().unwrap().timestamp = 60;
    assert_eq!(DropCollectionRequest::decode(raw).unwrap(), expected);
    let raw = splice_ddl(&ddl, &patch(None, None)).to_bytes();
    assert_eq!(DropCollectionRequest::decode(raw).unwrap().base.unwrap().timestamp, 50);
}

#[test]
fn a_dropped_partition_keeps_its_name_and_what_is_unknown() {
    let original = DropPartitionRequest {
        base: base(MsgType::DropPartition),
        db_name: "here".into(),
        collection_name: "old".into(),
        partition_name: "p".into(),
        db_id: 1,
        collection_id: 7,
        partition_id: 8,
    };
    let unknown = [0xFA, 0x01, 1, b'?'];
    let raw = [original.encode_to_vec(), unknown.to_vec()].concat();
    let Read::DropPartition(ddl) = decode(raw.into()).unwrap() else { panic!("another type") };
    assert_eq!((ddl.partition.as_str(), ddl.partition_id), ("p", PartitionId(8)));
    let raw = splice_ddl(&ddl, &patch(None, Some(80))).to_bytes();
    assert!(raw.ends_with(&unknown));
    let expected = DropPartitionRequest {
        db_name: "there".into(),
        collection_name: "renamed".into(),
        collection_id: 70,
        partition_id: 80,
        ..original
    };
    assert_eq!(DropPartitionRequest::decode(raw).unwrap(), expected);
    let raw = splice_ddl(&ddl, &patch(None, None)).to_bytes();
    assert_eq!(DropPartitionRequest::decode(raw).unwrap().partition_id, 8);
}

#[test]
fn a_created_collection_keeps_its_schema_and_channels() {
    let original = CreateCollectionRequest {
        base: base(MsgType::CreateCollection),
        db_name: "here".into(),
        collection_name: "old".into(),
        partition_name: "_default".into(),
        db_id: 1,
        collection_id: 7,
        partition_id: 8,
        schema: vec![1, 2, 3],
        virtual_channel_names: vec!["s_0_7v0".into()],
        physical_channel_names: vec!["s_0".into()],
        ..Default::default()
    };
    let Read::CreateCollection(ddl) = decode(original.encode_to_vec().into()).unwrap() else {
        panic!("another type");
    };
    assert_eq!((ddl.partition.as_str(), ddl.partition_id), ("", PartitionId(0)));
    let raw = splice_ddl(&ddl, &patch(None, Some(80))).to_bytes();
    let expected = CreateCollectionRequest {
        db_name: "there".into(),
        collection_name: "renamed".into(),
        collection_id: 70,
        ..original
    };
    assert_eq!(CreateCollectionRequest::decode(raw).unwrap(), expected);
}

#[test]
fn a_ddl_that_was_never_decoded_becomes_nothing() {
    let ddl = DdlMessage {
        msg_id: 1,
        timestamp: Timestamp(2),
        database: String::new(),
        collection: "c".into(),
        partition: String::new(),
        collection_id: CollectionId(7),
        partition_id: PartitionId(0),
        raw: Bytes::from_static(b"\x0a\xff"),
    };
    assert!(splice_ddl(&ddl, &patch(None, None)).is_empty());
}

#[test]
fn a_message_says_its_timestamp_and_how_many_bytes_of_the_queue_it_keeps() {
    let drop = DropPartitionRequest { base: base(MsgType::DropPartition), ..Default::default() };
    let raw = drop.encode_to_vec();
    let read = decode(raw.clone().into()).unwrap();
    assert_eq!((read.timestamp(), read.size()), (Timestamp(50), raw.len()));
    let mut import = ImportMsg { base: base(MsgType::Import), ..Default::default() };
    for number in [MsgType::Import.into(), MsgType::TimeTick.into(), 31_337] {
        import.base.as_mut().unwrap().msg_type = number;
        let read = decode(import.encode_to_vec().into()).unwrap();
        assert_eq!((read.timestamp(), read.size()), (Timestamp(50), 0));
    }
    let insert = InsertRequest {
        base: base(MsgType::Insert),
        shard_name: "s_0_7v0".into(),
        timestamps: vec![70, 90, 80],
        ..Default::default()
    };
    let raw = insert.encode_to_vec();
    let read = decode(raw.clone().into()).unwrap();
    assert_eq!((read.timestamp(), read.size()), (Timestamp(90), raw.len()));
}

#[test]
fn imports_and_unknown_types_are_told_apart() {
    let import = ImportMsg {
        base: base(MsgType::Import),
        collection_name: "c".into(),
        collection_id: 7,
        ..Default::default()
    };
    assert!(matches!(
        decode(import.encode_to_vec().into()).unwrap(),
        Read::Import { timestamp: Timestamp(50), collection_id: CollectionId(7), collection }
            if collection == "c"
    ));
    let mut other = import;
    for number in [1212, 31_337] {
        other.base.as_mut().unwrap().msg_type = number;
        let read = decode(other.encode_to_vec().into()).unwrap();
        assert!(matches!(read, Read::Other(n, Timestamp(50)) if n == number));
    }
}
