//! Tests malformed bytes: they are an error, never a panic.

use crate::everything::read;
use crate::records::{PCHANNELS, VCHANNELS, collection_record};
use crate::samples::{delete, insert};
use bytes::Bytes;
use milvus_wire::fence::primary_keys;
use milvus_wire::message::{DecodeError, Message as Read, decode};
use milvus_wire::op;
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::milvus::FlushRequest;
use milvus_wire::proto::msg::InsertRequest;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;

/// What a fault of a disk or a network, or malice, does to a message.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Cut(Index),
    Insert(Index, u8),
    Remove(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => any::<(Index, u8)>().prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => any::<Index>().prop_map(Damage::Cut),
        2 => any::<(Index, u8)>().prop_map(|(at, byte)| Damage::Insert(at, byte)),
        2 => any::<Index>().prop_map(Damage::Remove),
    ]
}

fn damaged(mut raw: Vec<u8>, damages: Vec<Damage>) -> Vec<u8> {
    for damage in damages {
        if raw.is_empty() {
            break;
        }
        let len = raw.len();
        match damage {
            Damage::Set(at, byte) => raw[at.index(len)] = byte,
            Damage::Cut(at) => raw.truncate(at.index(len)),
            Damage::Insert(at, byte) => raw.insert(at.index(len), byte),
            Damage::Remove(at) => drop(raw.remove(at.index(len))),
        }
    }
    raw
}

fn header(kind: MsgType) -> Vec<u8> {
    let base = Some(MsgBase { msg_type: kind.into(), ..Default::default() });
    let shard_name = "dml_0_1v0".into();
    InsertRequest { base, shard_name, timestamps: vec![1], ..Default::default() }.encode_to_vec()
}

/// Every type that is looked into.
const KINDS: [MsgType; 17] = [
    MsgType::Insert,
    MsgType::Delete,
    MsgType::TimeTick,
    MsgType::CreateCollection,
    MsgType::DropCollection,
    MsgType::CreatePartition,
    MsgType::DropPartition,
    MsgType::Import,
    MsgType::CreateDatabase,
    MsgType::DropDatabase,
    MsgType::CreateIndex,
    MsgType::DropIndex,
    MsgType::LoadCollection,
    MsgType::ReleaseCollection,
    MsgType::LoadPartitions,
    MsgType::ReleasePartitions,
    MsgType::Flush,
];

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_good_header_are_survived(
        kind in prop::sample::select(&KINDS[..]),
        bytes in vec(any::<u8>(), 0..100),
    ) {
        read(&[header(kind), bytes].concat());
    }

    #[test]
    fn a_damaged_insert_is_survived(insert in insert(), damages in vec(damage(), 1..6)) {
        read(&damaged(insert.encode_to_vec(), damages));
    }

    #[test]
    fn a_damaged_delete_is_survived(delete in delete(), damages in vec(damage(), 1..6)) {
        read(&damaged(delete.encode_to_vec(), damages));
    }

    #[test]
    fn a_damaged_request_is_survived(
        kind in prop::sample::select(&KINDS[..]),
        damages in vec(damage(), 1..6),
    ) {
        let base = Some(MsgBase { msg_type: kind.into(), ..Default::default() });
        let collection_names = vec!["a".into(), "b".into()];
        let request = FlushRequest { base, db_name: "d".into(), collection_names };
        read(&damaged(request.encode_to_vec(), damages));
    }

    #[test]
    fn a_damaged_record_is_survived(damages in vec(damage(), 1..6)) {
        read(&damaged(collection_record(&VCHANNELS, &PCHANNELS, 0), damages));
    }
}

/// A field that claims 2 GiB and has three bytes.
fn claim(field: u8) -> Vec<u8> {
    vec![field << 3 | 2, 0x80, 0x80, 0x80, 0x80, 0x08, 1, 2, 3]
}

#[test]
fn a_length_beyond_the_message_is_an_error_in_every_field() {
    for kind in KINDS {
        for field in 1..=15 {
            let raw = [header(kind), claim(field)].concat();
            read(&raw);
            assert!(
                matches!(decode(raw.clone().into()), Err(DecodeError::CutOff { .. })),
                "{kind:?} {field}"
            );
            assert!(matches!(op::decode(&raw), Err(DecodeError::CutOff { .. })));
        }
    }
}

#[test]
fn a_length_beyond_the_column_is_an_error() {
    for inner in [claim(3), claim(7), [vec![0x28, 100, 0x1A, 9], claim(3)].concat()] {
        let column = [vec![13 << 3 | 2, inner.len() as u8], inner].concat();
        let raw = Bytes::from([header(MsgType::Insert), column].concat());
        let Ok(Read::Row(row)) = decode(raw) else { panic!("decoding does not look inside") };
        assert!(matches!(primary_keys(&row, 100), Err(DecodeError::CutOff { .. })));
    }
}

#[test]
fn a_header_larger_than_any_of_milvus_is_an_error() {
    let properties = [("k".to_owned(), "v".repeat(1 << 20))].into();
    let base = Some(MsgBase { properties, ..Default::default() });
    let raw = InsertRequest { base, ..Default::default() }.encode_to_vec();
    assert!(matches!(decode(raw.into()), Err(DecodeError::HeaderTooLarge { .. })));
    assert!(matches!(decode(Bytes::new()), Err(DecodeError::Missing { .. })));
}
