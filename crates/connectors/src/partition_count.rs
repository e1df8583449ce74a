//! How many partitions a partition-key collection has. Milvus fixes that when it is created and
//! keeps it nowhere in the collection's record, so the catalog counts them and passes the number
//! on as a property of a reserved name. Never reaches a server under that name.

use milvus_wire::catalog::Collection;
use milvus_wire::proto::common::KeyValuePair;

/// The reserved name; Milvus's own properties have no slash.
const PROPERTY: &str = "milvus-cdc/num_partitions";

/// Whether rows are spread over partitions by the value of a field.
pub(crate) fn has_partition_key(collection: &Collection) -> bool {
    collection.schema.fields.iter().any(|field| field.is_partition_key)
}

/// Notes the number for [`split`].
pub(crate) fn note(collection: &mut Collection, count: usize) {
    collection.properties.retain(|property| property.key != PROPERTY);
    collection.properties.push(KeyValuePair { key: PROPERTY.to_owned(), value: count.to_string() });
}

/// The noted number, zero for "as the target likes", and the collection's real properties.
pub(crate) fn split(collection: &Collection) -> (i64, Vec<KeyValuePair>) {
    let (noted, real): (Vec<_>, Vec<_>) =
        collection.properties.iter().cloned().partition(|property| property.key == PROPERTY);
    let count = noted.first().and_then(|property| property.value.parse().ok());
    (count.unwrap_or(0), real)
}
