//! Decodes the metadata records of Milvus's root coordinator in etcd (2.3 to 2.5). Never talks to
//! etcd: bytes in, values out.

use crate::error::DecodeError;
use crate::ids::{CollectionId, DatabaseId, PartitionId, split_vchannel};
pub use crate::keys::Keys;
use crate::position::MessageId;
use crate::proto::common::KeyValuePair;
use crate::proto::schema::{CollectionSchema, DataType, FieldSchema, FunctionSchema};
use crate::records::{CollectionInfo, DatabaseInfo, PartitionInfo};
use crate::timestamp::Timestamp;
use prost::Message;
use std::collections::BTreeMap;

/// The value in the place of a removed record.
pub const TOMBSTONE: [u8; 3] = [0xE2, 0x9B, 0xBC];

/// The field with what the rows of a dynamic collection have beyond the schema. A target adds it by
/// itself if the schema is dynamic.
pub(crate) const DYNAMIC_FIELD: &str = "$meta";

/// Field ids below it are Milvus's own: row id and timestamp. Source: `common.StartOfUserFieldID`.
pub(crate) const FIRST_USER_FIELD: i64 = 100;

/// The life of a collection or partition. Source: `etcdpb.CollectionState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Usable.
    Created,
    /// Not usable yet; creating it may still fail.
    Creating,
    /// Being dropped.
    Dropping,
    /// Dropped, not yet removed.
    Dropped,
}

/// A database.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// Its id; 1 is the default database.
    pub id: DatabaseId,
    /// Its name.
    pub name: String,
    /// When it was created; zero for the default database.
    pub created: Timestamp,
}

/// A collection with all that is needed to create it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Its id.
    pub id: CollectionId,
    /// The database's id, from the record's key.
    pub database_id: DatabaseId,
    /// The database's name; empty until looked up.
    pub database: String,
    /// The state.
    pub state: State,
    /// Name, fields without the system fields, functions, dynamic field flag.
    pub schema: CollectionSchema,
    /// When it was created; equals the timestamp of its CreateCollection message.
    pub created: Timestamp,
    /// One for each shard, in the order of shards (invariant I4: the index is the `v<i>` suffix).
    pub vchannels: Vec<String>,
    /// The physical channel of each shard, in the same order.
    pub pchannels: Vec<String>,
    /// The id of the CreateCollection message on each physical channel.
    pub start_positions: BTreeMap<String, MessageId>,
    /// `common.ConsistencyLevel` as a number.
    pub consistency_level: i32,
    /// Collection properties (`collection.ttl.seconds`, …).
    pub properties: Vec<KeyValuePair>,
    /// Over how many partitions a partition key spreads the rows; `None` without such a key. It is
    /// fixed when the collection is created and not part of the record: the reader of the catalog
    /// counts the partitions.
    pub partition_count: Option<usize>,
}

impl Collection {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.schema.name
    }

    /// Whether rows are spread over partitions by the value of a field.
    pub fn has_partition_key(&self) -> bool {
        self.schema.fields.iter().any(|field| field.is_partition_key)
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// Its id.
    pub id: PartitionId,
    /// Its collection.
    pub collection: CollectionId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// The state.
    pub state: State,
}

/// Decodes a collection's record; `None` if it has been removed. The fields of its schema are not
/// part of it: see [`assemble`].
pub fn decode_collection(
    key_database_id: DatabaseId,
    id: CollectionId,
    bytes: &[u8],
) -> Result<Option<Collection>, DecodeError> {
    let Some(info) = record::<CollectionInfo>("a collection's record", bytes)? else {
        return Ok(None);
    };
    if info.id != id.0 {
        return Err(DecodeError::OutOfRange {
            what: "the id in a collection's record",
            value: info.id,
        });
    }
    let schema = info
        .schema
        .ok_or(DecodeError::Missing { message: "a collection's record", what: "schema" })?;
    check_shards(&info.virtual_channel_names, &info.physical_channel_names)?;
    let positions = info.start_positions.into_iter();
    Ok(Some(Collection {
        id,
        database_id: key_database_id,
        database: String::new(),
        state: State::of(info.state)?,
        schema,
        created: Timestamp(info.create_time),
        vchannels: info.virtual_channel_names,
        pchannels: info.physical_channel_names,
        start_positions: positions.map(|pair| (pair.key, MessageId(pair.data.into()))).collect(),
        consistency_level: info.consistency_level,
        properties: info.properties,
        partition_count: None,
    }))
}

