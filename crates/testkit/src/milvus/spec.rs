//! What a collection is to be: fields, shards, consistency, properties. Covers every field type of
//! Milvus 2.3 and nothing newer; never talks to a server.

use super::fault::{Fault, Result};
use milvus_wire::proto::common::{ConsistencyLevel, KeyValuePair};
use milvus_wire::proto::schema::{CollectionSchema, DataType, FieldSchema};

/// The type of a field with its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A type without parameters: bool, integers, float, double, JSON.
    Plain(DataType),
    /// Text of at most so many bytes.
    VarChar(u32),
    /// At most so many elements of a plain type or of short text.
    Array(DataType, u32),
    /// So many floats.
    FloatVector(u32),
    /// So many bits, a multiple of eight.
    BinaryVector(u32),
}

/// How long the text in an array may be.
const ELEMENT_BYTES_MAX: u32 = 64;

impl FieldKind {
    /// The kind of a field of a schema.
    ///
    /// # Errors
    /// If it is of a type that 2.3 does not know.
    pub fn of(field: &FieldSchema) -> Result<Self> {
        let unknown = || Fault::Odd(format!("the type of field {} is not known", field.name));
        let kind = DataType::try_from(field.data_type).map_err(|_| unknown())?;
        let parameter = |name: &str| {
            let found = field.type_params.iter().find(|pair| pair.key == name);
            found.and_then(|pair| pair.value.parse().ok()).ok_or_else(unknown)
        };
        Ok(match kind {
            DataType::VarChar => Self::VarChar(parameter("max_length")?),
            DataType::Array => {
                let element = DataType::try_from(field.element_type).map_err(|_| unknown())?;
                Self::Array(element, parameter("max_capacity")?)
            }
            DataType::FloatVector => Self::FloatVector(parameter("dim")?),
            DataType::BinaryVector => Self::BinaryVector(parameter("dim")?),
            plain => Self::Plain(plain),
        })
    }

    fn schema(self, name: &str) -> FieldSchema {
        let mut field = FieldSchema { name: name.to_owned(), ..Default::default() };
        let mut parameter = |key: &str, value: u32| {
            field.type_params.push(pair(key, &value.to_string()));
        };
        let kind = match self {
            Self::Plain(kind) => kind,
            Self::VarChar(bytes) => {
                parameter("max_length", bytes);
                DataType::VarChar
            }
            Self::Array(element, capacity) => {
                parameter("max_capacity", capacity);
                if element == DataType::VarChar {
                    parameter("max_length", ELEMENT_BYTES_MAX);
                }
                field.element_type = element as i32;
                DataType::Array
            }
            Self::FloatVector(dimension) => {
                parameter("dim", dimension);
                DataType::FloatVector
            }
            Self::BinaryVector(dimension) => {
                parameter("dim", dimension);
                DataType::BinaryVector
            }
        };
        field.data_type = kind as i32;
        field
    }
}

/// A collection to be created.
#[derive(Clone, Debug)]
pub struct CollectionSpec {
    /// Name, fields, dynamic field flag.
    pub schema: CollectionSchema,
    /// How many shards.
    pub shards: i32,
    /// What a read that names no level gets.
    pub consistency: ConsistencyLevel,
    /// Collection properties.
    pub properties: Vec<(String, String)>,
    /// How many partitions a partition key is spread over; 0 is Milvus's default.
    pub key_partitions: i64,
}

impl CollectionSpec {
    /// A collection without fields, of one shard, strong.
    pub fn new(name: &str) -> Self {
        Self {
            schema: CollectionSchema { name: name.to_owned(), ..Default::default() },
            shards: 1,
            consistency: ConsistencyLevel::Strong,
            properties: vec![],
            key_partitions: 0,
        }
    }

