//! Sample changes for the tests of the formats. Never used outside of tests.

use bytes::Bytes;
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::message::decode;
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg::{DeleteRequest, DropCollectionRequest, InsertRequest};
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::i_ds::IdField;
use milvus_wire::proto::schema::scalar_field::Data as Scalars;
use milvus_wire::proto::schema::vector_field::Data as Vectors;
use milvus_wire::proto::schema::{
    FieldData, FloatArray, IDs, JsonArray, LongArray, ScalarField, VectorField,
};
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use replication::message::Entry;
use replication::message::Read;
use replication::message::{Place, Routed};
use std::sync::Arc;

/// `1000 << 18`: one second after 1970.
pub(super) const TT: u64 = 262_144_000;

fn base(kind: MsgType, timestamp: u64) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind.into(), msg_id: 3, timestamp, ..Default::default() })
}

fn scalars(field_id: i64, name: &str, data: Scalars) -> FieldData {
    FieldData {
        field_id,
        field_name: name.into(),
        field: Some(Field::Scalars(ScalarField { data: Some(data), ..Default::default() })),
        ..Default::default()
    }
}

/// Rows with an integer key, a nullable number, a vector of two dimensions and a dynamic field.
pub(super) fn insert(keys: &[i64], at: u64) -> InsertRequest {
    let rows = keys.len();
    let vector = VectorField {
        dim: 2,
        data: Some(Vectors::FloatVector(FloatArray { data: [0.5, -1.0].repeat(rows) })),
        ..Default::default()
    };
    let json = (0..rows).map(|row| format!("{{\"n\": {row}}}").into_bytes()).collect();
    let mut nullable = scalars(102, "age", Scalars::LongData(LongArray { data: keys.to_vec() }));
    nullable.valid_data = keys.iter().map(|key| key % 2 == 0).collect();
    InsertRequest {
        base: base(MsgType::Insert, at),
        shard_name: "dml_3_7v1".into(),
        db_name: "default".into(),
        collection_name: "books".into(),
        partition_name: "_default".into(),
        collection_id: 7,
        partition_id: 8,
        timestamps: vec![at; rows],
        num_rows: rows as u64,
        fields_data: vec![
            scalars(100, "id", Scalars::LongData(LongArray { data: keys.to_vec() })),
            FieldData {
                field_id: 101,
                field_name: "vec".into(),
                field: Some(Field::Vectors(vector)),
                ..Default::default()
            },
            nullable,
            scalars(103, "$meta", Scalars::JsonData(JsonArray { data: json })),
        ],
        ..Default::default()
    }
}

/// A delete of keys in all partitions.
pub(super) fn delete(keys: &[i64], at: u64) -> DeleteRequest {
    DeleteRequest {
        base: base(MsgType::Delete, at),
        shard_name: "dml_3_7v1".into(),
        collection_name: "books".into(),
        collection_id: 7,
        partition_id: -1,
        timestamps: vec![at; keys.len()],
        num_rows: keys.len() as i64,
        primary_keys: Some(IDs { id_field: Some(IdField::IntId(LongArray { data: keys.into() })) }),
        ..Default::default()
    }
}

pub(super) fn drop_collection(at: u64) -> DropCollectionRequest {
    DropCollectionRequest {
        base: base(MsgType::DropCollection, at),
        collection_name: "books".into(),
        collection_id: 7,
        ..Default::default()
    }
}

/// A message of the channel `dml_3`, of a collection that is `shop.titles` in the sink.
pub(super) fn routed(message: &impl Message, seq: u64) -> Routed {
    routed_raw(message.encode_to_vec().into(), seq)
}

pub(super) fn routed_raw(raw: Bytes, seq: u64) -> Routed {
    let place = Place {
        name: CollectionName::new("shop", "titles"),
        id: CollectionId(7),
        vchannels: vec!["dml_2_7v0".into(), "dml_3_7v1".into()],
        lanes: vec!["dml_2".into(), "dml_3".into()],
        primary_key: 100,
        key_name: "id".into(),
    };
    let entry = Entry {
        seq,
        id: MessageId(Bytes::copy_from_slice(&seq.to_le_bytes())),
        order: Timestamp(1),
        message: decode(raw).unwrap(),
    };
    let read = Read { channel: "dml_3".into(), entry };
    Routed { read, place: Arc::new(place), shard: 1, partition: None }
}
