//! Reads the metadata of a target. Never changes it.

use super::client::Client;
use super::fault::Fault;
use milvus_wire::catalog::field_texts;
use milvus_wire::ids::{CollectionId, PartitionId, split_vchannel};
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;
use replication::ports::{TargetCollection, TargetPartition};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// A collection; `None` if it or its database is not there.
pub(super) async fn collection(
    client: &Client,
    database: &str,
    name: &str,
) -> Result<Option<TargetCollection>> {
    let named = named(client, database, name).await?;
    Ok(named.filter(|it| !it.aliases.iter().any(|alias| alias == name)).map(target_collection))
}

/// The collection that has an alias; `None` if there is no such alias.
pub(super) async fn alias(
    client: &Client,
    database: &str,
    alias: &str,
) -> Result<Option<CollectionId>> {
    let named = named(client, database, alias).await?;
    let has = named.filter(|it| it.aliases.iter().any(|known| known == alias));
    Ok(has.map(|it| CollectionId(it.collection_id)))
}

/// The aliases of a collection; none if it is not there.
pub(super) async fn aliases(client: &Client, database: &str, name: &str) -> Result<Vec<String>> {
    Ok(named(client, database, name).await?.map(|it| it.aliases).unwrap_or_default())
}

/// What has a name: a collection, by its own or by an alias.
async fn named(
    client: &Client,
    database: &str,
    name: &str,
) -> Result<Option<pb::DescribeCollectionResponse>> {
    match described(client, database, name).await {
        Ok(described) => Ok(Some(described)),
        Err(fault) if fault.no_collection() => Ok(None),
        Err(fault) => Err(client.error(&format!("describe collection {database}.{name}"), fault)),
    }
}

async fn described(
    client: &Client,
    database: &str,
    name: &str,
) -> std::result::Result<pb::DescribeCollectionResponse, Fault> {
    let request = pb::DescribeCollectionRequest {
        db_name: database.to_owned(),
        collection_name: name.to_owned(),
        ..Default::default()
    };
    client.ask(database, request, async |mut c, r| c.describe_collection(r).await).await
}

fn target_collection(described: pb::DescribeCollectionResponse) -> TargetCollection {
    let mut vchannels = described.virtual_channel_names;
    // The place is the shard index, whatever order the answer has (invariant I4).
    vchannels.sort_by_key(|name| split_vchannel(name).map(|(_, _, shard)| shard));
    TargetCollection {
        id: CollectionId(described.collection_id),
        created: Timestamp(described.created_timestamp),
        vchannels,
        properties: described.properties.into_iter().map(|p| (p.key, p.value)).collect(),
        fields: Some(described.schema.as_ref().map(field_texts).unwrap_or_default()),
    }
}

/// The partitions, by name.
pub(super) async fn partitions(
    client: &Client,
    database: &str,
    name: &str,
) -> Result<BTreeMap<String, TargetPartition>> {
    let request = pb::ShowPartitionsRequest {
        db_name: database.to_owned(),
        collection_name: name.to_owned(),
        ..Default::default()
    };
    let shown = client.ask(database, request, async |mut c, r| c.show_partitions(r).await).await;
    let shown = shown
        .map_err(|fault| client.error(&format!("list partitions of {database}.{name}"), fault))?;
    let ids = shown.partition_i_ds.into_iter().map(PartitionId);
    let partitions = ids
        .zip(shown.created_timestamps.into_iter().map(Timestamp))
        .map(|(id, created)| TargetPartition { id, created });
    Ok(shown.partition_names.into_iter().zip(partitions).collect())
}

/// The names of the databases.
pub(super) async fn databases(client: &Client) -> Result<Vec<String>> {
    let request = pb::ListDatabasesRequest::default();
    let listed = client.ask("", request, async |mut c, r| c.list_databases(r).await).await;
    Ok(listed.map_err(|fault| client.error("list databases", fault))?.db_names)
}

/// Names and ids of the collections of a database; none if it is gone.
async fn collections(client: &Client, database: &str) -> Result<Vec<(String, CollectionId)>> {
    let request = pb::ShowCollectionsRequest { db_name: database.to_owned(), ..Default::default() };
    let shown = client.ask(database, request, async |mut c, r| c.show_collections(r).await).await;
    let shown = match shown {
        Err(fault) if fault.no_database() => return Ok(vec![]),
        shown => shown.map_err(|f| client.error(&format!("list collections of {database}"), f))?,
    };
    let ids = shown.collection_ids.into_iter().map(CollectionId);
    Ok(shown.collection_names.into_iter().zip(ids).collect())
}

/// The physical channels of collections: they never change, so each is described once.
#[derive(Default)]
pub(super) struct ChannelCache(Mutex<HashMap<CollectionId, Vec<String>>>);

impl ChannelCache {
    /// The channels that carry any collection of the target, sorted.
    pub(super) async fn pchannels(&self, client: &Client) -> Result<Vec<String>> {
        let mut live = HashMap::new();
        for database in databases(client).await? {
            for (name, id) in collections(client, &database).await? {
                if let Some(channels) = self.channels(client, &database, &name, id).await? {
                    live.insert(id, channels);
                }
            }
        }
        let channels: BTreeSet<_> = live.values().flatten().cloned().collect();
        // Dropped collections are forgotten, so the cache is as large as the target.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = live;
        Ok(channels.into_iter().collect())
    }

    async fn channels(
        &self,
        client: &Client,
        database: &str,
        name: &str,
        id: CollectionId,
    ) -> Result<Option<Vec<String>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        match described(client, database, name).await {
            Ok(described) => Ok(Some(described.physical_channel_names)),
            // Dropped in between.
            Err(fault) if fault.no_collection() => Ok(None),
            Err(fault) => {
                Err(client.error(&format!("describe collection {database}.{name}"), fault))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vchannels_are_ordered_by_shard_and_not_by_name() {
        let described = pb::DescribeCollectionResponse {
            virtual_channel_names: vec![
                "dst-rootcoord-dml_9_7v1".into(),
                "dst-rootcoord-dml_10_7v0".into(),
            ],
            ..Default::default()
        };
        let vchannels = target_collection(described).vchannels;
        assert_eq!(vchannels, ["dst-rootcoord-dml_10_7v0", "dst-rootcoord-dml_9_7v1"]);
    }
}