    /// The smallest useful one: an int64 key `id`, an int64 `version`, a float vector `vector`.
    pub fn small(name: &str, dimension: u32) -> Self {
        Self::new(name)
            .int64_key("id")
            .field("version", FieldKind::Plain(DataType::Int64))
            .field("vector", FieldKind::FloatVector(dimension))
    }

    /// An int64 key and a field of every type of 2.3, of two shards, with the dynamic field.
    /// Binary and float vectors are apart, for 2.3 takes one vector field per collection.
    pub fn every_type(name: &str, vector: FieldKind) -> Self {
        let plain = [
            ("bool", DataType::Bool),
            ("int8", DataType::Int8),
            ("int16", DataType::Int16),
            ("int32", DataType::Int32),
            ("int64", DataType::Int64),
            ("float", DataType::Float),
            ("double", DataType::Double),
        ];
        let mut spec =
            Self::new(name).int64_key("id").field("version", FieldKind::Plain(DataType::Int64));
        for (name, kind) in plain {
            spec = spec.field(name, FieldKind::Plain(kind));
            spec = spec.field(&format!("{name}s"), FieldKind::Array(kind, 8));
        }
        spec.field("varchar", FieldKind::VarChar(256))
            .field("varchars", FieldKind::Array(DataType::VarChar, 8))
            .field("json", FieldKind::Plain(DataType::Json))
            .field("vector", vector)
            .dynamic()
            .shards(2)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.schema.name
    }

    /// The same under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.schema.name);
        self
    }

    /// Adds the int64 key.
    #[must_use]
    pub fn int64_key(self, name: &str) -> Self {
        self.key(FieldKind::Plain(DataType::Int64).schema(name))
    }

    /// Adds the text key.
    #[must_use]
    pub fn varchar_key(self, name: &str, bytes_max: u32) -> Self {
        self.key(FieldKind::VarChar(bytes_max).schema(name))
    }

    fn key(mut self, mut field: FieldSchema) -> Self {
        field.is_primary_key = true;
        self.schema.fields.push(field);
        self
    }

    /// Milvus makes up the keys.
    #[must_use]
    pub fn auto_id(mut self) -> Self {
        for key in self.schema.fields.iter_mut().filter(|field| field.is_primary_key) {
            key.auto_id = true;
        }
        self.schema.auto_id = true;
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: &str, kind: FieldKind) -> Self {
        self.schema.fields.push(kind.schema(name));
        self
    }

    /// Adds a field that decides in which of `partitions` partitions a row lies.
    #[must_use]
    pub fn partition_key(mut self, name: &str, kind: FieldKind, partitions: i64) -> Self {
        let field = FieldSchema { is_partition_key: true, ..kind.schema(name) };
        self.schema.fields.push(field);
        self.key_partitions = partitions;
        self
    }

    /// Rows may have fields that the schema does not name.
    #[must_use]
    pub fn dynamic(mut self) -> Self {
        self.schema.enable_dynamic_field = true;
        self
    }

    /// How many shards.
    #[must_use]
    pub fn shards(mut self, shards: i32) -> Self {
        self.shards = shards;
        self
    }

    /// What a read that names no level gets.
    #[must_use]
    pub fn consistency(mut self, level: ConsistencyLevel) -> Self {
        self.consistency = level;
        self
    }

    /// Sets a property, such as `collection.ttl.seconds`.
    #[must_use]
    pub fn property(mut self, key: &str, value: &str) -> Self {
        self.properties.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The name of the vector field.
    ///
    /// # Errors
    /// If there is none.
    pub fn vector_field(&self) -> Result<&str> {
        let vector = |field: &&FieldSchema| field.data_type >= DataType::BinaryVector as i32;
        let field = self.schema.fields.iter().find(vector);
        field
            .map(|field| field.name.as_str())
            .ok_or_else(|| Fault::Odd(format!("{} has no vector field", self.name())))
    }
}

pub(super) fn pair(key: &str, value: &str) -> KeyValuePair {
    KeyValuePair { key: key.to_owned(), value: value.to_owned() }
}
