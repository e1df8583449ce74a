//! Creates, alters and drops the databases of a target. Never creates or drops one twice: it looks
//! first.

use super::client::{Client, replicated};
use super::describe;
use super::fault::Fault;
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;

/// Creates a database; success if there is one.
pub(super) async fn create(client: &Client, name: &str, at: Timestamp) -> Result<()> {
    if exists(client, name).await? {
        return Ok(());
    }
    let request = pb::CreateDatabaseRequest {
        base: replicated(None, at),
        db_name: name.to_owned(),
        ..Default::default()
    };
    match client.ask("", request, async |mut c, r| c.create_database(r).await).await {
        Ok(_) => Ok(()),
        Err(_) if exists(client, name).await? => Ok(()),
        Err(fault) => Err(client.not_changed(&format!("create database {name}"), fault)),
    }
}

async fn exists(client: &Client, name: &str) -> Result<bool> {
    Ok(describe::databases(client).await?.iter().any(|database| database == name))
}

/// Sets properties of a database.
pub(super) async fn alter(
    client: &Client,
    mut request: pb::AlterDatabaseRequest,
    at: Timestamp,
) -> Result<()> {
    request.base = replicated(request.base, at);
    let tried = format!("alter database {}", request.db_name);
    let done = client.ask("", request, async |mut c, r| c.alter_database(r).await).await;
    client.outcome(&tried, done, |_| false)
}

/// Drops a database; success if there is none.
pub(super) async fn drop(
    client: &Client,
    mut request: pb::DropDatabaseRequest,
    at: Timestamp,
) -> Result<()> {
    let name = request.db_name.clone();
    if !exists(client, &name).await? {
        return Ok(());
    }
    request.base = replicated(None, at);
    let done = client.ask("", request, async |mut c, r| c.drop_database(r).await).await;
    client.outcome(&format!("drop database {name}"), done, Fault::no_database)
}
