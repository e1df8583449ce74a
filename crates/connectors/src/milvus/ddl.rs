//! Changes the metadata of a target. Never does what is done already: it looks first, and looks
//! again when the target refuses.

#![allow(deprecated)] // `replicate_info` is deprecated since 3.0; 2.3 to 2.5 have nothing else.

use super::client::Client;
use super::{collection as naming, describe, op};
use milvus_wire::catalog::Collection;
use milvus_wire::proto::common::{MsgBase, ReplicateInfo};
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use prost::Message as _;
use replication::error::{Error, Result};
use replication::ports::Ddl;
use tracing::info;

/// Applies a request as of the source's timestamp.
pub(super) async fn apply(client: &Client, ddl: &Ddl, at: Timestamp) -> Result<()> {
    match ddl {
        Ddl::CreateDatabase(name) => create_database(client, name, at).await,
        Ddl::CreateCollection { database, name, collection } => {
            create_collection(client, database, name, collection, at).await
        }
        Ddl::DropCollection { database, name } => drop_collection(client, database, name, at).await,
        Ddl::CreatePartition { database, collection, partition } => {
            create_partition(client, Place { database, collection }, partition, at).await
        }
        Ddl::DropPartition { database, collection, partition } => {
            drop_partition(client, Place { database, collection }, partition, at).await
        }
        Ddl::RenameCollection { database, name, to_database, to_name, .. } => {
            naming::rename(client, (database, name), (to_database, to_name), at).await
        }
        Ddl::AlterCollection { database, name, set, removed } => {
            naming::alter(client, (database, name), set, removed, at).await
        }
        Ddl::GiveAlias { database, collection, alias } => {
            naming::give_alias(client, (database, collection), alias, at).await
        }
        Ddl::DropAlias { database, alias } => naming::drop_alias(client, database, alias, at).await,
        Ddl::Op(request) => op::apply(client, request, at).await,
    }
}

/// What marks a request as replicated: it makes the target use the source's timestamp and leave
/// the clean-up of channels to the messages in the stream.
pub(super) fn replicated(base: Option<MsgBase>, at: Timestamp) -> Option<MsgBase> {
    let replicate_info =
        ReplicateInfo { is_replicate: true, msg_timestamp: at.0, ..Default::default() };
    Some(MsgBase { replicate_info: Some(replicate_info), ..base.unwrap_or_default() })
}

#[derive(Clone, Copy)]
struct Place<'a> {
    database: &'a str,
    collection: &'a str,
}

pub(super) async fn create_database(client: &Client, name: &str, at: Timestamp) -> Result<()> {
    if has_database(client, name).await? {
        return Ok(());
    }
    let request = pb::CreateDatabaseRequest {
        base: replicated(None, at),
        db_name: name.to_owned(),
        ..Default::default()
    };
    match client.ask("", request, async |mut c, r| c.create_database(r).await).await {
        Ok(_) => Ok(()),
        Err(_) if has_database(client, name).await? => Ok(()),
        Err(fault) => Err(client.error(&format!("create database {name}"), fault)),
    }
}

pub(super) async fn has_database(client: &Client, name: &str) -> Result<bool> {
    Ok(describe::databases(client).await?.iter().any(|database| database == name))
}

async fn create_collection(
    client: &Client,
    database: &str,
    name: &str,
    collection: &Collection,
    at: Timestamp,
) -> Result<()> {
    if describe::collection(client, database, name).await?.is_some() {
        return Ok(());
    }
    let mut schema = collection.schema.clone();
    name.clone_into(&mut schema.name);
    // Zero: as the target likes.
    let num_partitions =
        collection.partition_count.map_or(0, |count| i64::try_from(count).unwrap_or(i64::MAX));
    let request = pb::CreateCollectionRequest {
        base: replicated(None, at),
        db_name: database.to_owned(),
        collection_name: name.to_owned(),
        schema: schema.encode_to_vec(),
        shards_num: i32::try_from(collection.vchannels.len()).unwrap_or(i32::MAX),
        consistency_level: collection.consistency_level,
        properties: collection.properties.clone(),
        num_partitions,
    };
    match client.ask(database, request, async |mut c, r| c.create_collection(r).await).await {
        Ok(_) => Ok(()),
        Err(_) if describe::collection(client, database, name).await?.is_some() => Ok(()),
        Err(fault) => Err(client.error(&format!("create collection {database}.{name}"), fault)),
    }
}

