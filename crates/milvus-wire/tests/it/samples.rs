//! Random messages that Milvus could have written. Never invalid ones.

use milvus_wire::ids::{CollectionId, PartitionId};
use milvus_wire::proto::common::{Blob, MsgBase, MsgType, ReplicateInfo};
use milvus_wire::proto::msg::{DeleteRequest, InsertRequest};
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::i_ds::IdField;
use milvus_wire::proto::schema::scalar_field::Data;
use milvus_wire::proto::schema::vector_field;
use milvus_wire::proto::schema::{
    FieldData, FloatArray, IDs, LongArray, ScalarField, StringArray, VectorField,
};
use milvus_wire::splice::Patch;
use milvus_wire::timestamp::Timestamp;
use proptest::collection::{hash_map, vec};
use proptest::option;
use proptest::prelude::*;

/// The primary key's field in the samples.
pub(crate) const PRIMARY_KEY: i64 = 100;

/// What a [`Patch`] borrows from.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) vchannel: String,
    pub(crate) database: String,
    pub(crate) collection: String,
    pub(crate) collection_id: i64,
    pub(crate) partition_id: Option<i64>,
    pub(crate) stamp: Option<u64>,
    pub(crate) msg_id: Option<i64>,
}

impl Target {
    pub(crate) fn patch(&self) -> Patch<'_> {
        Patch {
            vchannel: &self.vchannel,
            database: &self.database,
            collection: &self.collection,
            collection_id: CollectionId(self.collection_id),
            partition_id: self.partition_id.map(PartitionId),
            stamp: self.stamp.map(Timestamp),
            msg_id: self.msg_id,
        }
    }
}

pub(crate) fn target() -> impl Strategy<Value = Target> {
    let names = (vchannel(), ".{0,8}", ".{0,8}");
    let stamp = option::of(1..u64::MAX);
    let numbers = (any::<i64>(), any::<Option<i64>>(), stamp, any::<Option<i64>>());
    (names, numbers).prop_map(|((vchannel, database, collection), numbers)| {
        let (collection_id, partition_id, stamp, msg_id) = numbers;
        Target { vchannel, database, collection, collection_id, partition_id, stamp, msg_id }
    })
}

pub(crate) fn vchannel() -> impl Strategy<Value = String> {
    "[a-z-]{1,12}_[0-9]{1,2}_[1-9][0-9]{0,17}v[0-9]{1,2}"
}

pub(crate) fn base(kind: MsgType) -> impl Strategy<Value = MsgBase> {
    let replicate_info = option::of((any::<bool>(), any::<u64>()).prop_map(|(is, ts)| {
        ReplicateInfo { is_replicate: is, msg_timestamp: ts, ..Default::default() }
    }));
    let numbers = any::<(i64, u64, i64, i64)>();
    (numbers, hash_map("[a-z]{0,4}", ".{0,4}", 0..3), replicate_info).prop_map(
        move |((msg_id, timestamp, source_id, target_id), properties, replicate_info)| MsgBase {
            msg_type: kind.into(),
            msg_id,
            timestamp,
            source_id,
            target_id,
            properties,
            replicate_info,
        },
    )
}

/// An insert whose columns, the primary key's among them, have as many values as it has rows.
pub(crate) fn insert() -> impl Strategy<Value = InsertRequest> {
    let names = (vchannel(), ".{0,8}", ".{0,8}", ".{0,8}");
    let ids = any::<[i64; 4]>();
    let columns = (1usize..12).prop_flat_map(|rows| {
        let others = vec(column(rows, 101), 0..3);
        let columns = (others, keys(rows), any::<prop::sample::Index>());
        let columns = columns.prop_map(move |(mut columns, keys, place)| {
            columns.insert(place.index(columns.len() + 1), key_column(&keys));
            (rows, columns)
        });
        (columns, vec(any::<u64>(), rows), vec(any::<i64>(), rows))
    });
    let rest = (vec(vec(any::<u8>(), 0..6), 0..3), option::of(".{0,4}"));
    (base(MsgType::Insert), names, ids, columns, rest).prop_map(
        |(base, names, ids, ((rows, fields_data), timestamps, row_i_ds), (blobs, namespace))| {
            InsertRequest {
                base: Some(base),
                shard_name: names.0,
                db_name: names.1,
                collection_name: names.2,
                partition_name: names.3,
                db_id: ids[0],
                collection_id: ids[1],
                partition_id: ids[2],
                segment_id: ids[3],
                timestamps,
                row_i_ds,
                row_data: blobs.into_iter().map(|value| Blob { value }).collect(),
                fields_data,
                num_rows: rows as u64,
                version: 1,
                namespace,
            }
        },
    )
}

