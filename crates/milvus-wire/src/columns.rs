//! The rows of an insert, which are in its columns, and the keys of a delete.
//! Never guesses: a column whose length does not fit is an error.

use crate::catalog::{DYNAMIC_FIELD, FIRST_USER_FIELD};
use crate::error::DecodeError;
use crate::message::RowMessage;
use crate::proto::msg::{DeleteRequest, InsertRequest};
use crate::proto::schema::field_data::Field;
use crate::proto::schema::i_ds::IdField;
use crate::proto::schema::scalar_field::Data as Scalars;
use crate::proto::schema::vector_field::Data as Vectors;
use crate::proto::schema::{DataType, FieldData, ScalarField, VectorField};
use crate::timestamp::Timestamp;
use prost::Message;

/// Bits of a binary vector's byte.
const BYTE_BITS: usize = 8;

/// A sparse vector is pairs of an index and a value, four bytes each, little endian.
const SPARSE_PAIR: usize = 8;

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// The row has no value in this nullable field.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of any width, or a time in microseconds.
    Int(i64),
    /// A float of four bytes.
    Float(f32),
    /// A float of eight bytes.
    Double(f64),
    /// Text.
    Text(&'a str),
    /// JSON as the source has it; not checked yet.
    Json(&'a [u8]),
    /// Bytes that only Milvus can interpret, such as a geometry.
    Bytes(&'a [u8]),
    /// An array of scalars.
    Array(&'a ScalarField),
    /// A vector of floats.
    FloatVector(&'a [f32]),
    /// A vector of signed bytes.
    Int8Vector(&'a [u8]),
    /// A binary vector, or one of floats of two bytes, little endian.
    PackedVector(&'a [u8]),
    /// Pairs of a `u32` and an `f32`, little endian.
    SparseVector(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The pairs of a sparse vector.
    pub fn sparse_pairs(bytes: &'a [u8]) -> impl Iterator<Item = (u32, f32)> + 'a {
        bytes.as_chunks::<SPARSE_PAIR>().0.iter().map(|&[a, b, c, d, e, f, g, h]| {
            (u32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h]))
        })
    }
}

/// A field of an insert, a value for each row.
#[derive(Clone, Debug)]
pub struct Column {
    /// The field's name.
    pub name: String,
    /// The field's id.
    pub field_id: i64,
    field: Field,
    /// How many entries of `field` belong to one row of a dense vector.
    width: usize,
    /// The index of each row's value, `None` for a null; empty if the index is the row's number.
    places: Vec<Option<usize>>,
}

/// The rows of an insert.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The columns, without Milvus's own fields.
    pub columns: Vec<Column>,
    /// A timestamp for each row.
    pub stamps: Vec<Timestamp>,
}

impl Rows {
    /// Reads an insert.
    pub fn of(insert: &RowMessage) -> Result<Self, DecodeError> {
        let request = InsertRequest::decode(insert.raw.clone())
            .map_err(DecodeError::protobuf("an insert"))?;
        let rows = request.timestamps.len();
        if request.num_rows != 0 && request.num_rows != rows as u64 {
            return Err(DecodeError::RowCount { field: 0, values: rows, rows: insert.rows });
        }
        if request.fields_data.is_empty() {
            // Row-based inserts, from before 2.0: only the schema of that time describes them.
            return Err(DecodeError::Missing { message: "an insert", what: "columns" });
        }
        let users = request.fields_data.into_iter().filter(|c| c.field_id >= FIRST_USER_FIELD);
        let columns = users.map(|column| Column::of(column, rows)).collect::<Result<_, _>>()?;
        Ok(Self { columns, stamps: request.timestamps.into_iter().map(Timestamp).collect() })
    }

    /// The column of a field.
    pub fn column(&self, field_id: i64) -> Option<&Column> {
        self.columns.iter().find(|column| column.field_id == field_id)
    }
}

impl Column {
    fn of(data: FieldData, rows: usize) -> Result<Self, DecodeError> {
        let unlike =
            |values| DecodeError::RowCount { field: data.field_id, values, rows: rows as u64 };
        let field =
            data.field.ok_or(DecodeError::Missing { message: "a column", what: "values" })?;
        let own = match &field {
            Field::Scalars(scalars) => &scalars.valid_data,
            Field::Vectors(vectors) => &vectors.valid_data,
            Field::StructArrays(_) => &data.valid_data,
        };
        let valid = if own.is_empty() { &data.valid_data } else { own };
        if !valid.is_empty() && valid.len() != rows {
            return Err(unlike(valid.len()));
        }
        let there = if valid.is_empty() { rows } else { valid.iter().filter(|v| **v).count() };
        let (values, width) = extent(&field, rows, there)?;
        // A null may have a placeholder or not.
        let places = match valid.is_empty() {
            true if values == rows => Vec::new(),
            false if values == rows => places(valid, |row, _| row),
            false if values == there => places(valid, |_, place| place),
            _ => return Err(unlike(values)),
        };
        let is_dynamic = data.is_dynamic && data.field_name.is_empty();
        let name = if is_dynamic { DYNAMIC_FIELD.to_owned() } else { data.field_name };
        Ok(Self { name, field_id: data.field_id, field, width, places })
    }

    /// The value of a row, counted from zero; null if there is no such row.
    pub fn value(&self, row: usize) -> Value<'_> {
        let place = match self.places.is_empty() {
            true => Some(row),
            false => self.places.get(row).copied().flatten(),
        };
        let value = place.and_then(|place| match &self.field {
            Field::Scalars(scalars) => scalar(scalars, place),
            Field::Vectors(vectors) => vector(vectors, place, self.width),
            Field::StructArrays(_) => None,
        });
        value.unwrap_or(Value::Null)
    }
}

fn places(valid: &[bool], place: impl Fn(usize, usize) -> usize) -> Vec<Option<usize>> {
    let mut before = 0;
    let of = |(row, valid): (usize, &bool)| {
        let place = valid.then(|| place(row, before));
        before += usize::from(*valid);
        place
    };
    valid.iter().enumerate().map(of).collect()
}

/// How many values a column has, and how many entries of the array each one takes.
fn extent(field: &Field, rows: usize, there: usize) -> Result<(usize, usize), DecodeError> {
    let missing = DecodeError::Missing { message: "a column", what: "values" };
    let unreadable = |kind: DataType| DecodeError::OutOfRange {
        what: "the type of a column",
        value: kind as i64,
    };
    match field {
        Field::Scalars(scalars) => match &scalars.data {
            Some(data) => length(data).map(|n| (n, 1)).ok_or_else(|| unreadable(DataType::Mol)),
            // Protobuf may write a column of nulls without placeholders as an empty oneof.
            None if there == 0 => Ok((0, 1)),
            None => Err(missing),
        },
        Field::Vectors(vectors) => {
            let dim = usize::try_from(vectors.dim).map_err(|_| DecodeError::OutOfRange {
                what: "a vector's dimension",
                value: vectors.dim,
            })?;
            let dense = |len: usize, width: usize| match len.checked_rem(width) {
                Some(0) => Ok((len / width, width)),
                None if len == 0 && there == 0 => Ok((0, 1)),
                _ => Err(DecodeError::RowCount { field: 0, values: len, rows: rows as u64 }),
            };
            match &vectors.data {
                Some(Vectors::FloatVector(floats)) => dense(floats.data.len(), dim),
                Some(Vectors::BinaryVector(bytes)) => dense(bytes.len(), dim / BYTE_BITS),
                Some(Vectors::Float16Vector(bytes) | Vectors::Bfloat16Vector(bytes)) => {
                    dense(bytes.len(), dim.saturating_mul(2))
                }
                Some(Vectors::Int8Vector(bytes)) => dense(bytes.len(), dim),
                Some(Vectors::SparseFloatVector(sparse)) => {
                    match sparse.contents.iter().find(|bytes| bytes.len() % SPARSE_PAIR != 0) {
                        Some(odd) => Err(DecodeError::OutOfRange {
                            what: "the length of a sparse vector",
                            value: odd.len() as i64,
                        }),
                        None => Ok((sparse.contents.len(), 1)),
                    }
                }
                Some(Vectors::VectorArray(_)) => Err(unreadable(DataType::ArrayOfVector)),
                None if there == 0 => Ok((0, 1)),
                None => Err(missing),
            }
        }
        Field::StructArrays(_) => Err(unreadable(DataType::ArrayOfStruct)),
    }
}

/// How many scalars an array has; `None` for a type that Milvus 2.3 to 2.5 does not have.
pub fn length(data: &Scalars) -> Option<usize> {
    Some(match data {
        Scalars::BoolData(values) => values.data.len(),
        Scalars::IntData(values) => values.data.len(),
        Scalars::LongData(values) => values.data.len(),
        Scalars::FloatData(values) => values.data.len(),
        Scalars::DoubleData(values) => values.data.len(),
        Scalars::StringData(values) => values.data.len(),
        Scalars::BytesData(values) => values.data.len(),
        Scalars::ArrayData(values) => values.data.len(),
        Scalars::JsonData(values) => values.data.len(),
        Scalars::GeometryData(values) => values.data.len(),
        Scalars::TimestamptzData(values) => values.data.len(),
        Scalars::GeometryWktData(values) => values.data.len(),
        _ => return None,
    })
}

/// One scalar of an array; `None` behind its end.
pub fn scalar(scalars: &ScalarField, place: usize) -> Option<Value<'_>> {
    Some(match scalars.data.as_ref()? {
        Scalars::BoolData(values) => Value::Bool(*values.data.get(place)?),
        Scalars::IntData(values) => Value::Int(i64::from(*values.data.get(place)?)),
        Scalars::LongData(values) => Value::Int(*values.data.get(place)?),
        Scalars::TimestamptzData(values) => Value::Int(*values.data.get(place)?),
        Scalars::FloatData(values) => Value::Float(*values.data.get(place)?),
        Scalars::DoubleData(values) => Value::Double(*values.data.get(place)?),
        Scalars::StringData(values) => Value::Text(values.data.get(place)?),
        Scalars::GeometryWktData(values) => Value::Text(values.data.get(place)?),
        Scalars::JsonData(values) => Value::Json(values.data.get(place)?),
        Scalars::BytesData(values) => Value::Bytes(values.data.get(place)?),
        Scalars::GeometryData(values) => Value::Bytes(values.data.get(place)?),
        Scalars::ArrayData(values) => Value::Array(values.data.get(place)?),
        _ => return None,
    })
}

fn vector(vectors: &VectorField, place: usize, width: usize) -> Option<Value<'_>> {
    fn cut<T>(values: &[T], place: usize, width: usize) -> Option<&[T]> {
        let start = place.checked_mul(width)?;
        values.get(start..start.checked_add(width)?)
    }
    Some(match vectors.data.as_ref()? {
        Vectors::FloatVector(floats) => Value::FloatVector(cut(&floats.data, place, width)?),
        Vectors::Int8Vector(bytes) => Value::Int8Vector(cut(bytes, place, width)?),
        Vectors::BinaryVector(bytes)
        | Vectors::Float16Vector(bytes)
        | Vectors::Bfloat16Vector(bytes) => Value::PackedVector(cut(bytes, place, width)?),
        Vectors::SparseFloatVector(sparse) => Value::SparseVector(sparse.contents.get(place)?),
        Vectors::VectorArray(_) => return None,
    })
}

/// The keys of a delete.
#[derive(Clone, Debug)]
pub struct Keys {
    ids: IdField,
    /// A timestamp for each key.
    pub stamps: Vec<Timestamp>,
}

impl Keys {
    /// Reads a delete.
    pub fn of(delete: &RowMessage) -> Result<Self, DecodeError> {
        let request =
            DeleteRequest::decode(delete.raw.clone()).map_err(DecodeError::protobuf("a delete"))?;
        let named = request.primary_keys.and_then(|ids| ids.id_field);
        let old = || crate::proto::schema::LongArray { data: request.int64_primary_keys };
        let ids = named.unwrap_or_else(|| IdField::IntId(old()));
        let keys = match &ids {
            IdField::IntId(ids) => ids.data.len(),
            IdField::StrId(ids) => ids.data.len(),
            IdField::UuidId(ids) => ids.data.len(),
        };
        if keys != request.timestamps.len() {
            return Err(DecodeError::KeyCount {
                keys: keys as u64,
                rows: request.timestamps.len() as u64,
            });
        }
        Ok(Self { ids, stamps: request.timestamps.into_iter().map(Timestamp).collect() })
    }

    /// A key, counted from zero; null if there is no such key.
    pub fn value(&self, row: usize) -> Value<'_> {
        let value = match &self.ids {
            IdField::IntId(ids) => ids.data.get(row).map(|id| Value::Int(*id)),
            IdField::StrId(ids) => ids.data.get(row).map(|id| Value::Text(id)),
            IdField::UuidId(ids) => ids.data.get(row).map(|id| Value::Bytes(id)),
        };
        value.unwrap_or(Value::Null)
    }
}
