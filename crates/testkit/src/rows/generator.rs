//! Makes rows: the same schema, seed, key and version always give the same row. Never keeps any.

use super::random::Random;
use crate::milvus::Key;
use crate::milvus::{Batch, FieldKind, Result};
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::scalar_field::Data;
use milvus_wire::proto::schema::vector_field;
use milvus_wire::proto::schema::{
    ArrayArray, BoolArray, CollectionSchema, DataType, DoubleArray, FieldData, FieldSchema,
    FloatArray, IntArray, JsonArray, LongArray, ScalarField, StringArray, VectorField,
};
use serde_json::json;

/// The field with what the schema does not name.
pub const META_FIELD: &str = "$meta";

/// An int64 field of this name holds the version of its row, for whoever looks at it.
const VERSION_FIELD: &str = "version";

/// Which row, and which version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowId {
    /// Becomes the primary key, as it is or as text.
    pub key: u64,
    /// Changes everything but the key and the partition key.
    pub version: u64,
}

/// Makes the rows of one collection.
#[derive(Clone, Debug)]
pub struct RowGenerator {
    fields: Vec<(FieldSchema, FieldKind)>,
    dynamic: bool,
    seed: u64,
}

impl RowGenerator {
    /// For a schema, as it was given to Milvus or as Milvus describes it.
    ///
    /// # Errors
    /// If it has a field of a type that 2.3 does not know.
    pub fn new(schema: &CollectionSchema, seed: u64) -> Result<Self> {
        let fields = schema
            .fields
            .iter()
            .filter(|field| !field.is_dynamic)
            .map(|field| Ok((field.clone(), FieldKind::of(field)?)))
            .collect::<Result<_>>()?;
        Ok(Self { fields, dynamic: schema.enable_dynamic_field, seed })
    }

    /// The primary key of a row, unless Milvus makes it up.
    pub fn key(&self, key: u64) -> Key {
        let text = self
            .fields
            .iter()
            .any(|(field, kind)| field.is_primary_key && matches!(kind, FieldKind::VarChar(_)));
        if text { Key::Text(text_key(key)) } else { Key::Int(key.cast_signed()) }
    }

    /// Rows as one call writes them to a partition; an empty one is the default one.
    pub fn batch(&self, collection: &str, partition: &str, rows: &[RowId]) -> Batch {
        Batch {
            collection: collection.to_owned(),
            partition: partition.to_owned(),
            columns: self.columns(rows),
            rows: rows.len() as u32,
        }
    }

    /// Rows in the form that Milvus takes them, without a column for a key that it makes up.
    pub fn columns(&self, rows: &[RowId]) -> Vec<FieldData> {
        let mut columns: Vec<FieldData> = self
            .fields
            .iter()
            .enumerate()
            .filter(|(_, (field, _))| !field.auto_id)
            .map(|(place, (field, kind))| FieldData {
                r#type: field.data_type,
                field_name: field.name.clone(),
                field: Some(self.values(place, field, *kind, rows)),
                ..Default::default()
            })
            .collect();
        if self.dynamic {
            let data = rows.iter().map(|row| {
                let random = &mut self.random(usize::MAX, *row);
                json!({"extra": random.below(1000), "tag": random.text(40)})
                    .to_string()
                    .into_bytes()
            });
            columns.push(FieldData {
                r#type: DataType::Json as i32,
                field_name: META_FIELD.to_owned(),
                is_dynamic: true,
                field: Some(scalars(Data::JsonData(JsonArray { data: data.collect() }))),
                ..Default::default()
            });
        }
        columns
    }

    /// What a field holds depends on nothing but the field's place, the seed and the row.
    fn random(&self, place: usize, row: RowId) -> Random {
        Random::of(&[self.seed, place as u64, row.key, row.version])
    }

    fn values(&self, place: usize, field: &FieldSchema, kind: FieldKind, rows: &[RowId]) -> Field {
        let random = |row: &RowId| self.random(place, *row);
        let version = field.name == VERSION_FIELD && kind == FieldKind::Plain(DataType::Int64);
        if field.is_primary_key || field.is_partition_key || version {
            return told(field, kind, rows);
        }
        match kind {
            FieldKind::Plain(kind) => {
                scalars(plain(kind, rows.len(), &mut rows.iter().map(random), usize::MAX))
            }
            FieldKind::VarChar(bytes) => {
                let mut randoms = rows.iter().map(random);
                scalars(plain(DataType::VarChar, rows.len(), &mut randoms, bytes as usize))
            }
            FieldKind::Array(element, capacity) => {
                let data = rows.iter().map(|row| ScalarField {
                    data: Some(array(element, capacity, random(row))),
                    ..Default::default()
                });
                let data = data.collect();
                scalars(Data::ArrayData(ArrayArray { data, element_type: element as i32 }))
            }
            FieldKind::FloatVector(dimension) => {
                let mut data = Vec::with_capacity(rows.len() * dimension as usize);
                for row in rows {
                    let mut random = random(row);
                    data.extend((0..dimension).map(|_| random.float()));
                }
                vectors(dimension, vector_field::Data::FloatVector(FloatArray { data }))
            }
            FieldKind::BinaryVector(dimension) => {
                let mut data = Vec::with_capacity(rows.len() * dimension as usize / 8);
                for row in rows {
                    let mut random = random(row);
                    data.extend((0..dimension / 8).map(|_| random.word() as u8));
                }
                vectors(dimension, vector_field::Data::BinaryVector(data))
            }
        }
    }
}