/// Checks invariant I4: shard `i` has index `i` in both lists.
fn check_shards(vchannels: &[String], pchannels: &[String]) -> Result<(), DecodeError> {
    for (place, vchannel) in vchannels.iter().enumerate() {
        let Some((named, _, index)) = split_vchannel(vchannel) else {
            return Err(DecodeError::Vchannel { vchannel: vchannel.clone() });
        };
        if index != place {
            return Err(DecodeError::ShardOrder { place, vchannel: vchannel.clone() });
        }
        let pchannel = pchannels.get(place).map(String::as_str).unwrap_or_default();
        if named != pchannel {
            let (vchannel, pchannel) = (vchannel.clone(), pchannel.to_owned());
            return Err(DecodeError::PhysicalChannel { vchannel, pchannel });
        }
    }
    Ok(())
}

/// Decodes a field's record; `None` if it has been removed.
pub fn decode_field(bytes: &[u8]) -> Result<Option<FieldSchema>, DecodeError> {
    record("a field's record", bytes)
}

/// Decodes a function's record; `None` if it has been removed.
pub fn decode_function(bytes: &[u8]) -> Result<Option<FunctionSchema>, DecodeError> {
    record("a function's record", bytes)
}

/// Completes a collection's schema with its fields and functions, which have records of their own.
pub fn assemble(
    mut collection: Collection,
    mut fields: Vec<FieldSchema>,
    mut functions: Vec<FunctionSchema>,
) -> Result<Collection, DecodeError> {
    let schema = &mut collection.schema;
    schema.enable_dynamic_field |= fields.iter().any(|field| field.name == DYNAMIC_FIELD);
    fields.retain(|field| field.field_id >= FIRST_USER_FIELD && field.name != DYNAMIC_FIELD);
    if fields.is_empty() {
        return Err(DecodeError::Missing { message: "a collection", what: "fields" });
    }
    fields.sort_by_key(|field| field.field_id);
    functions.sort_by_key(|function| function.id);
    schema.fields = fields;
    schema.functions = functions;
    Ok(collection)
}

/// The fields of a schema as texts to compare and show, in the order of their ids: the id, which is
/// what rows name a field by, the name, and everything that decides whether a value fits. Without
/// system fields and the dynamic field.
pub fn field_texts(schema: &CollectionSchema) -> Vec<String> {
    let is_users = |field: &&FieldSchema| !field.is_dynamic && field.name != DYNAMIC_FIELD;
    let mut fields: Vec<_> = schema.fields.iter().filter(is_users).collect();
    fields.sort_by_key(|field| field.field_id);
    fields.into_iter().map(field_text).collect()
}

/// Parameters of a field's type, besides the dimension, that decide whether a value fits. Source:
/// `internal/proxy/util.go` (`validateMaxLengthPerRow`, `validateMaxCapacityPerRow`).
const LIMITS: [&str; 2] = ["max_length", "max_capacity"];

fn field_text(field: &FieldSchema) -> String {
    let type_name = |kind: i32| {
        DataType::try_from(kind)
            .map_or_else(|_| kind.to_string(), |kind| kind.as_str_name().to_owned())
    };
    let mut text = format!("{} {} {}", field.field_id, field.name, type_name(field.data_type));
    if field.data_type == DataType::Array as i32 {
        text = format!("{text} of {}", type_name(field.element_type));
    }
    let param = |key: &str| field.type_params.iter().find(|param| param.key == key);
    if let Some(dimension) = param("dim") {
        text = format!("{text}({})", dimension.value);
    }
    for limit in LIMITS {
        if let Some(param) = param(limit) {
            text = format!("{text}, {limit} {}", param.value);
        }
    }
    let flags = [
        (field.is_primary_key, "primary key"),
        (field.auto_id, "auto id"),
        (field.is_partition_key, "partition key"),
        (field.is_clustering_key, "clustering key"),
        (field.nullable, "nullable"),
        (field.is_function_output, "output of a function"),
    ];
    for (_, flag) in flags.iter().filter(|(is_set, _)| *is_set) {
        text = format!("{text}, {flag}");
    }
    match field.default_value.as_ref().and_then(|value| value.data.as_ref()) {
        Some(default) => format!("{text}, default {default:?}"),
        None => text,
    }
}

