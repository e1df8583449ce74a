//! Changes the metadata of a target: finds for each request the file that carries it out.
//! Never sends a request itself.

use super::client::Client;
use super::{alias, collection, database, op, partition};
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;
use replication::ports::Ddl;

/// Applies a request as of the source's timestamp.
pub(super) async fn apply(client: &Client, ddl: &Ddl, at: Timestamp) -> Result<()> {
    match ddl {
        Ddl::CreateDatabase(name) => database::create(client, name, at).await,
        Ddl::CreateCollection { name, collection } => {
            collection::create(client, name, collection, at).await
        }
        Ddl::DropCollection(name) => collection::drop(client, name, at).await,
        Ddl::CreatePartition { collection, partition } => {
            partition::create(client, collection, partition, at).await
        }
        Ddl::DropPartition { collection, partition } => {
            partition::drop(client, collection, partition, at).await
        }
        Ddl::RenameCollection { from, to, .. } => collection::rename(client, from, to, at).await,
        Ddl::AlterCollection { name, set, removed } => {
            collection::alter(client, name, set, removed, at).await
        }
        Ddl::GiveAlias { collection, alias } => alias::give(client, collection, alias, at).await,
        Ddl::DropAlias { database, alias } => alias::drop(client, database, alias, at).await,
        Ddl::Op(request) => op::apply(client, request, at).await,
    }
}