fn text_key(key: u64) -> String {
    format!("key-{key:010}")
}

/// Keys are told by the row's number and versions by its version, not made up.
fn told(field: &FieldSchema, kind: FieldKind, rows: &[RowId]) -> Field {
    /// More values than partitions, fewer than rows.
    const PARTITION_KEYS: u64 = 97;
    let number = |row: &RowId| {
        if field.is_primary_key {
            row.key
        } else if field.is_partition_key {
            row.key % PARTITION_KEYS
        } else {
            row.version
        }
    };
    scalars(match kind {
        FieldKind::VarChar(_) => Data::StringData(StringArray {
            data: rows.iter().map(|row| text_key(number(row))).collect(),
        }),
        _ => Data::LongData(LongArray {
            data: rows.iter().map(|row| number(row).cast_signed()).collect(),
        }),
    })
}

fn array(element: DataType, capacity: u32, mut random: Random) -> Data {
    // Never empty: 2.3 loses the element type of an empty array.
    let length = 1 + random.below(u64::from(capacity)) as usize;
    let mut randoms = (0..length).map(|_| Random::of(&[random.word()]));
    plain(element, length, &mut randoms, 60)
}

/// One value of a plain type from each of the randoms.
fn plain(
    kind: DataType,
    count: usize,
    randoms: &mut dyn Iterator<Item = Random>,
    bytes_max: usize,
) -> Data {
    let randoms = randoms.take(count);
    match kind {
        DataType::Bool => {
            let data = randoms.map(|mut random| random.below(2) == 1).collect();
            Data::BoolData(BoolArray { data })
        }
        DataType::Int8 => ints(randoms.map(|mut random| i32::from(random.word() as i8))),
        DataType::Int16 => ints(randoms.map(|mut random| i32::from(random.word() as i16))),
        DataType::Int32 => ints(randoms.map(|mut random| random.word() as i32)),
        DataType::Float => {
            let data = randoms.map(|mut random| random.float()).collect();
            Data::FloatData(FloatArray { data })
        }
        DataType::Double => {
            let data = randoms.map(|mut random| random.double()).collect();
            Data::DoubleData(DoubleArray { data })
        }
        DataType::VarChar | DataType::String => {
            let data = randoms.map(|mut random| random.text(bytes_max)).collect();
            Data::StringData(StringArray { data })
        }
        DataType::Json => {
            let data = randoms.map(|mut random| json_value(&mut random)).collect();
            Data::JsonData(JsonArray { data })
        }
        _ => {
            let data = randoms.map(|mut random| random.word().cast_signed()).collect();
            Data::LongData(LongArray { data })
        }
    }
}

fn ints(data: impl Iterator<Item = i32>) -> Data {
    Data::IntData(IntArray { data: data.collect() })
}

fn json_value(random: &mut Random) -> Vec<u8> {
    json!({
        "number": random.below(1 << 40),
        "text": random.text(60),
        "list": [random.below(9), random.double()],
        "object": {"yes": random.below(2) == 1, "nothing": null},
    })
    .to_string()
    .into_bytes()
}

fn scalars(data: Data) -> Field {
    Field::Scalars(ScalarField { data: Some(data), ..Default::default() })
}

fn vectors(dimension: u32, data: vector_field::Data) -> Field {
    Field::Vectors(VectorField {
        dim: i64::from(dimension),
        data: Some(data),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::milvus::CollectionSpec;
    use crate::rows::Columns;

    #[test]
    fn the_same_row_comes_again_alone_or_among_others_and_versions_differ() {
        let spec = CollectionSpec::every_type("rows", FieldKind::FloatVector(8));
        let generator = RowGenerator::new(&spec.schema, 1).unwrap();
        let row = RowId { key: 5, version: 0 };
        let digest = |rows: &[RowId], at| {
            let columns = Columns::new(generator.columns(rows)).unwrap();
            assert_eq!(columns.rows(), rows.len());
            columns.digest(at)
        };
        let among = [RowId { key: 4, version: 0 }, row, RowId { key: 6, version: 0 }];
        assert_eq!(digest(&[row], 0), digest(&among, 1));
        assert_ne!(digest(&[RowId { version: 1, ..row }], 0), digest(&[row], 0));
        assert_ne!(digest(&among, 0), digest(&among, 2));
    }
}
