//! Reads collections and partitions from Milvus's records. Never answers from memory: what is
//! remembered only says where to look first.

use super::cluster::Cluster;
use super::connection::Repeat;
use super::listing::{is_empty, list};
use super::record::{text, unreadable};
use super::transaction::transact;
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp};
use milvus_wire::catalog::{
    Collection, Database, Partition, State, assemble, decode_collection, decode_database,
    decode_field, decode_function, decode_partition,
};
use milvus_wire::ids::{CollectionId, DEFAULT_DATABASE, DatabaseId};
use milvus_wire::proto::schema::{FieldSchema, FunctionSchema};
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use replication::ports::Snapshot;
use std::collections::HashMap;

/// The id of the default database, which always exists.
const DEFAULT_DATABASE_ID: DatabaseId = DatabaseId(1);

/// Up to this many collections, their fields are read one by one.
const FEW_COLLECTIONS: usize = 4;

/// Operations in one transaction; etcd's own limit is 128.
const OPERATIONS_MAX: usize = 100;

/// All databases and collections as of one moment.
pub(super) async fn snapshot(cluster: &Cluster) -> Result<Snapshot> {
    let (databases, revision) = databases(cluster, None).await?;
    let (records, _) =
        list(&cluster.connection, &cluster.keys.collections(), Some(revision)).await?;
    let mut collections = Vec::new();
    for record in records {
        let Some((database, id)) = cluster.keys.parse_collection_key(&text(record.key())) else {
            continue;
        };
        let decoded = decode_collection(database, id, record.value());
        collections.extend(decoded.map_err(|error| unreadable(&record, error))?);
    }
    cluster.remember(&collections);
    let mut parts = parts(cluster, &collections, revision).await?;
    let mut whole = Vec::with_capacity(collections.len());
    for collection in collections {
        let parts = parts.remove(&collection.id).unwrap_or_default();
        let name = name_of(&databases, collection.database_id);
        whole.push(finish(cluster, collection, parts, name).await?);
    }
    Ok(Snapshot { databases, collections: whole })
}