async fn drop_collection(client: &Client, database: &str, name: &str, at: Timestamp) -> Result<()> {
    if describe::collection(client, database, name).await?.is_none() {
        return Ok(());
    }
    let request = pb::DropCollectionRequest {
        base: replicated(None, at),
        db_name: database.to_owned(),
        collection_name: name.to_owned(),
    };
    // From 2.4 on none is dropped that has aliases, so the source's had none any more.
    for alias in describe::aliases(client, database, name).await? {
        naming::drop_alias(client, database, &alias, at).await?;
    }
    match client.ask(database, request, async |mut c, r| c.drop_collection(r).await).await {
        Ok(_) => Ok(()),
        Err(_) if describe::collection(client, database, name).await?.is_none() => Ok(()),
        Err(fault) => Err(client.error(&format!("drop collection {database}.{name}"), fault)),
    }
}

async fn has_partition(client: &Client, place: Place<'_>, partition: &str) -> Result<bool> {
    let partitions = describe::partitions(client, place.database, place.collection).await?;
    Ok(partitions.contains_key(partition))
}

async fn create_partition(
    client: &Client,
    place: Place<'_>,
    partition: &str,
    at: Timestamp,
) -> Result<()> {
    if has_partition(client, place, partition).await? {
        return Ok(());
    }
    let request = pb::CreatePartitionRequest {
        base: replicated(None, at),
        db_name: place.database.to_owned(),
        collection_name: place.collection.to_owned(),
        partition_name: partition.to_owned(),
    };
    let asked = client.ask(place.database, request, async |mut c, r| c.create_partition(r).await);
    match asked.await {
        Ok(_) => Ok(()),
        Err(_) if has_partition(client, place, partition).await? => Ok(()),
        Err(fault) => Err(client.error(&place.tried("create", partition), fault)),
    }
}

async fn drop_partition(
    client: &Client,
    place: Place<'_>,
    partition: &str,
    at: Timestamp,
) -> Result<()> {
    let Place { database, collection } = place;
    if describe::collection(client, database, collection).await?.is_none()
        || !has_partition(client, place, partition).await?
    {
        return Ok(());
    }
    let drop = async || {
        let request = pb::DropPartitionRequest {
            base: replicated(None, at),
            db_name: database.to_owned(),
            collection_name: collection.to_owned(),
            partition_name: partition.to_owned(),
        };
        client.ask(database, request, async |mut c, r| c.drop_partition(r).await).await
    };
    let dropped = match drop().await {
        Err(fault) if fault.is_loaded() => {
            release(client, place, partition, at).await?;
            drop().await
        }
        dropped => dropped,
    };
    match dropped {
        Ok(_) => Ok(()),
        Err(fault) if fault.no_collection() || fault.no_partition() => Ok(()),
        Err(fault) => Err(client.error(&place.tried("drop", partition), fault)),
    }
}

/// The source had it released before dropping it; that request may still be on its way.
async fn release(
    client: &Client,
    place: Place<'_>,
    partition: &str,
    at: Timestamp,
) -> std::result::Result<(), Error> {
    let Place { database, collection } = place;
    info!(database, collection, partition, "releasing a loaded partition that is to be dropped");
    let request = pb::ReleasePartitionsRequest {
        base: replicated(None, at),
        db_name: database.to_owned(),
        collection_name: collection.to_owned(),
        partition_names: vec![partition.to_owned()],
    };
    let asked = client.ask(database, request, async |mut c, r| c.release_partitions(r).await);
    if asked.await.is_ok() {
        return Ok(());
    }
    // A target that can't release a part of what was loaded as a whole.
    let request = pb::ReleaseCollectionRequest {
        base: replicated(None, at),
        db_name: database.to_owned(),
        collection_name: collection.to_owned(),
    };
    let asked = client.ask(database, request, async |mut c, r| c.release_collection(r).await);
    asked.await.map(drop).map_err(|fault| client.error(&place.tried("release", partition), fault))
}

impl Place<'_> {
    fn tried(&self, verb: &str, partition: &str) -> String {
        format!("{verb} partition {partition} of {}.{}", self.database, self.collection)
    }
}
