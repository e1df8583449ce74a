//! The fence: deletes of the keys of an insert, for a stretch of the log where the insert may
//! already have arrived. Never decodes a column other than the primary key's.

use crate::error::DecodeError;
use crate::fields::{Fields, Value};
use crate::ids::PartitionId;
use crate::message::RowMessage;
use crate::proto::common::{MsgBase, MsgType};
use crate::proto::msg::DeleteRequest;
use crate::proto::schema::IDs;
use crate::proto::schema::i_ds::IdField;
use crate::replicate::NO_NODE;
use crate::splice::{Patch, Spliced};
use crate::timestamp::Timestamp;
use prost::Message;

/// `InsertRequest.fields_data`.
const FIELDS_DATA: u32 = 13;

/// The partition of a delete that names none. Source: Milvus `common.InvalidPartitionID`.
const NO_PARTITION: PartitionId = PartitionId(-1);

/// The primary keys of an insert, one for each row; `field_id` is the primary key's field.
pub fn primary_keys(insert: &RowMessage, field_id: i64) -> Result<IDs, DecodeError> {
    for field in Fields::of("an insert", &insert.raw) {
        let field = field?;
        if field.number != FIELDS_DATA {
            continue;
        }
        if let Some(scalars) = scalars_of(field.bytes()?, field_id)? {
            let keys = keys_in(scalars)?;
            let count = count(&keys);
            if count != insert.rows {
                return Err(DecodeError::KeyCount { keys: count, rows: insert.rows });
            }
            return Ok(keys);
        }
    }
    Err(DecodeError::Missing { message: "an insert", what: "primary key column" })
}

/// A delete of `keys` on the shard, in the database and in the collection that `patch` names, at
/// `stamp`; in its partition or, if it names none, in all of them.
///
/// `msg_id` must be unique on the target's channel and the same in every replay.
pub fn delete_of(
    insert: &RowMessage,
    keys: IDs,
    msg_id: i64,
    stamp: Timestamp,
    patch: &Patch<'_>,
) -> Spliced {
    let base = MsgBase {
        msg_type: MsgType::Delete.into(),
        msg_id,
        timestamp: stamp.0,
        source_id: NO_NODE,
        ..Default::default()
    };
    let rows = count(&keys);
    let partition_name = patch.partition_id.map(|_| insert.partition.clone());
    Spliced::whole(&DeleteRequest {
        base: Some(base),
        shard_name: patch.vchannel.to_owned(),
        db_name: patch.database.to_owned(),
        collection_name: patch.collection.to_owned(),
        partition_name: partition_name.unwrap_or_default(),
        collection_id: patch.collection_id.0,
        partition_id: patch.partition_id.unwrap_or(NO_PARTITION).0,
        // The count of the keys in memory, not a count that the input claims.
        timestamps: std::iter::repeat_n(stamp.0, rows as usize).collect(),
        num_rows: rows as i64,
        // The old `int64_primary_keys` stay empty: Milvus reads them only if there are no others.
        primary_keys: Some(keys),
        ..Default::default()
    })
}

/// The `scalars` of a `FieldData`; `None` if it is not of the field `field_id`.
fn scalars_of(column: &[u8], field_id: i64) -> Result<Option<&[u8]>, DecodeError> {
    let mut id = 0;
    let mut scalars = None;
    for field in Fields::of("a column", column) {
        let field = field?;
        match (field.number, field.value) {
            (3, Value::Bytes(bytes)) => scalars = Some(bytes),
            (5, _) => id = field.int64()?,
            _ => {}
        }
    }
    if id != field_id {
        return Ok(None);
    }
    scalars.map(Some).ok_or(DecodeError::Missing { message: "the primary key", what: "scalars" })
}

/// The keys in a `ScalarField`: `long_data` or `string_data`, nothing else can be a key.
fn keys_in(scalars: &[u8]) -> Result<IDs, DecodeError> {
    for field in Fields::of("the primary key", scalars) {
        let field = field?;
        let id_field = match field.number {
            3 => IdField::IntId(array(field.bytes()?)?),
            6 => IdField::StrId(array(field.bytes()?)?),
            _ => continue,
        };
        return Ok(IDs { id_field: Some(id_field) });
    }
    Err(DecodeError::Missing { message: "the primary key", what: "integers or strings" })
}

fn array<M: Message + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(DecodeError::protobuf("the primary key"))
}

fn count(keys: &IDs) -> u64 {
    match &keys.id_field {
        Some(IdField::IntId(ids)) => ids.data.len() as u64,
        Some(IdField::StrId(ids)) => ids.data.len() as u64,
        Some(IdField::UuidId(_)) | None => 0,
    }
}