/// Decodes a partition's record; `None` if it has been removed.
pub fn decode_partition(bytes: &[u8]) -> Result<Option<Partition>, DecodeError> {
    let Some(info) = record::<PartitionInfo>("a partition's record", bytes)? else {
        return Ok(None);
    };
    Ok(Some(Partition {
        id: PartitionId(info.partition_id),
        collection: CollectionId(info.collection_id),
        name: info.partition_name,
        created: Timestamp(info.partition_created_timestamp),
        state: State::of(info.state)?,
    }))
}

/// Decodes a database's record; `None` if it has been removed.
pub fn decode_database(bytes: &[u8]) -> Result<Option<Database>, DecodeError> {
    let info = record::<DatabaseInfo>("a database's record", bytes)?;
    Ok(info.map(|info| Database {
        id: DatabaseId(info.id),
        name: info.name,
        created: database_time(info.created_time),
    }))
}

/// A database's creation time is in nanoseconds in 2.3.5, unlike all others. No hybrid timestamp
/// reaches that range before the year 2100. Source: records in etcd.
fn database_time(created: u64) -> Timestamp {
    const NANOSECONDS_FROM: u64 = 1_000_000_000_000_000_000;
    if created >= NANOSECONDS_FROM {
        Timestamp::from_ms(created / 1_000_000)
    } else {
        Timestamp(created)
    }
}

pub(crate) fn record<M: Message + Default>(
    message: &'static str,
    bytes: &[u8],
) -> Result<Option<M>, DecodeError> {
    if bytes == TOMBSTONE {
        return Ok(None);
    }
    M::decode(bytes).map(Some).map_err(DecodeError::protobuf(message))
}

impl State {
    fn of(number: i32) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::Created),
            1 => Ok(Self::Creating),
            2 => Ok(Self::Dropping),
            3 => Ok(Self::Dropped),
            _ => Err(DecodeError::OutOfRange { what: "a state", value: number.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(key: &str, value: &str) -> KeyValuePair {
        KeyValuePair { key: key.into(), value: value.into() }
    }

    fn field(field_id: i64, name: &str, kind: DataType) -> FieldSchema {
        FieldSchema { field_id, name: name.into(), data_type: kind as i32, ..Default::default() }
    }

    #[test]
    fn fields_are_told_with_all_that_decides_whether_a_value_fits() {
        let type_params = vec![param("mmap.enabled", "true"), param("dim", "128")];
        let array = FieldSchema { element_type: DataType::Int8 as i32, ..Default::default() };
        let fields = vec![
            FieldSchema { type_params, ..field(102, "vec", DataType::FloatVector) },
            FieldSchema {
                is_primary_key: true,
                auto_id: true,
                ..field(100, "id", DataType::Int64)
            },
            FieldSchema {
                element_type: array.element_type,
                type_params: vec![param("max_capacity", "9")],
                nullable: true,
                ..field(101, "a", DataType::Array)
            },
            FieldSchema { is_dynamic: true, ..field(103, "$meta", DataType::Json) },
        ];
        let schema = CollectionSchema { fields, ..Default::default() };
        let expected = [
            "100 id Int64, primary key, auto id",
            "101 a Array of Int8, max_capacity 9, nullable",
            "102 vec FloatVector(128)",
        ];
        assert_eq!(field_texts(&schema), expected);
    }

    #[test]
    fn fields_that_have_changed_places_are_others() {
        let texts = |a: i64, b: i64| {
            let fields = vec![field(a, "a", DataType::VarChar), field(b, "b", DataType::VarChar)];
            field_texts(&CollectionSchema { fields, ..Default::default() })
        };
        assert_ne!(texts(100, 101), texts(101, 100));
    }

    #[test]
    fn a_database_created_in_nanoseconds_compares_with_hybrid_timestamps() {
        let at = Timestamp::from_ms(1_790_000_000_123);
        assert_eq!(database_time(1_790_000_000_123_456_789), at);
        assert_eq!(database_time(at.0), at);
    }
}