pub(crate) fn delete() -> impl Strategy<Value = DeleteRequest> {
    let names = (vchannel(), ".{0,8}", ".{0,8}", ".{0,8}");
    let keys = (1usize..12).prop_flat_map(|rows| (keys(rows), vec(any::<u64>(), rows)));
    let rest = (vec(any::<i64>(), 0..4), any::<i64>(), vec(any::<u8>(), 0..6));
    (base(MsgType::Delete), names, any::<[i64; 3]>(), keys, rest).prop_map(
        |(base, names, ids, (keys, timestamps), (old_keys, segment_id, plan))| DeleteRequest {
            base: Some(base),
            shard_name: names.0,
            db_name: names.1,
            collection_name: names.2,
            partition_name: names.3,
            db_id: ids[0],
            collection_id: ids[1],
            partition_id: ids[2],
            int64_primary_keys: old_keys,
            num_rows: timestamps.len() as i64,
            timestamps,
            primary_keys: Some(keys),
            segment_id,
            serialized_expr_plan: plan,
        },
    )
}

/// Primary keys of either type.
pub(crate) fn keys(rows: usize) -> impl Strategy<Value = IDs> {
    let numbers = vec(any::<i64>(), rows).prop_map(|data| IdField::IntId(LongArray { data }));
    let texts = vec(".{0,4}", rows).prop_map(|data| IdField::StrId(StringArray { data }));
    prop_oneof![numbers, texts].prop_map(|keys| IDs { id_field: Some(keys) })
}

fn key_column(keys: &IDs) -> FieldData {
    let data = match keys.id_field.clone() {
        Some(IdField::StrId(keys)) => Data::StringData(keys),
        Some(IdField::IntId(keys)) => Data::LongData(keys),
        _ => unreachable!("the samples have no other keys"),
    };
    let scalars = ScalarField { data: Some(data), ..Default::default() };
    FieldData {
        field_name: "key".into(),
        field_id: PRIMARY_KEY,
        field: Some(Field::Scalars(scalars)),
        ..Default::default()
    }
}

/// The keys in an insert's column of primary keys.
pub(crate) fn keys_of(insert: &InsertRequest) -> IDs {
    let column = insert.fields_data.iter().find(|column| column.field_id == PRIMARY_KEY);
    let Some(Field::Scalars(scalars)) = column.and_then(|column| column.field.clone()) else {
        unreachable!("the samples have a key column");
    };
    let id_field = match scalars.data {
        Some(Data::LongData(keys)) => IdField::IntId(keys),
        Some(Data::StringData(keys)) => IdField::StrId(keys),
        _ => unreachable!("the samples have no other keys"),
    };
    IDs { id_field: Some(id_field) }
}

/// A vector column; whole numbers, for one that is not a number equals nothing.
fn column(rows: usize, field_id: i64) -> impl Strategy<Value = FieldData> {
    vec(any::<i16>(), rows * 4).prop_map(move |numbers| {
        let data = numbers.into_iter().map(f32::from).collect();
        let data = vector_field::Data::FloatVector(FloatArray { data });
        let vectors = VectorField { dim: 4, data: Some(data), ..Default::default() };
        let field = Some(Field::Vectors(vectors));
        FieldData { field_name: "vector".into(), field_id, field, ..Default::default() }
    })
}
