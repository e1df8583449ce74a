//! Tests rows from columns: every type, nulls, and columns that do not fit. Never through a real
//! Milvus.

use bytes::Bytes;
use milvus_wire::columns::{Keys, Rows, Value};
use milvus_wire::ids::{CollectionId, PartitionId};
use milvus_wire::message::{DecodeError, RowKind, RowMessage};
use milvus_wire::proto::msg::{DeleteRequest, InsertRequest};
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::i_ds::IdField;
use milvus_wire::proto::schema::scalar_field::Data as Scalars;
use milvus_wire::proto::schema::vector_field::Data as Vectors;
use milvus_wire::proto::schema::{
    FieldData, FloatArray, IDs, LongArray, ScalarField, SparseFloatArray, StringArray, VectorField,
};
use milvus_wire::timestamp::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

fn message(kind: RowKind, raw: Bytes) -> RowMessage {
    RowMessage {
        kind,
        msg_id: 1,
        timestamp: Timestamp(1),
        vchannel: "c_0_7v0".into(),
        database: String::new(),
        collection: String::new(),
        partition: String::new(),
        collection_id: CollectionId(7),
        partition_id: PartitionId(8),
        rows: 1,
        raw,
    }
}

fn scalars(field_id: i64, data: Scalars, valid: &[bool]) -> FieldData {
    FieldData {
        field_id,
        field_name: format!("f{field_id}"),
        field: Some(Field::Scalars(ScalarField { data: Some(data), ..Default::default() })),
        valid_data: valid.to_vec(),
        ..Default::default()
    }
}

fn vectors(field_id: i64, dim: i64, data: Vectors) -> FieldData {
    FieldData {
        field_id,
        field: Some(Field::Vectors(VectorField { dim, data: Some(data), ..Default::default() })),
        ..Default::default()
    }
}

fn insert(rows: usize, fields_data: Vec<FieldData>) -> Result<Rows, DecodeError> {
    let request = InsertRequest {
        timestamps: vec![5; rows],
        num_rows: rows as u64,
        fields_data,
        ..Default::default()
    };
    Rows::of(&message(RowKind::Insert, request.encode_to_vec().into()))
}

fn longs(data: &[i64]) -> Scalars {
    Scalars::LongData(LongArray { data: data.to_vec() })
}

#[test]
fn nulls_may_have_placeholders_or_none() {
    let valid = [true, false, true];
    for values in [longs(&[1, 0, 3]), longs(&[1, 3])] {
        let rows = insert(3, vec![scalars(100, values, &valid)]).unwrap();
        let read: Vec<_> = (0..3).map(|row| rows.columns[0].value(row)).collect();
        assert_eq!(read, [Value::Int(1), Value::Null, Value::Int(3)]);
        assert_eq!(rows.columns[0].value(3), Value::Null);
    }
}

/// With the values of a column or beside them.
#[test]
fn nulls_may_be_told_of_in_either_place() {
    let mut column = scalars(100, longs(&[1, 3]), &[]);
    let Some(Field::Scalars(values)) = &mut column.field else { panic!() };
    values.valid_data = vec![true, false, true];
    let floats = Vectors::FloatVector(FloatArray { data: vec![1.0, 2.0, 3.0, 4.0] });
    let mut vector = vectors(101, 2, floats);
    let beside = FieldData { valid_data: vec![true, false, true], ..vector.clone() };
    let Some(Field::Vectors(values)) = &mut vector.field else { panic!() };
    values.valid_data = vec![true, false, true];
    let rows = insert(3, vec![column, vector, FieldData { field_id: 102, ..beside }]).unwrap();
    let of = |field: i64| {
        let column = rows.column(field).unwrap();
        [0, 1, 2].map(|row| column.value(row))
    };
    assert_eq!(of(100), [Value::Int(1), Value::Null, Value::Int(3)]);
    let there = [Value::FloatVector(&[1.0, 2.0]), Value::Null, Value::FloatVector(&[3.0, 4.0])];
    assert_eq!(of(101), there);
    assert_eq!(of(102), there);
}

#[test]
fn milvuss_own_columns_are_left_out_and_the_others_keep_their_order() {
    let columns = [0, 1, 101, 100].map(|field| scalars(field, longs(&[field, field]), &[]));
    let rows = insert(2, columns.into()).unwrap();
    let left: Vec<_> = rows.columns.iter().map(|c| (c.field_id, c.value(1))).collect();
    assert_eq!(left, [(101, Value::Int(101)), (100, Value::Int(100))]);
}

