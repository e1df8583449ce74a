//! Makes collections and partitions of Milvus's records. Never answers from memory: what is
//! remembered only says where to look first.

use super::Shared;
use super::listing::{is_empty, list, reader};
use etcd_client::{Client, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use milvus_wire::DecodeError;
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
use std::sync::PoisonError;

/// Milvus gives it to the database that is always there.
const DEFAULT_DATABASE_ID: DatabaseId = DatabaseId(1);

/// Up to so many collections their fields are asked for one by one.
const FEW_COLLECTIONS: usize = 4;

/// etcd's own limit of operations in one transaction is 128.
const OPERATIONS_MAX: usize = 100;

/// All databases and collections as of one moment.
pub(super) async fn snapshot(shared: &Shared) -> Result<Snapshot> {
    let (databases, revision) = databases(shared, None).await?;
    let (records, _) = list(&shared.connection, &shared.keys.collections(), Some(revision)).await?;
    let mut collections = Vec::new();
    for record in records {
        let Some((database, id)) = shared.keys.parse_collection_key(&text(record.key())) else {
            continue;
        };
        let decoded = decode_collection(database, id, record.value());
        collections.extend(decoded.map_err(|error| unreadable(&record, error))?);
    }
    remember(shared, &collections);
    let mut parts = parts(shared, &collections, revision).await?;
    let mut whole = Vec::with_capacity(collections.len());
    for collection in collections {
        let parts = parts.remove(&collection.id).unwrap_or_default();
        let name = name_of(&databases, collection.database_id);
        whole.push(finish(shared, collection, parts, name).await?);
    }
    Ok(Snapshot { databases, collections: whole })
}

/// One collection, in whatever state.
pub(super) async fn collection(shared: &Shared, id: CollectionId) -> Result<Option<Collection>> {
    let home = shared.homes.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
    if let Some(home) = home
        && let Some(found) = collection_in(shared, id, &[home]).await?
    {
        return Ok(Some(found));
    }
    // It was never seen, or has moved to another database.
    let (databases, _) = databases(shared, None).await?;
    let ids: Vec<_> = databases.iter().map(|database| database.id).collect();
    for ids in ids.chunks(OPERATIONS_MAX / 2) {
        if let Some(found) = collection_in(shared, id, ids).await? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The partitions of a collection, in whatever state.
pub(super) async fn partitions(shared: &Shared, id: CollectionId) -> Result<Vec<Partition>> {
    let (records, _) = list(&shared.connection, &shared.keys.partitions(id), None).await?;
    let decoded = records
        .iter()
        .map(|record| decode_partition(record.value()).map_err(|error| unreadable(record, error)));
    decoded.filter_map(Result::transpose).collect()
}

async fn databases(shared: &Shared, revision: Option<i64>) -> Result<(Vec<Database>, i64)> {
    let (records, revision) = list(&shared.connection, &shared.keys.databases(), revision).await?;
    let decoded = records
        .iter()
        .map(|record| decode_database(record.value()).map_err(|error| unreadable(record, error)));
    let mut databases = decoded.filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
    if records.is_empty() {
        check_place(shared, revision).await?;
    }
    // A cluster that has never seen a second database may not have written its first one down.
    if !databases.iter().any(|database| database.id == DEFAULT_DATABASE_ID) {
        databases.push(default_database());
    }
    Ok((databases, revision))
}

/// Fails if there is nothing of a Milvus: then this is another place than the source's, or the source has
/// not run yet. It must not look like a source that has no collections.
async fn check_place(shared: &Shared, revision: i64) -> Result<()> {
    let prefix = shared.keys.root_coordinator();
    if !is_empty(&shared.connection, &prefix, revision).await? {
        return Ok(());
    }
    Err(Error::transient(format!(
        "there is no Milvus in {}: no key begins with {prefix}; check sourceConfig.etcd.rootPath and \
         sourceConfig.etcd.metaSubPath, which are Milvus's own etcd.rootPath and etcd.metaSubPath, or \
         start the source",
        shared.connection.place()
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

/// The parts of some collections: of all in a few large requests, or of few in a few small ones.
async fn parts(
    shared: &Shared,
    collections: &[Collection],
    revision: i64,
) -> Result<HashMap<CollectionId, Parts>> {
    let mut parts: HashMap<CollectionId, Parts> = HashMap::new();
    let (fields, functions) = if collections.len() <= FEW_COLLECTIONS {
        let (mut fields, mut functions) = (vec![], vec![]);
        for collection in collections {
            let prefix = shared.keys.fields(collection.id);
            fields.extend(list(&shared.connection, &prefix, Some(revision)).await?.0);
            let prefix = shared.keys.functions(collection.id);
            functions.extend(list(&shared.connection, &prefix, Some(revision)).await?.0);
        }
        (fields, functions)
    } else {
        let fields = parent(&shared.keys.fields(CollectionId(0)));
        let functions = parent(&shared.keys.functions(CollectionId(0)));
        (
            list(&shared.connection, &fields, Some(revision)).await?.0,
            list(&shared.connection, &functions, Some(revision)).await?.0,
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

/// Everything about one collection in one request, so that it fits together; it is looked for in
/// the given databases.
async fn collection_in(
    shared: &Shared,
    id: CollectionId,
    databases: &[DatabaseId],
) -> Result<Option<Collection>> {
    let below = |prefix: String| TxnOp::get(prefix, Some(GetOptions::new().with_prefix()));
    let mut operations = vec![below(shared.keys.fields(id)), below(shared.keys.functions(id))];
    for database in databases {
        operations.push(TxnOp::get(shared.keys.collection(*database, id), None));
        operations.push(TxnOp::get(format!("{}{database}", shared.keys.databases()), None));
    }
    let ask =
        async |client: Client| reader(&client).txn(Txn::new().and_then(operations.clone())).await;
    let answer = shared.connection.ask(&format!("read collection {id}"), ask).await?;
    let mut answers = answer.op_responses().into_iter().map(|answer| match answer {
        TxnOpResponse::Get(mut got) => got.take_kvs(),
        _ => vec![],
    });
    let mut parts = Parts::default();
    for record in answers.next().unwrap_or_default() {
        let field = decode_field(record.value()).map_err(|error| unreadable(&record, error))?;
        parts.fields.extend(field);
    }
    for record in answers.next().unwrap_or_default() {
        let decoded = decode_function(record.value());
        parts.functions.extend(decoded.map_err(|error| unreadable(&record, error))?);
    }
    for database in databases {
        let (record, name) = (answers.next(), answers.next());
        let Some(record) = record.and_then(|records| records.into_iter().next()) else { continue };
        let decoded = decode_collection(*database, id, record.value());
        let Some(found) = decoded.map_err(|error| unreadable(&record, error))? else { continue };
        let name = database_name(*database, name.unwrap_or_default())?;
        remember(shared, std::slice::from_ref(&found));
        return finish(shared, found, parts, name).await.map(Some);
    }
    Ok(None)
}

fn database_name(id: DatabaseId, records: Vec<KeyValue>) -> Result<String> {
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

/// Empty if the database has been dropped.
fn name_of(databases: &[Database], id: DatabaseId) -> String {
    let found = databases.iter().find(|database| database.id == id);
    found.map(|database| database.name.clone()).unwrap_or_default()
}

/// Puts a collection together. One that is not or no longer there for users may lack its fields.
async fn finish(
    shared: &Shared,
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
        whole.partition_count = Some(partitions(shared, id).await?.len());
    }
    Ok(whole)
}

fn remember(shared: &Shared, collections: &[Collection]) {
    let mut homes = shared.homes.lock().unwrap_or_else(PoisonError::into_inner);
    homes.extend(collections.iter().map(|collection| (collection.id, collection.database_id)));
}

/// The collection of a field's or function's key.
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

pub(super) fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

pub(super) fn unreadable(record: &KeyValue, error: DecodeError) -> Error {
    let what = format!("the source's etcd record {} can't be read", text(record.key()));
    Error::permanent(what).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_prefix_is_the_prefix_of_all_its_siblings() {
        assert_eq!(parent("by-dev/meta/root-coord/fields/0/"), "by-dev/meta/root-coord/fields/");
    }
}