/// One collection, in whatever state.
pub(super) async fn collection(cluster: &Cluster, id: CollectionId) -> Result<Option<Collection>> {
    if let Some(home) = cluster.home(id)
        && let Some(found) = collection_in(cluster, id, &[home]).await?
    {
        return Ok(Some(found));
    }
    // It was never seen, or has moved to another database.
    let (databases, _) = databases(cluster, None).await?;
    let ids: Vec<_> = databases.iter().map(|database| database.id).collect();
    for ids in ids.chunks(OPERATIONS_MAX / 2) {
        if let Some(found) = collection_in(cluster, id, ids).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The partitions of a collection, in whatever state.
pub(super) async fn partitions(cluster: &Cluster, id: CollectionId) -> Result<Vec<Partition>> {
    let (records, _) = list(&cluster.connection, &cluster.keys.partitions(id), None).await?;
    let decoded = records
        .iter()
        .map(|record| decode_partition(record.value()).map_err(|error| unreadable(record, error)));
    decoded.filter_map(Result::transpose).collect()
}

async fn databases(cluster: &Cluster, revision: Option<i64>) -> Result<(Vec<Database>, i64)> {
    let (records, revision) =
        list(&cluster.connection, &cluster.keys.databases(), revision).await?;
    let decoded = records
        .iter()
        .map(|record| decode_database(record.value()).map_err(|error| unreadable(record, error)));
    let mut databases = decoded.filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
    if records.is_empty() {
        check_place(cluster, revision).await?;
    }
    // A cluster without a second database may not have a record of the first one.
    if !databases.iter().any(|database| database.id == DEFAULT_DATABASE_ID) {
        databases.push(default_database());
    }
    Ok((databases, revision))
}

/// Fails if there is no record of a Milvus: the root path is wrong, or the source has not run yet.
/// Both must not look like a source without collections.
async fn check_place(cluster: &Cluster, revision: i64) -> Result<()> {
    let prefix = cluster.keys.root_coordinator();
    if !is_empty(&cluster.connection, &prefix, revision).await? {
        return Ok(());
    }
    Err(Error::transient(format!(
        "there is no Milvus in {}: no key begins with {prefix}; check sourceConfig.etcd.rootPath \
         and sourceConfig.etcd.metaSubPath, which are Milvus's own etcd.rootPath and \
         etcd.metaSubPath, or start the source",
        cluster.connection.place()
    )))
}

fn default_database() -> Database {
    Database {
        id: DEFAULT_DATABASE_ID,
        name: DEFAULT_DATABASE.to_owned(),
        created: Timestamp::ZERO,
    }
}

/// Fields and functions, which have records of their own.
#[derive(Default)]
struct Parts {
    fields: Vec<FieldSchema>,
    functions: Vec<FunctionSchema>,
}

/// Reads the parts of collections: of many collections in a few large requests, of few in small
/// ones.
async fn parts(
    cluster: &Cluster,
    collections: &[Collection],
    revision: i64,
) -> Result<HashMap<CollectionId, Parts>> {
    let mut parts: HashMap<CollectionId, Parts> = HashMap::new();
    let (fields, functions) = if collections.len() <= FEW_COLLECTIONS {
        let (mut fields, mut functions) = (vec![], vec![]);
        for collection in collections {
            let prefix = cluster.keys.fields(collection.id);
            fields.extend(list(&cluster.connection, &prefix, Some(revision)).await?.0);
            let prefix = cluster.keys.functions(collection.id);
            functions.extend(list(&cluster.connection, &prefix, Some(revision)).await?.0);
        }
        (fields, functions)
    } else {
        let fields = parent(&cluster.keys.fields(CollectionId(0)));
        let functions = parent(&cluster.keys.functions(CollectionId(0)));
        (
            list(&cluster.connection, &fields, Some(revision)).await?.0,
            list(&cluster.connection, &functions, Some(revision)).await?.0,
        )
    };
    for record in &fields {
        let field = decode_field(record.value()).map_err(|error| unreadable(record, error))?;
        let Some(id) = owner(record) else { continue };
        parts.entry(id).or_default().fields.extend(field);
    }
    for record in &functions {
        let function =
            decode_function(record.value()).map_err(|error| unreadable(record, error))?;
        let Some(id) = owner(record) else { continue };
        parts.entry(id).or_default().functions.extend(function);
    }
    Ok(parts)
}

/// Reads one collection with its parts in one request, so that all of it is of one moment. It is
/// looked for in the given databases.
async fn collection_in(
    cluster: &Cluster,
    id: CollectionId,
    databases: &[DatabaseId],
) -> Result<Option<Collection>> {
    let below = |prefix: String| TxnOp::get(prefix, Some(GetOptions::new().with_prefix()));
    let mut operations = vec![below(cluster.keys.fields(id)), below(cluster.keys.functions(id))];
    for database in databases {
        operations.push(TxnOp::get(cluster.keys.collection(*database, id), None));
        operations.push(TxnOp::get(format!("{}{database}", cluster.keys.databases()), None));
    }
    let txn = Txn::new().and_then(operations);
    let tried = format!("read collection {id}");
    let mut answer = transact(&cluster.connection, &tried, Repeat::Always, txn).await?;
    let mut parts = Parts::default();
    for record in answer.next_read() {
        let field = decode_field(record.value()).map_err(|error| unreadable(&record, error))?;
        parts.fields.extend(field);
    }
    for record in answer.next_read() {
        let decoded = decode_function(record.value());
        parts.functions.extend(decoded.map_err(|error| unreadable(&record, error))?);
    }
    for database in databases {
        let (record, name) = (answer.next_read(), answer.next_read());
        let Some(record) = record.into_iter().next() else { continue };
        let decoded = decode_collection(*database, id, record.value());
        let Some(found) = decoded.map_err(|error| unreadable(&record, error))? else { continue };
        let name = database_name(*database, &name)?;
        cluster.remember(std::slice::from_ref(&found));
        return finish(cluster, found, parts, name).await.map(Some);
    }
    Ok(None)
}

fn database_name(id: DatabaseId, records: &[KeyValue]) -> Result<String> {
    match records.first() {
        Some(record) => {
            let database = decode_database(record.value());
            let database = database.map_err(|error| unreadable(record, error))?;
            Ok(database.map(|database| database.name).unwrap_or_default())
        }
        None if id == DEFAULT_DATABASE_ID => Ok(DEFAULT_DATABASE.to_owned()),
        None => Ok(String::new()),
    }
}

/// The name of a database; empty if it has been dropped.
fn name_of(databases: &[Database], id: DatabaseId) -> String {
    let found = databases.iter().find(|database| database.id == id);
    found.map(|database| database.name.clone()).unwrap_or_default()
}

/// Completes a collection. One that users can't see yet, or any more, may lack its fields.
async fn finish(
    cluster: &Cluster,
    mut collection: Collection,
    parts: Parts,
    database: String,
) -> Result<Collection> {
    collection.database = database;
    if parts.fields.is_empty() && collection.state != State::Created {
        return Ok(collection);
    }
    let id = collection.id;
    let mut whole = assemble(collection, parts.fields, parts.functions).map_err(|error| {
        Error::permanent(format!("the source's record of collection {id} can't be read"))
            .because(error)
    })?;
    if whole.has_partition_key() {
        whole.partition_count = Some(partitions(cluster, id).await?.len());
    }
    Ok(whole)
}

/// The collection in the key of a field or function.
fn owner(record: &KeyValue) -> Option<CollectionId> {
    let key = text(record.key());
    let (rest, _) = key.rsplit_once('/')?;
    let (_, id) = rest.rsplit_once('/')?;
    id.parse().ok().map(CollectionId)
}

/// `a/b/` of `a/b/c/`.
fn parent(prefix: &str) -> String {
    let parent = prefix.trim_end_matches('/').rsplit_once('/');
    parent.map_or(String::new(), |(parent, _)| format!("{parent}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_prefix_is_the_prefix_of_all_its_siblings() {
        assert_eq!(parent("by-dev/meta/root-coord/fields/0/"), "by-dev/meta/root-coord/fields/");
    }
}
