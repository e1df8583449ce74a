//! The keys of Milvus's coordinators in etcd (2.3 to 2.5): all of the root coordinator's, and those
//! of the data and query coordinators that say how a collection is served; of the sessions only
//! those of proxies. Never talks to etcd.

use crate::ids::{CollectionId, DatabaseId, PartitionId};

/// The keys of one cluster. Each prefix ends in a slash or a dash, so that it does not match a
/// longer id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    root: String,
}

impl Keys {
    /// The keys below a cluster's `etcd.rootPath` and `etcd.metaSubPath`.
    pub fn new(root_path: &str, meta_sub_path: &str) -> Self {
        let parts = [root_path.trim_end_matches('/'), meta_sub_path.trim_matches('/')];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Self { root: parts.join("/") }
    }

    /// The prefix of all records of the root coordinator. There are none if the cluster has never
    /// run.
    pub fn root_coordinator(&self) -> String {
        self.under("")
    }

    /// The prefix of all databases.
    pub fn databases(&self) -> String {
        self.under("database/db-info/")
    }

    /// The prefix of all collections, of every database.
    pub fn collections(&self) -> String {
        self.under("database/collection-info/")
    }

    /// The key of one collection.
    pub fn collection(&self, database: DatabaseId, collection: CollectionId) -> String {
        format!("{}{database}/{collection}", self.collections())
    }

    /// The prefix of all partitions, of every collection.
    pub fn all_partitions(&self) -> String {
        self.under("partitions/")
    }

    /// The prefix of a collection's partitions.
    pub fn partitions(&self, collection: CollectionId) -> String {
        format!("{}{collection}/", self.all_partitions())
    }

    /// The prefix of a collection's fields.
    pub fn fields(&self, collection: CollectionId) -> String {
        format!("{}{collection}/", self.under("fields/"))
    }

    /// The prefix of a collection's functions; empty before 2.5.
    pub fn functions(&self, collection: CollectionId) -> String {
        format!("{}{collection}/", self.under("functions/"))
    }

    /// The prefix of all aliases, of every database. Source: `BuildAliasKeyWithDB`. The layouts
    /// from before 2.2.9 are not read, as the collections of that time are not.
    pub fn aliases(&self) -> String {
        self.under("database/aliases/")
    }

    /// The prefix of users, roles and grants. Source: `rootcoord.CommonCredentialPrefix`, as for
    /// the four below; `util.DefaultTenant` is empty.
    pub fn credentials(&self) -> String {
        self.under("credential/")
    }

    /// The prefix of all roles.
    pub fn roles(&self) -> String {
        self.under("credential/roles/")
    }

    /// The prefix of the members of roles.
    pub fn members(&self) -> String {
        self.under("credential/user-role-mapping/")
    }

    /// The prefix of the objects of grants, by role.
    pub fn grantees(&self) -> String {
        self.under("credential/grantee-privileges/")
    }

    /// The prefix of the privileges of each grantee.
    pub fn privileges(&self) -> String {
        self.under("credential/grantee-id/")
    }

    /// The prefix of the sessions of proxies; an id follows. Source: `Session.getCompleteKey` in
    /// `internal/util/sessionutil/session_util.go`.
    pub fn proxy_sessions(&self) -> String {
        self.beside("session/proxy-")
    }

    /// The prefix of all indexes, of every collection. Source: `util.FieldIndexPrefix`.
    pub fn all_indexes(&self) -> String {
        self.beside("field-index/")
    }

    /// The prefix of a collection's indexes.
    pub fn indexes(&self, collection: CollectionId) -> String {
        format!("{}{collection}/", self.all_indexes())
    }

    /// The prefix of the load records of all collections. Source:
    /// `querycoord.CollectionLoadInfoPrefix`.
    pub fn all_loads(&self) -> String {
        self.beside("querycoord-collection-loadinfo/")
    }

    /// The key of a collection's load record.
    pub fn load(&self, collection: CollectionId) -> String {
        format!("{}{collection}", self.all_loads())
    }

    /// The prefix of the load records of all partitions. Source:
    /// `querycoord.PartitionLoadInfoPrefix`.
    pub fn all_partition_loads(&self) -> String {
        self.beside("querycoord-partition-loadinfo/")
    }

    /// The prefix of the load records of a collection's partitions.
    pub fn partition_loads(&self, collection: CollectionId) -> String {
        format!("{}{collection}/", self.all_partition_loads())
    }

