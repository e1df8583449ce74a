//! Reads the metadata of a target. Never changes it.

use super::client::{Client, Stub};
use milvus_wire::catalog::field_texts;
use milvus_wire::ids::{CollectionId, CollectionName, PartitionId, split_vchannel};
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use replication::ports::{TargetCollection, TargetPartition};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// A collection; `None` if it or its database is not there.
pub(super) async fn collection(
    client: &Client,
    name: &CollectionName,
) -> Result<Option<TargetCollection>> {
    let named = named(client, name).await?;
    Ok(named.filter(|it| !it.aliases.contains(&name.name)).map(target_collection))
}

/// The collection that has an alias; `None` if there is no such alias.
pub(super) async fn alias(
    client: &Client,
    database: &str,
    alias: &str,
) -> Result<Option<CollectionId>> {
    let alias = CollectionName::new(database, alias);
    let named = named(client, &alias).await?.filter(|it| it.aliases.contains(&alias.name));
    Ok(named.map(|it| CollectionId(it.collection_id)))
}

/// The aliases of a collection; none if it is not there.
pub(super) async fn aliases(client: &Client, name: &CollectionName) -> Result<Vec<String>> {
    Ok(named(client, name).await?.map(|it| it.aliases).unwrap_or_default())
}

/// The collection that has a name, its own or an alias.
async fn named(
    client: &Client,
    name: &CollectionName,
) -> Result<Option<pb::DescribeCollectionResponse>> {
    let request = pb::DescribeCollectionRequest {
        db_name: name.database.clone(),
        collection_name: name.name.clone(),
        ..Default::default()
    };
    let asked =
        client.ask(&name.database, request, async |mut c, r| c.describe_collection(r).await).await;
    match asked {
        Ok(described) => Ok(Some(described)),
        Err(fault) if fault.no_collection() => Ok(None),
        Err(fault) => Err(client.error(&format!("describe collection {name}"), fault)),
    }
}

fn target_collection(described: pb::DescribeCollectionResponse) -> TargetCollection {
    let mut vchannels = described.virtual_channel_names;
    // A vchannel's place in the list is its shard index, whatever order the answer has (I4).
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
    collection: &CollectionName,
) -> Result<BTreeMap<String, TargetPartition>> {
    let CollectionName { database, name } = collection;
    let request = pb::ShowPartitionsRequest {
        db_name: database.clone(),
        collection_name: name.clone(),
        ..Default::default()
    };
    let shown = client.ask(database, request, async |mut c, r| c.show_partitions(r).await).await;
    let shown =
        shown.map_err(|fault| client.error(&format!("list partitions of {collection}"), fault))?;
    let ids = shown.partition_i_ds.into_iter().map(PartitionId);
    let partitions = ids
        .zip(shown.created_timestamps.into_iter().map(Timestamp))
        .map(|(id, created)| TargetPartition { id, created });
    Ok(shown.partition_names.into_iter().zip(partitions).collect())
}

/// The ids of the proxies that answer on the connections. An answer to GetMetrics names the
/// component that gave it: `proxy` and its server id. Source: `getSystemInfoMetrics` in
/// `internal/proxy/metrics_info.go`.
pub(super) async fn proxies(client: &Client) -> Result<BTreeSet<i64>> {
    let mut proxies = BTreeSet::new();
    for connection in client.connections() {
        let asked = client.ask_over(connection, "", system_info(), get_metrics).await;
        let name = asked.map_err(|fault| client.error("ask who answers", fault))?.component_name;
        let id = name.strip_prefix("proxy").and_then(|id| id.parse().ok());
        proxies.insert(id.ok_or_else(|| {
            Error::transient(format!("the target's answer names {name:?} where a proxy has to be"))
        })?);
    }
    Ok(proxies)
}

/// The ids of the data nodes, which are in the same answer.
pub(super) async fn data_nodes(client: &Client) -> Result<BTreeSet<i64>> {
    let asked = client.ask("", system_info(), get_metrics).await;
    let answer = asked.map_err(|fault| client.error("list the data nodes", fault))?.response;
    let topology: Topology = serde_json::from_str(&answer).map_err(|e| {
        Error::transient("the target's answer does not tell its data nodes").because(e)
    })?;
    let infos = topology.nodes_info.into_iter().map(|node| node.infos);
    let infos: Vec<_> = infos.collect();
    // A node that did not answer has neither its id nor its type (`getDataNodeMetrics`).
    if infos.iter().any(|infos| infos.has_error) {
        return Err(Error::transient("a node of the target does not answer"));
    }
    let infos = infos.into_iter();
    Ok(infos.filter(|infos| infos.kind == "datanode").map(|infos| infos.id).collect())
}

fn system_info() -> pb::GetMetricsRequest {
    let request = r#"{"metric_type": "system_info"}"#.to_owned();
    pb::GetMetricsRequest { request, ..Default::default() }
}

async fn get_metrics(
    mut stub: Stub,
    request: tonic::Request<pb::GetMetricsRequest>,
) -> std::result::Result<tonic::Response<pb::GetMetricsResponse>, tonic::Status> {
    stub.get_metrics(request).await
}

/// What an answer to GetMetrics tells of the components. Source: `SystemTopology` in
/// `internal/util/metricsinfo/topology.go`.
#[derive(Deserialize)]
struct Topology {
    nodes_info: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    infos: Infos,
}

#[derive(Deserialize)]
struct Infos {
    #[serde(default)]
    has_error: bool,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    id: i64,
}

/// The version.
pub(super) async fn version(client: &Client) -> Result<String> {
    let request = pb::GetVersionRequest::default();
    let asked = client.ask("", request, async |mut c, r| c.get_version(r).await).await;
    Ok(asked.map_err(|fault| client.error("ask for the version", fault))?.version)
}

/// The names of the databases.
pub(super) async fn databases(client: &Client) -> Result<Vec<String>> {
    let request = pb::ListDatabasesRequest::default();
    let listed = client.ask("", request, async |mut c, r| c.list_databases(r).await).await;
    Ok(listed.map_err(|fault| client.error("list databases", fault))?.db_names)
}

/// Names and ids of the collections of a database; none if it is gone.
pub(super) async fn collections(
    client: &Client,
    database: &str,
) -> Result<Vec<(CollectionName, CollectionId)>> {
    let request = pb::ShowCollectionsRequest { db_name: database.to_owned(), ..Default::default() };
    let shown = client.ask(database, request, async |mut c, r| c.show_collections(r).await).await;
    let shown = match shown {
        Err(fault) if fault.no_database() => return Ok(vec![]),
        shown => shown.map_err(|f| client.error(&format!("list collections of {database}"), f))?,
    };
    let ids = shown.collection_ids.into_iter().map(CollectionId);
    let names = shown.collection_names.into_iter();
    Ok(names.map(|name| CollectionName::new(database, name)).zip(ids).collect())
}

/// The physical channels of collections. They never change, so each collection is described once.
#[derive(Default)]
pub(super) struct ChannelCache(Mutex<HashMap<CollectionId, Vec<String>>>);

impl ChannelCache {
    /// The channels that carry any collection of the target, sorted.
    pub(super) async fn pchannels(&self, client: &Client) -> Result<Vec<String>> {
        let mut live = HashMap::new();
        for database in databases(client).await? {
            for (name, id) in collections(client, &database).await? {
                if let Some(channels) = self.channels(client, &name, id).await? {
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
        name: &CollectionName,
        id: CollectionId,
    ) -> Result<Option<Vec<String>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        // It may have been dropped in between.
        Ok(named(client, name).await?.map(|described| described.physical_channel_names))
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
