//! Tests decoding Milvus's records in etcd, which are encoded here by Milvus's field numbers. Never
//! uses the crate's own types to encode them.

use milvus_wire::DecodeError;
use milvus_wire::catalog::{
    Collection, Partition, State, TOMBSTONE, assemble, decode_collection, decode_database,
    decode_field, decode_function, decode_partition,
};
use milvus_wire::ids::{CollectionId, DatabaseId, PartitionId};
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::{KeyDataPair, KeyValuePair};
use milvus_wire::proto::schema::{CollectionSchema, DataType, FieldSchema, FunctionSchema};
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use prost::encoding::{int32, int64, message, string, uint64};

pub(crate) fn collection_record(vchannels: &[&str], pchannels: &[&str], state: i32) -> Vec<u8> {
    let mut raw = Vec::new();
    int64::encode(1, &7, &mut raw);
    let schema = CollectionSchema { name: "c".into(), ..Default::default() };
    message::encode(2, &schema, &mut raw);
    uint64::encode(3, &99, &mut raw);
    for vchannel in vchannels {
        string::encode(7, &(*vchannel).to_owned(), &mut raw);
    }
    for pchannel in pchannels {
        string::encode(8, &(*pchannel).to_owned(), &mut raw);
        let position = KeyDataPair { key: (*pchannel).to_owned(), data: vec![1, 2] };
        message::encode(11, &position, &mut raw);
    }
    int32::encode(10, &2, &mut raw);
    int32::encode(12, &3, &mut raw);
    int32::encode(13, &state, &mut raw);
    let property = KeyValuePair { key: "collection.ttl.seconds".into(), value: "9".into() };
    message::encode(14, &property, &mut raw);
    raw
}

fn decode(raw: &[u8]) -> Result<Option<Collection>, DecodeError> {
    decode_collection(DatabaseId(2), CollectionId(7), raw)
}

pub(crate) const VCHANNELS: [&str; 2] = ["dml_10_7v0", "dml_9_7v1"];
pub(crate) const PCHANNELS: [&str; 2] = ["dml_10", "dml_9"];

#[test]
fn a_collection_is_read_with_its_shards_in_order() {
    let collection = decode(&collection_record(&VCHANNELS, &PCHANNELS, 2)).unwrap().unwrap();
    assert_eq!((collection.id, collection.database_id), (CollectionId(7), DatabaseId(2)));
    assert_eq!((collection.name(), collection.state), ("c", State::Dropping));
    assert_eq!(collection.created, Timestamp(99));
    assert_eq!(collection.vchannels, VCHANNELS);
    assert_eq!(collection.pchannels, PCHANNELS);
    assert_eq!(collection.start_positions["dml_9"], MessageId(vec![1, 2].into()));
    assert_eq!(collection.consistency_level, 3);
    assert_eq!(collection.properties[0].key, "collection.ttl.seconds");
}

#[test]
fn shards_out_of_order_break_invariant_i4_by_name() {
    let raw = collection_record(&["dml_9_7v1", "dml_10_7v0"], &["dml_9", "dml_10"], 0);
    let error = decode(&raw).unwrap_err();
    assert!(error.to_string().starts_with("invariant I4"), "{error}");
    let raw = collection_record(&VCHANNELS, &["dml_10"], 0);
    assert!(matches!(decode(&raw), Err(DecodeError::PhysicalChannel { .. })));
}

#[test]
fn a_record_of_another_collection_or_state_is_an_error() {
    let raw = collection_record(&VCHANNELS, &PCHANNELS, 4);
    assert!(matches!(decode(&raw), Err(DecodeError::OutOfRange { value: 4, .. })));
    let raw = collection_record(&VCHANNELS, &PCHANNELS, 0);
    assert!(decode_collection(DatabaseId(2), CollectionId(8), &raw).is_err());
}

#[test]
fn a_tombstone_is_nothing() {
    assert_eq!(decode(&TOMBSTONE), Ok(None));
    assert_eq!(decode_partition(&TOMBSTONE), Ok(None));
    assert_eq!(decode_database(&TOMBSTONE), Ok(None));
    assert_eq!(decode_field(&TOMBSTONE), Ok(None));
    assert_eq!(decode_function(&TOMBSTONE), Ok(None));
}

fn field(field_id: i64, name: &str) -> FieldSchema {
    FieldSchema { field_id, name: name.into(), ..Default::default() }
}

#[test]
fn a_schema_is_assembled_from_its_records() {
    let collection = decode(&collection_record(&VCHANNELS, &PCHANNELS, 0)).unwrap().unwrap();
    let key = FieldSchema {
        is_primary_key: true,
        auto_id: true,
        description: "the key".into(),
        data_type: DataType::VarChar.into(),
        type_params: vec![KeyValuePair { key: "max_length".into(), value: "64".into() }],
        ..field(100, "key")
    };
    let key = decode_field(&key.encode_to_vec()).unwrap().unwrap();
    let fields = vec![
        field(102, "$meta"),
        field(101, "vector"),
        field(1, "Timestamp"),
        key.clone(),
        field(0, "RowID"),
    ];
    let function = FunctionSchema { name: "bm25".into(), id: 1, ..Default::default() };
    let function = decode_function(&function.encode_to_vec()).unwrap().unwrap();
    let schema = assemble(collection.clone(), fields, vec![function.clone()]).unwrap().schema;
    assert!(schema.enable_dynamic_field);
    assert_eq!(schema.fields, [key.clone(), field(101, "vector")]);
    assert_eq!(schema.functions, [function]);
    let schema = assemble(collection.clone(), vec![key], vec![]).unwrap().schema;
    assert!(!schema.enable_dynamic_field);
    let nothing = assemble(collection, vec![field(0, "RowID")], vec![]);
    assert!(matches!(nothing, Err(DecodeError::Missing { what: "fields", .. })));
}

#[test]
fn partitions_and_databases_are_read() {
    let mut raw = Vec::new();
    int64::encode(1, &8, &mut raw);
    string::encode(2, &"p".to_owned(), &mut raw);
    uint64::encode(3, &55, &mut raw);
    int64::encode(4, &7, &mut raw);
    int32::encode(5, &3, &mut raw);
    let expected = Partition {
        id: PartitionId(8),
        collection: CollectionId(7),
        name: "p".into(),
        created: Timestamp(55),
        state: State::Dropped,
    };
    assert_eq!(decode_partition(&raw).unwrap().unwrap(), expected);
    let mut raw = Vec::new();
    string::encode(1, &"tenant".to_owned(), &mut raw);
    string::encode(2, &"d".to_owned(), &mut raw);
    int64::encode(3, &2, &mut raw);
    uint64::encode(5, &44, &mut raw);
    let database = decode_database(&raw).unwrap().unwrap();
    assert_eq!((database.id, database.name.as_str()), (DatabaseId(2), "d"));
    assert_eq!(database.created, Timestamp(44));
}
