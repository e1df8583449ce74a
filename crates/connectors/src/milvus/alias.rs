//! Gives and drops the aliases of a target. Never changes a collection.

use super::client::{Client, replicated};
use super::describe;
use super::fault::Fault;
use milvus_wire::ids::CollectionName;
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;

/// Gives an alias to a collection, whichever collection has it now.
pub(super) async fn give(
    client: &Client,
    collection: &CollectionName,
    alias: &str,
    at: Timestamp,
) -> Result<()> {
    let database = &*collection.database;
    let (base, db_name) = (replicated(None, at), database.to_owned());
    let (collection_name, alias) = (collection.name.clone(), alias.to_owned());
    let tried = format!("give the alias {alias} to {collection}");
    let done = if describe::alias(client, database, &alias).await?.is_some() {
        let request = pb::AlterAliasRequest { base, db_name, collection_name, alias };
        client.ask(database, request, async |mut c, r| c.alter_alias(r).await).await
    } else {
        let request = pb::CreateAliasRequest { base, db_name, collection_name, alias };
        client.ask(database, request, async |mut c, r| c.create_alias(r).await).await
    };
    client.outcome(&tried, done, |_| false)
}

/// Drops an alias.
pub(super) async fn drop(
    client: &Client,
    database: &str,
    alias: &str,
    at: Timestamp,
) -> Result<()> {
    let (base, db_name) = (replicated(None, at), database.to_owned());
    let request = pb::DropAliasRequest { base, db_name, alias: alias.to_owned() };
    let done = client.ask(database, request, async |mut c, r| c.drop_alias(r).await).await;
    client.outcome(&format!("drop the alias {database}.{alias}"), done, Fault::no_database)
}

/// Drops all aliases of a collection.
pub(super) async fn drop_all(
    client: &Client,
    collection: &CollectionName,
    at: Timestamp,
) -> Result<()> {
    for alias in describe::aliases(client, collection).await? {
        drop(client, &collection.database, &alias, at).await?;
    }
    Ok(())
}
