//! Creates and drops the partitions of a target. Never does what is done already: it looks first,
//! and looks again when the target refuses.

use super::client::{Client, replicated};
use super::describe;
use milvus_wire::ids::CollectionName;
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;
use tracing::info;

/// Creates a partition; success if there is one of this name.
pub(super) async fn create(
    client: &Client,
    collection: &CollectionName,
    partition: &str,
    at: Timestamp,
) -> Result<()> {
    if exists(client, collection, partition).await? {
        return Ok(());
    }
    let request = pb::CreatePartitionRequest {
        base: replicated(None, at),
        db_name: collection.database.clone(),
        collection_name: collection.name.clone(),
        partition_name: partition.to_owned(),
    };
    let database = &collection.database;
    match client.ask(database, request, async |mut c, r| c.create_partition(r).await).await {
        Ok(_) => Ok(()),
        Err(_) if exists(client, collection, partition).await? => Ok(()),
        Err(fault) => Err(client.not_changed(&tried("create", partition, collection), fault)),
    }
}

/// Drops a partition; success if it or its collection is not there.
pub(super) async fn drop(
    client: &Client,
    collection: &CollectionName,
    partition: &str,
    at: Timestamp,
) -> Result<()> {
    if describe::collection(client, collection).await?.is_none()
        || !exists(client, collection, partition).await?
    {
        return Ok(());
    }
    let drop = async || {
        let request = pb::DropPartitionRequest {
            base: replicated(None, at),
            db_name: collection.database.clone(),
            collection_name: collection.name.clone(),
            partition_name: partition.to_owned(),
        };
        let database = &collection.database;
        client.ask(database, request, async |mut c, r| c.drop_partition(r).await).await
    };
    let dropped = match drop().await {
        Err(fault) if fault.is_loaded() => {
            release(client, collection, partition, at).await?;
            drop().await
        }
        dropped => dropped,
    };
    client.outcome(&tried("drop", partition, collection), dropped, |fault| {
        fault.no_collection() || fault.no_partition()
    })
}

async fn exists(client: &Client, collection: &CollectionName, partition: &str) -> Result<bool> {
    Ok(describe::partitions(client, collection).await?.contains_key(partition))
}

/// Releases a partition. The source released it before dropping it, but that request may not have
/// arrived yet.
async fn release(
    client: &Client,
    collection: &CollectionName,
    partition: &str,
    at: Timestamp,
) -> Result<()> {
    let CollectionName { database, name } = collection;
    info!(
        database,
        collection = name,
        partition,
        "releasing a loaded partition that is to be dropped"
    );
    let request = pb::ReleasePartitionsRequest {
        base: replicated(None, at),
        db_name: database.clone(),
        collection_name: name.clone(),
        partition_names: vec![partition.to_owned()],
    };
    let asked = client.ask(database, request, async |mut c, r| c.release_partitions(r).await);
    if asked.await.is_ok() {
        return Ok(());
    }
    // This target can't release a part of what was loaded as a whole.
    let request = pb::ReleaseCollectionRequest {
        base: replicated(None, at),
        db_name: database.clone(),
        collection_name: name.clone(),
    };
    let asked = client.ask(database, request, async |mut c, r| c.release_collection(r).await);
    client.outcome(&tried("release", partition, collection), asked.await, |_| false)
}

fn tried(verb: &str, partition: &str, collection: &CollectionName) -> String {
    format!("{verb} partition {partition} of {collection}")
}
