//! Decodes how a collection is served, from the records of Milvus's coordinators in etcd (2.3 to
//! 2.5): its indexes, its load state and its aliases. Never talks to etcd: bytes in, values out.

use crate::catalog::record;
use crate::error::DecodeError;
use crate::ids::{CollectionId, DatabaseId, PartitionId};
use crate::proto::common::KeyValuePair;
use crate::records::{AliasInfo, CollectionLoadInfo, FieldIndex, PartitionLoadInfo};
use std::collections::BTreeSet;

/// An index.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Its id; a new one each time a name is used again.
    pub id: i64,
    /// Its name, never empty: the proxy gives it one.
    pub name: String,
    /// The id of its field.
    pub field: i64,
    /// The parameters that the user gave: `index_type`, `metric_type`, `params`, ….
    pub params: Vec<KeyValuePair>,
}

/// How a collection is loaded. One that is still loading counts as loaded: a user has requested it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Whether it is loaded as a whole, so that partitions created later are loaded too; otherwise
    /// only some partitions are loaded. Source: `SyncNewCreatedPartitionJob`.
    pub whole: bool,
    /// How many replicas are in memory.
    pub replicas: i32,
}

/// How a collection is served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Serving {
    /// The indexes, without dropped ones.
    pub indexes: Vec<Index>,
    /// How it is loaded; `None` if nothing is loaded.
    pub load: Option<Load>,
    /// The loaded partitions. They may be fewer than the collection has even if it was loaded as a
    /// whole: some may have been released. Source: `ReleasePartitionJob`.
    pub partitions: BTreeSet<PartitionId>,
}

/// Another name of a collection, unique in its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The database, from the record's key.
    pub database: DatabaseId,
    /// The name.
    pub name: String,
    /// The collection that it belongs to now.
    pub collection: CollectionId,
}

/// Decodes to which collection an alias belongs; `None` if the alias has been dropped.
pub fn decode_alias(bytes: &[u8]) -> Result<Option<CollectionId>, DecodeError> {
    const WHAT: &str = "an alias's record";
    match record::<AliasInfo>(WHAT, bytes)? {
        Some(AliasInfo { collection_id: 0, .. }) => {
            Err(DecodeError::Missing { message: WHAT, what: "a collection" })
        }
        info => Ok(info.map(|info| CollectionId(info.collection_id))),
    }
}

/// Decodes an index's record; `None` if the index has been dropped.
pub fn decode_index(bytes: &[u8]) -> Result<Option<Index>, DecodeError> {
    const WHAT: &str = "an index's record";
    let Some(index) = record::<FieldIndex>(WHAT, bytes)?.filter(|index| !index.deleted) else {
        return Ok(None);
    };
    let missing = DecodeError::Missing { message: WHAT, what: "index info" };
    let info = index.index_info.ok_or(missing)?;
    // For a scalar field the user may give no parameters, and Milvus chooses. For a vector the user
    // gives some; only records from before 2.2 lack them, and there the resulting parameters serve
    // as well.
    let is_of_vector = info.index_params.iter().any(|pair| pair.key == "metric_type");
    let lacks = info.user_index_params.is_empty() && is_of_vector;
    let params = if lacks { info.index_params } else { info.user_index_params };
    Ok(Some(Index { id: info.index_id, name: info.index_name, field: info.field_id, params }))
}

/// Decodes a collection's load record.
pub fn decode_load(id: CollectionId, bytes: &[u8]) -> Result<Option<Load>, DecodeError> {
    let Some(info) = record::<CollectionLoadInfo>("a collection's load record", bytes)? else {
        return Ok(None);
    };
    check("the id in a collection's load record", info.collection_id, id)?;
    // `querypb.LoadType`.
    let whole = match info.load_type {
        1 => false,
        2 => true,
        other => return Err(DecodeError::OutOfRange { what: "a load type", value: other.into() }),
    };
    Ok(Some(Load { whole, replicas: info.replica_number }))
}

/// Decodes a partition's load record.
pub fn decode_partition_load(
    id: CollectionId,
    bytes: &[u8],
) -> Result<Option<PartitionId>, DecodeError> {
    let Some(info) = record::<PartitionLoadInfo>("a partition's load record", bytes)? else {
        return Ok(None);
    };
    check("the collection in a partition's load record", info.collection_id, id)?;
    Ok(Some(PartitionId(info.partition_id)))
}

fn check(what: &'static str, found: i64, id: CollectionId) -> Result<(), DecodeError> {
    if found == id.0 { Ok(()) } else { Err(DecodeError::OutOfRange { what, value: found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::IndexInfo;
    use prost::Message as _;

    fn pair(key: &str, value: &str) -> KeyValuePair {
        KeyValuePair { key: key.into(), value: value.into() }
    }

    fn index(user: Vec<KeyValuePair>) -> FieldIndex {
        let info = IndexInfo {
            collection_id: 7,
            field_id: 101,
            index_name: "by_vector".into(),
            index_id: 9,
            index_params: vec![pair("metric_type", "L2"), pair("M", "8")],
            user_index_params: user,
        };
        FieldIndex { index_info: Some(info), deleted: false }
    }

    #[test]
    fn an_index_has_what_the_user_gave_and_a_dropped_one_is_none() {
        let user = vec![pair("index_type", "HNSW"), pair("params", r#"{"M":8}"#)];
        let found = decode_index(&index(user.clone()).encode_to_vec()).unwrap().unwrap();
        assert_eq!((found.id, found.field), (9, 101));
        assert_eq!((found.name.as_str(), &found.params), ("by_vector", &user));
        let old = decode_index(&index(vec![]).encode_to_vec()).unwrap().unwrap();
        assert_eq!(old.params, [pair("metric_type", "L2"), pair("M", "8")]);
        let mut scalar = index(vec![]);
        scalar.index_info.as_mut().unwrap().index_params = vec![pair("index_type", "STL_SORT")];
        let scalar = decode_index(&scalar.encode_to_vec()).unwrap().unwrap();
        assert_eq!(scalar.params, []);
        let dropped = FieldIndex { deleted: true, ..index(user) };
        assert_eq!(decode_index(&dropped.encode_to_vec()).unwrap(), None);
        assert!(decode_index(&[0x0a, 0xff]).is_err());
    }

    #[test]
    fn an_alias_has_a_collection_until_it_is_dropped() {
        let info = AliasInfo { alias_name: "x".into(), collection_id: 7 }.encode_to_vec();
        assert_eq!(decode_alias(&info).unwrap(), Some(CollectionId(7)));
        assert_eq!(decode_alias(&crate::catalog::TOMBSTONE).unwrap(), None);
        assert!(decode_alias(&[]).is_err());
    }

    #[test]
    fn a_load_is_of_the_whole_or_of_partitions_and_of_its_own_collection() {
        let load = |load_type| {
            let info = CollectionLoadInfo { collection_id: 7, replica_number: 2, load_type };
            decode_load(CollectionId(7), &info.encode_to_vec())
        };
        assert_eq!(load(1).unwrap(), Some(Load { whole: false, replicas: 2 }));
        assert_eq!(load(2).unwrap(), Some(Load { whole: true, replicas: 2 }));
        assert!(load(0).is_err());
        let partition = PartitionLoadInfo { collection_id: 7, partition_id: 8 }.encode_to_vec();
        let decoded = decode_partition_load(CollectionId(7), &partition);
        assert_eq!(decoded.unwrap(), Some(PartitionId(8)));
        assert!(decode_partition_load(CollectionId(6), &partition).is_err());
    }
}
