//! Ids and names of Milvus, each a type of its own, so that they can't be mixed up. Never looks
//! anything up.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id!(
    /// A database of one cluster.
    DatabaseId
);
id!(
    /// A collection of one cluster; never reused, unlike its name.
    CollectionId
);
id!(
    /// A partition of one cluster; never reused, unlike its name.
    PartitionId
);

/// The database that an empty name stands for.
pub const DEFAULT_DATABASE: &str = "default";

/// The name of a collection in requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionName {
    /// The database's name.
    pub database: String,
    /// The collection's name in it.
    pub name: String,
}

impl CollectionName {
    /// The collection `name` of `database`.
    pub fn new(database: impl Into<String>, name: impl Into<String>) -> Self {
        Self { database: database.into(), name: name.into() }
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.name)
    }
}

/// The physical channel of a virtual one (`by-dev-rootcoord-dml_3_4498v0` is on
/// `by-dev-rootcoord-dml_3`), and the shard index behind its last `v`. `None` if `vchannel` does
/// not have this form.
pub fn split_vchannel(vchannel: &str) -> Option<(&str, CollectionId, usize)> {
    let (pchannel, shard) = vchannel.rsplit_once('_')?;
    let (collection, index) = shard.split_once('v')?;
    Some((pchannel, CollectionId(collection.parse().ok()?), index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_collection_is_shown_behind_its_database() {
        assert_eq!(CollectionName::new("sales", "orders").to_string(), "sales.orders");
    }

    #[test]
    fn a_virtual_channel_names_its_physical_channel_collection_and_shard() {
        assert_eq!(
            split_vchannel("by-dev-rootcoord-dml_10_449v2"),
            Some(("by-dev-rootcoord-dml_10", CollectionId(449), 2))
        );
        assert_eq!(split_vchannel("by-dev-rootcoord-dml_10"), None);
        assert_eq!(split_vchannel(""), None);
    }
}
