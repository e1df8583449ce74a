//! Creates, drops, renames and alters the collections of a target. Never does what is done already:
//! it looks first, and looks again when the target refuses.

use super::client::{Client, replicated};
use super::fault::Fault;
use super::{alias, describe};
use milvus_wire::catalog::Collection;
use milvus_wire::ids::CollectionName;
use milvus_wire::proto::common::KeyValuePair;
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use prost::Message as _;
use replication::error::{Error, Kind, Result};

/// Creates a collection as the source has it, under a name of the target.
pub(super) async fn create(
    client: &Client,
    named: &CollectionName,
    collection: &Collection,
    at: Timestamp,
) -> Result<()> {
    if describe::collection(client, named).await?.is_some() {
        return Ok(());
    }
    let CollectionName { database, name } = named;
    let mut schema = collection.schema.clone();
    schema.name.clone_from(name);
    // Zero lets the target decide.
    let num_partitions =
        collection.partition_count.map_or(0, |count| i64::try_from(count).unwrap_or(i64::MAX));
    let request = pb::CreateCollectionRequest {
        base: replicated(None, at),
        db_name: database.clone(),
        collection_name: name.clone(),
        schema: schema.encode_to_vec(),
        shards_num: i32::try_from(collection.vchannels.len()).unwrap_or(i32::MAX),
        consistency_level: collection.consistency_level,
        properties: collection.properties.clone(),
        num_partitions,
    };
    match client.ask(database, request, async |mut c, r| c.create_collection(r).await).await {
        Ok(_) => Ok(()),
        Err(_) if describe::collection(client, named).await?.is_some() => Ok(()),
        Err(fault) => {
            let is_limit = fault.is_a_limit();
            let error = of_one(client, &format!("create collection {named}"), fault);
            // One beyond a limit must not hold up the drop of another.
            Err(if is_limit { Error { kind: Kind::OneCollection, ..error } } else { error })
        }
    }
}

/// A refusal that concerns one collection, unless it goes away by itself or is about who asks.
fn of_one(client: &Client, tried: &str, fault: Fault) -> Error {
    let is_of_it = fault.is_of_the_request();
    let error = client.not_changed(tried, fault);
    let is_of_it = is_of_it && error.kind == Kind::Permanent;
    if is_of_it { Error { kind: Kind::OneCollection, ..error } } else { error }
}

/// Drops a collection; success if there is none.
pub(super) async fn drop(client: &Client, named: &CollectionName, at: Timestamp) -> Result<()> {
    if describe::collection(client, named).await?.is_none() {
        return Ok(());
    }
    let CollectionName { database, name } = named;
    let request = pb::DropCollectionRequest {
        base: replicated(None, at),
        db_name: database.clone(),
        collection_name: name.clone(),
    };
    // Since 2.4 a collection that has aliases is not dropped, so the source's had none left.
    alias::drop_all(client, named, at).await?;
    match client.ask(database, request, async |mut c, r| c.drop_collection(r).await).await {
        Ok(_) => Ok(()),
        Err(_) if describe::collection(client, named).await?.is_none() => Ok(()),
        Err(fault) => Err(client.not_changed(&format!("drop collection {named}"), fault)),
    }
}

/// Renames a collection. One that is no longer there has been renamed or dropped.
pub(super) async fn rename(
    client: &Client,
    from: &CollectionName,
    to: &CollectionName,
    at: Timestamp,
) -> Result<()> {
    let Some(it) = describe::collection(client, from).await? else { return Ok(()) };
    if from.database != to.database {
        // Milvus moves no collection that has aliases, so the source's had none left. Source:
        // `MetaTable.RenameCollection`.
        alias::drop_all(client, from, at).await?;
    }
    let request = pb::RenameCollectionRequest {
        base: replicated(None, at),
        db_name: from.database.clone(),
        old_name: from.name.clone(),
        new_name: to.name.clone(),
        new_db_name: to.database.clone(),
    };
    let tried = format!("rename collection {from} to {to}");
    let database = &from.database;
    let done = client.ask(database, request, async |mut c, r| c.rename_collection(r).await).await;
    if describe::collection(client, to).await?.is_some_and(|there| there.id == it.id) {
        return Ok(());
    }
    match done {
        // A target that does not know of a second database renames in the first one.
        Ok(_) => {
            Err(Error::of_one_collection(format!("can't {tried}: the target did something else")))
        }
        Err(fault) => Err(of_one(client, &tried, fault)),
    }
}

/// Sets and removes properties, never both in one request.
pub(super) async fn alter(
    client: &Client,
    named: &CollectionName,
    set: &[(String, String)],
    removed: &[String],
    at: Timestamp,
) -> Result<()> {
    let pair =
        |(key, value): &(String, String)| KeyValuePair { key: key.clone(), value: value.clone() };
    let request = |properties, delete_keys| pb::AlterCollectionRequest {
        base: replicated(None, at),
        db_name: named.database.clone(),
        collection_name: named.name.clone(),
        properties,
        delete_keys,
        ..Default::default()
    };
    let set = (!set.is_empty()).then(|| request(set.iter().map(pair).collect(), vec![]));
    let removed = (!removed.is_empty()).then(|| request(vec![], removed.to_vec()));
    for request in set.into_iter().chain(removed) {
        let database = &named.database;
        let done =
            client.ask(database, request, async |mut c, r| c.alter_collection(r).await).await;
        client.outcome(&format!("alter collection {named}"), done, |_| false)?;
    }
    Ok(())
}
