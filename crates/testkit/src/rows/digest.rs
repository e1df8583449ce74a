//! One number per row that changes with every bit of it, and the row in words for messages. Never
//! depends on the order of the columns.

use crate::milvus::Key;
use anyhow::{Context, Result, bail, ensure};
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::scalar_field::Data;
use milvus_wire::proto::schema::vector_field;
use milvus_wire::proto::schema::{FieldData, ScalarField, VectorField};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Equal rows have equal digests; different rows have different ones, except with a chance of one
/// in 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(u64);

/// Rows as Milvus gives and takes them.
#[derive(Clone, Debug)]
pub struct Columns {
    fields: Vec<FieldData>,
    rows: usize,
}

impl Columns {
    /// Columns of one length.
    ///
    /// # Errors
    /// If their lengths differ, or one is of a type that 2.3 does not know.
    pub fn new(mut fields: Vec<FieldData>) -> Result<Self> {
        fields.sort_by(|a, b| a.field_name.cmp(&b.field_name));
        let mut rows = None;
        for field in &fields {
            let length = length(field).with_context(|| format!("field {}", field.field_name))?;
            let first = *rows.get_or_insert(length);
            ensure!(
                length == first,
                "field {} has {length} values, others {first}",
                field.field_name
            );
        }
        Ok(Self { fields, rows: rows.unwrap_or(0) })
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The names of the fields, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.field_name.as_str())
    }

    /// The keys of the rows; none if there are no rows.
    ///
    /// # Errors
    /// If there is no such field or it is no key.
    pub fn keys(&self, name: &str) -> Result<Vec<Key>> {
        if self.rows == 0 {
            return Ok(vec![]);
        }
        let field = self.fields.iter().find(|field| field.field_name == name);
        Key::column(field.with_context(|| format!("the answer lacks the key {name}"))?)
    }

    /// The digest of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn digest(&self, row: usize) -> Digest {
        let mut hasher = DefaultHasher::new();
        for field in &self.fields {
            field.field_name.hash(&mut hasher);
            match &field.field {
                Some(Field::Scalars(scalars)) => hash_scalar(scalars, row, &mut hasher),
                Some(Field::Vectors(vectors)) => hash_vector(vectors, row, &mut hasher),
                _ => unreachable!("`new` has refused it"),
            }
        }
        Digest(hasher.finish())
    }

    /// Each field of a row in words, shortened.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn words(&self, row: usize) -> Vec<(String, String)> {
        let words = |field: &FieldData| match &field.field {
            Some(Field::Scalars(scalars)) => scalar_words(scalars, row),
            Some(Field::Vectors(vectors)) => vector_words(vectors, row),
            _ => unreachable!("`new` has refused it"),
        };
        self.fields.iter().map(|field| (field.field_name.clone(), words(field))).collect()
    }
}

fn length(field: &FieldData) -> Result<usize> {
    Ok(match &field.field {
        Some(Field::Scalars(scalars)) => scalar_length(scalars)?,
        Some(Field::Vectors(vectors)) => {
            let dimension = usize::try_from(vectors.dim).unwrap_or(0).max(1);
            match &vectors.data {
                Some(vector_field::Data::FloatVector(floats)) => floats.data.len() / dimension,
                Some(vector_field::Data::BinaryVector(bytes)) => bytes.len() * 8 / dimension,
                None => 0,
                Some(_) => bail!("a vector that 2.3 does not know"),
            }
        }
        None => 0,
        Some(_) => bail!("a struct that 2.3 does not know"),
    })
}

fn scalar_length(scalars: &ScalarField) -> Result<usize> {
    Ok(match &scalars.data {
        Some(Data::BoolData(values)) => values.data.len(),
        Some(Data::IntData(values)) => values.data.len(),
        Some(Data::LongData(values)) => values.data.len(),
        Some(Data::FloatData(values)) => values.data.len(),
        Some(Data::DoubleData(values)) => values.data.len(),
        Some(Data::StringData(values)) => values.data.len(),
        Some(Data::JsonData(values)) => values.data.len(),
        Some(Data::ArrayData(values)) => {
            for element in &values.data {
                scalar_length(element)?;
            }
            values.data.len()
        }
        None => 0,
        Some(_) => bail!("a type that 2.3 does not know"),
    })
}

fn hash_scalar(scalars: &ScalarField, row: usize, hasher: &mut DefaultHasher) {
    match &scalars.data {
        Some(Data::BoolData(values)) => values.data[row].hash(hasher),
        Some(Data::IntData(values)) => values.data[row].hash(hasher),
        Some(Data::LongData(values)) => values.data[row].hash(hasher),
        Some(Data::FloatData(values)) => values.data[row].to_bits().hash(hasher),
        Some(Data::DoubleData(values)) => values.data[row].to_bits().hash(hasher),
        Some(Data::StringData(values)) => values.data[row].hash(hasher),
        Some(Data::JsonData(values)) => values.data[row].hash(hasher),
        Some(Data::ArrayData(values)) => {
            let element = &values.data[row];
            let length = scalar_length(element).unwrap_or(0);
            length.hash(hasher);
            (0..length).for_each(|at| hash_scalar(element, at, hasher));
        }
        _ => unreachable!("`new` has refused it"),
    }
}

fn hash_vector(vectors: &VectorField, row: usize, hasher: &mut DefaultHasher) {
    let dimension = usize::try_from(vectors.dim).unwrap_or(0).max(1);
    match &vectors.data {
        Some(vector_field::Data::FloatVector(floats)) => {
            for value in &floats.data[row * dimension..(row + 1) * dimension] {
                value.to_bits().hash(hasher);
            }
        }
        Some(vector_field::Data::BinaryVector(bytes)) => {
            bytes[row * dimension / 8..(row + 1) * dimension / 8].hash(hasher);
        }
        _ => unreachable!("`new` has refused it"),
    }
}

/// A vector in a message is cut after so many elements.
const WORDS_MAX: usize = 6;

fn scalar_words(scalars: &ScalarField, row: usize) -> String {
    match &scalars.data {
        Some(Data::BoolData(values)) => values.data[row].to_string(),
        Some(Data::IntData(values)) => values.data[row].to_string(),
        Some(Data::LongData(values)) => values.data[row].to_string(),
        Some(Data::FloatData(values)) => values.data[row].to_string(),
        Some(Data::DoubleData(values)) => values.data[row].to_string(),
        Some(Data::StringData(values)) => values.data[row].clone(),
        Some(Data::JsonData(values)) => String::from_utf8_lossy(&values.data[row]).into_owned(),
        Some(Data::ArrayData(values)) => {
            let element = &values.data[row];
            let length = scalar_length(element).unwrap_or(0);
            let words: Vec<String> = (0..length).map(|at| scalar_words(element, at)).collect();
            format!("[{}]", words.join(", "))
        }
        _ => unreachable!("`new` has refused it"),
    }
}

fn vector_words(vectors: &VectorField, row: usize) -> String {
    let dimension = usize::try_from(vectors.dim).unwrap_or(0).max(1);
    match &vectors.data {
        Some(vector_field::Data::FloatVector(floats)) => {
            let values = &floats.data[row * dimension..(row + 1) * dimension];
            format!("{:?} of {dimension}", &values[..WORDS_MAX.min(dimension)])
        }
        Some(vector_field::Data::BinaryVector(bytes)) => {
            format!("{:?}", &bytes[row * dimension / 8..(row + 1) * dimension / 8])
        }
        _ => unreachable!("`new` has refused it"),
    }
}
