//! Changes of a target's collection that do not touch its rows: its name, its aliases, its properties.
//! Never does what is done already: it looks first, and looks again when the target refuses.

use super::client::Client;
use super::ddl::replicated;
use super::describe;
use super::fault::Fault;
use super::op::finish;
use milvus_wire::proto::common::KeyValuePair;
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};

/// A database, and a collection's name in it.
type Name<'a> = (&'a str, &'a str);

/// Renames a collection. One that is not there any more has been renamed or dropped.
pub(super) async fn rename(
    client: &Client,
    from: Name<'_>,
    to: Name<'_>,
    at: Timestamp,
) -> Result<()> {
    let Some(it) = describe::collection(client, from.0, from.1).await? else { return Ok(()) };
    if from.0 != to.0 {
        // Milvus moves none that has aliases, so the source's had none any more. Source:
        // `MetaTable.RenameCollection`.
        for alias in describe::aliases(client, from.0, from.1).await? {
            drop_alias(client, from.0, &alias, at).await?;
        }
    }
    let request = pb::RenameCollectionRequest {
        base: replicated(None, at),
        db_name: from.0.to_owned(),
        old_name: from.1.to_owned(),
        new_name: to.1.to_owned(),
        new_db_name: to.0.to_owned(),
    };
    let tried = format!("rename collection {}.{} to {}.{}", from.0, from.1, to.0, to.1);
    let done = client.ask(from.0, request, async |mut c, r| c.rename_collection(r).await).await;
    if describe::collection(client, to.0, to.1).await?.is_some_and(|there| there.id == it.id) {
        return Ok(());
    }
    match done {
        // One that does not know of a second database renames in the first one.
        Ok(_) => Err(Error::permanent(format!("can't {tried}: the target did something else"))),
        Err(fault) => Err(client.error(&tried, fault)),
    }
}

/// Sets and removes properties: never both in one request.
pub(super) async fn alter(
    client: &Client,
    (database, name): Name<'_>,
    set: &[(String, String)],
    removed: &[String],
    at: Timestamp,
) -> Result<()> {
    let pair =
        |(key, value): &(String, String)| KeyValuePair { key: key.clone(), value: value.clone() };
    let request = |properties: Vec<KeyValuePair>, delete_keys: Vec<String>| {
        let (db_name, collection_name) = (database.to_owned(), name.to_owned());
        let base = replicated(None, at);
        pb::AlterCollectionRequest {
            base,
            db_name,
            collection_name,
            properties,
            delete_keys,
            ..Default::default()
        }
    };
    let set = (!set.is_empty()).then(|| request(set.iter().map(pair).collect(), vec![]));
    let removed = (!removed.is_empty()).then(|| request(vec![], removed.to_vec()));
    for request in set.into_iter().chain(removed) {
        let done =
            client.ask(database, request, async |mut c, r| c.alter_collection(r).await).await;
        finish(client, &format!("alter collection {database}.{name}"), done, |_| false)?;
    }
    Ok(())
}

/// Gives an alias to a collection, whoever has it.
pub(super) async fn give_alias(
    client: &Client,
    (database, collection): Name<'_>,
    alias: &str,
    at: Timestamp,
) -> Result<()> {
    let (base, db_name) = (replicated(None, at), database.to_owned());
    let (collection_name, alias) = (collection.to_owned(), alias.to_owned());
    let tried = format!("give the alias {alias} to {database}.{collection}");
    let done = if describe::alias(client, database, &alias).await?.is_some() {
        let request = pb::AlterAliasRequest { base, db_name, collection_name, alias };
        client.ask(database, request, async |mut c, r| c.alter_alias(r).await).await
    } else {
        let request = pb::CreateAliasRequest { base, db_name, collection_name, alias };
        client.ask(database, request, async |mut c, r| c.create_alias(r).await).await
    };
    finish(client, &tried, done, |_| false)
}

/// Drops an alias.
pub(super) async fn drop_alias(
    client: &Client,
    database: &str,
    alias: &str,
    at: Timestamp,
) -> Result<()> {
    let (base, db_name) = (replicated(None, at), database.to_owned());
    let request = pb::DropAliasRequest { base, db_name, alias: alias.to_owned() };
    let done = client.ask(database, request, async |mut c, r| c.drop_alias(r).await).await;
    finish(client, &format!("drop the alias {database}.{alias}"), done, Fault::no_database)
}