    /// The database and the collection of a collection's key.
    pub fn parse_collection_key(&self, key: &str) -> Option<(DatabaseId, CollectionId)> {
        let (database, collection) = key.strip_prefix(&self.collections())?.split_once('/')?;
        Some((DatabaseId(database.parse().ok()?), CollectionId(collection.parse().ok()?)))
    }

    /// The collection and the partition of a partition's key.
    pub fn parse_partition_key(&self, key: &str) -> Option<(CollectionId, PartitionId)> {
        let (collection, partition) = key.strip_prefix(&self.all_partitions())?.split_once('/')?;
        Some((CollectionId(collection.parse().ok()?), PartitionId(partition.parse().ok()?)))
    }

    /// The database and the name of an alias's key.
    pub fn parse_alias_key<'a>(&self, key: &'a str) -> Option<(DatabaseId, &'a str)> {
        let (database, name) = key.strip_prefix(&self.aliases())?.split_once('/')?;
        Some((DatabaseId(database.parse().ok()?), name))
    }

    /// The collection of an index's or load record's key.
    pub fn parse_serving_key(&self, key: &str) -> Option<CollectionId> {
        let of_part = |prefix: String| Some(key.strip_prefix(&prefix)?.split_once('/')?.0);
        let collection = of_part(self.all_indexes())
            .or_else(|| of_part(self.all_partition_loads()))
            .or_else(|| key.strip_prefix(&self.all_loads()))?;
        collection.parse().ok().map(CollectionId)
    }

    fn under(&self, path: &str) -> String {
        self.beside(&format!("root-coord/{path}"))
    }

    fn beside(&self, path: &str) -> String {
        if self.root.is_empty() {
            return path.to_owned();
        }
        format!("{}/{path}", self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_and_a_prefix_ends_in_a_slash() {
        let keys = Keys::new("by-dev/", "/meta");
        assert_eq!(keys.databases(), "by-dev/meta/root-coord/database/db-info/");
        assert_eq!(keys.root_coordinator(), "by-dev/meta/root-coord/");
        let key = keys.collection(DatabaseId(1), CollectionId(449));
        assert_eq!(key, "by-dev/meta/root-coord/database/collection-info/1/449");
        assert_eq!(keys.parse_collection_key(&key), Some((DatabaseId(1), CollectionId(449))));
        assert_eq!(keys.fields(CollectionId(449)), "by-dev/meta/root-coord/fields/449/");
        assert_eq!(keys.functions(CollectionId(449)), "by-dev/meta/root-coord/functions/449/");
        let partition = format!("{}450", keys.partitions(CollectionId(449)));
        assert_eq!(
            keys.parse_partition_key(&partition),
            Some((CollectionId(449), PartitionId(450)))
        );
        let alias = "by-dev/meta/root-coord/database/aliases/1/x";
        assert_eq!(keys.parse_alias_key(alias), Some((DatabaseId(1), "x")));
        assert_eq!(keys.parse_alias_key(&key), None);
        assert_eq!(keys.credentials(), "by-dev/meta/root-coord/credential/");
        for below in [keys.roles(), keys.members(), keys.grantees(), keys.privileges()] {
            assert!(below.starts_with(&keys.credentials()), "{below}");
        }
    }

    #[test]
    fn keys_of_indexes_and_loads_name_their_collection() {
        let keys = Keys::new("by-dev", "meta");
        let id = CollectionId(449);
        assert_eq!(keys.indexes(id), "by-dev/meta/field-index/449/");
        assert_eq!(keys.load(id), "by-dev/meta/querycoord-collection-loadinfo/449");
        let partitions = keys.partition_loads(id);
        assert_eq!(partitions, "by-dev/meta/querycoord-partition-loadinfo/449/");
        for key in [format!("{}7", keys.indexes(id)), keys.load(id), format!("{partitions}8")] {
            assert_eq!(keys.parse_serving_key(&key), Some(id), "{key}");
        }
        for key in [keys.all_indexes(), keys.all_loads(), keys.collection(DatabaseId(1), id)] {
            assert_eq!(keys.parse_serving_key(&key), None, "{key}");
        }
    }

    #[test]
    fn a_key_of_another_kind_or_depth_is_not_read() {
        let keys = Keys::new("by-dev", "meta");
        for key in ["", "by-dev/meta/root-coord/database/collection-info/1/2/3", "x/1/2"] {
            assert_eq!(keys.parse_collection_key(key), None, "{key}");
        }
        assert_eq!(keys.parse_collection_key(&format!("{}1", keys.collections())), None);
        assert_eq!(Keys::new("", "").databases(), "root-coord/database/db-info/");
    }
}
