//! Changes the metadata of a target: finds for each request the file that carries it out.
//! Never sends a request itself.

use super::client::Client;
use super::{alias, collection, database, op, partition};
use milvus_wire::ids::CollectionName;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;
use replication::ports::Ddl;

/// Applies a request as of the source's timestamp.
pub(super) async fn apply(client: &Client, ddl: &Ddl, at: Timestamp) -> Result<()> {
    let named = CollectionName::new;
    match ddl {
        Ddl::CreateDatabase(name) => database::create(client, name, at).await,
        Ddl::CreateCollection { database, name, collection } => {
            collection::create(client, &named(database, name), collection, at).await
        }
        Ddl::DropCollection { database, name } => {
            collection::drop(client, &named(database, name), at).await
        }
        Ddl::CreatePartition { database, collection, partition } => {
            partition::create(client, &named(database, collection), partition, at).await
        }
        Ddl::DropPartition { database, collection, partition } => {
            partition::drop(client, &named(database, collection), partition, at).await
        }
        Ddl::RenameCollection { database, name, to_database, to_name, .. } => {
            let (from, to) = (named(database, name), named(to_database, to_name));
            collection::rename(client, &from, &to, at).await
        }
        Ddl::AlterCollection { database, name, set, removed } => {
            collection::alter(client, &named(database, name), set, removed, at).await
        }
        Ddl::GiveAlias { database, collection, alias } => {
            alias::give(client, &named(database, collection), alias, at).await
        }
        Ddl::DropAlias { database, alias } => alias::drop(client, database, alias, at).await,
        Ddl::Op(request) => op::apply(client, request, at).await,
    }
}