#[test]
fn vectors_are_cut_by_their_dimension() {
    let floats = Vectors::FloatVector(FloatArray { data: vec![1.0, 2.0, 3.0, 4.0] });
    let sparse: Vec<u8> = [&2_u32.to_le_bytes()[..], &0.5_f32.to_le_bytes()].concat();
    let rows = insert(
        2,
        vec![
            vectors(100, 2, floats),
            vectors(101, 16, Vectors::BinaryVector(vec![1, 2, 3, 4])),
            vectors(102, 1, Vectors::Float16Vector(vec![1, 2, 3, 4])),
            vectors(104, 1, Vectors::Bfloat16Vector(vec![1, 2, 3, 4])),
            vectors(105, 2, Vectors::Int8Vector(vec![1, 2, 3, 4])),
            vectors(
                103,
                3,
                Vectors::SparseFloatVector(SparseFloatArray {
                    contents: vec![sparse.clone(), vec![]],
                    dim: 3,
                }),
            ),
        ],
    )
    .unwrap();
    let of = |field: i64, row| rows.column(field).unwrap().value(row);
    assert_eq!(of(100, 1), Value::FloatVector(&[3.0, 4.0]));
    assert_eq!(of(101, 1), Value::PackedVector(&[3, 4]));
    assert_eq!(of(102, 0), Value::PackedVector(&[1, 2]));
    assert_eq!(of(104, 1), Value::PackedVector(&[3, 4]));
    assert_eq!(of(105, 1), Value::Int8Vector(&[3, 4]));
    assert_eq!(of(103, 0), Value::SparseVector(&sparse));
    assert_eq!(Value::sparse_pairs(&sparse).collect::<Vec<_>>(), [(2, 0.5)]);
    assert_eq!(of(103, 1), Value::SparseVector(&[]));
}

#[test]
fn a_column_that_does_not_fit_its_rows_is_an_error() {
    let is_refused = |column: FieldData| insert(2, vec![column]).is_err();
    assert!(is_refused(scalars(100, longs(&[1]), &[])));
    assert!(is_refused(scalars(100, longs(&[1, 2]), &[true])));
    assert!(is_refused(scalars(100, longs(&[1, 2, 3]), &[true, false])));
    assert!(is_refused(vectors(100, 2, Vectors::FloatVector(FloatArray { data: vec![1.0] }))));
    assert!(is_refused(vectors(100, 0, Vectors::BinaryVector(vec![1]))));
    assert!(is_refused(vectors(100, -1, Vectors::BinaryVector(vec![1]))));
    let contents = vec![vec![1; 7], vec![]];
    let sparse = Vectors::SparseFloatVector(SparseFloatArray { contents, dim: 1 });
    assert!(is_refused(vectors(100, 0, sparse)));
    assert!(is_refused(FieldData { field_id: 100, ..Default::default() }));
    assert!(insert(2, vec![]).is_err());
}

#[test]
fn the_keys_of_a_delete_may_be_in_the_old_place() {
    let old = DeleteRequest {
        int64_primary_keys: vec![4, 5],
        timestamps: vec![9, 9],
        ..Default::default()
    };
    let text = StringArray { data: vec!["a".into(), "b".into()] };
    let new = DeleteRequest {
        primary_keys: Some(IDs { id_field: Some(IdField::StrId(text)) }),
        timestamps: vec![9, 9],
        ..Default::default()
    };
    let read = |request: &DeleteRequest| {
        Keys::of(&message(RowKind::Delete, request.encode_to_vec().into()))
    };
    assert_eq!(read(&old).unwrap().value(1), Value::Int(5));
    assert_eq!(read(&new).unwrap().value(1), Value::Text("b"));
    assert_eq!(read(&new).unwrap().value(2), Value::Null);
    let short = DeleteRequest { timestamps: vec![9], ..old };
    assert!(read(&short).is_err());
}

proptest! {
    #[test]
    fn hostile_bytes_are_an_error_or_rows_and_never_a_panic(
        raw in vec(any::<u8>(), 0..300),
        rows in 0..5_usize,
        dim in -2..20_i64,
        values in vec(any::<u8>(), 0..50),
        valid in vec(any::<bool>(), 0..5),
    ) {
        for kind in [RowKind::Insert, RowKind::Delete] {
            let message = message(kind, raw.clone().into());
            let _ = (Rows::of(&message), Keys::of(&message));
        }
        let floats = FloatArray { data: values.iter().map(|v| f32::from(*v)).collect() };
        let contents = values.chunks(8).map(<[u8]>::to_vec).collect();
        let sparse = SparseFloatArray { contents, dim };
        let long = longs(&values.iter().map(|v| i64::from(*v)).collect::<Vec<_>>());
        for column in [
            scalars(100, long, &valid),
            vectors(100, dim, Vectors::FloatVector(floats)),
            vectors(100, dim, Vectors::BinaryVector(values.clone())),
            vectors(100, dim, Vectors::Bfloat16Vector(values.clone())),
            vectors(100, dim, Vectors::Int8Vector(values)),
            vectors(100, dim, Vectors::SparseFloatVector(sparse)),
        ] {
            let column = FieldData { valid_data: valid.clone(), ..column };
            if let Ok(read) = insert(rows, vec![column]) {
                prop_assert_eq!(read.stamps.len(), rows);
                for row in 0..=rows {
                    let is_valid = valid.is_empty() || valid.get(row) == Some(&true);
                    let is_there = row < rows && is_valid;
                    prop_assert_eq!(read.columns[0].value(row) != Value::Null, is_there);
                }
            }
        }
    }
}
