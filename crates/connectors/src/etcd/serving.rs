//! Reads how a collection is served, in one request, so that all of it is of one moment. Reads the
//! aliases, which are not stored by collection. Never reads the collection itself.

use super::cluster::Cluster;
use super::connection::Repeat;
use super::listing::list;
use super::record::{text, unreadable};
use super::transaction::transact;
use etcd_client::{GetOptions, Txn, TxnOp};
use milvus_wire::ids::CollectionId;
use milvus_wire::serving::{
    Alias, Serving, decode_alias, decode_index, decode_load, decode_partition_load,
};
use replication::error::Result;

/// The indexes and the load state of a collection; both empty if it is gone.
pub(super) async fn serving(cluster: &Cluster, id: CollectionId) -> Result<Serving> {
    let below = |prefix: String| TxnOp::get(prefix, Some(GetOptions::new().with_prefix()));
    let operations = vec![
        below(cluster.keys.indexes(id)),
        TxnOp::get(cluster.keys.load(id), None),
        below(cluster.keys.partition_loads(id)),
    ];
    let tried = format!("read how collection {id} is served");
    let txn = Txn::new().and_then(operations);
    let mut answer = transact(&cluster.connection, &tried, Repeat::Always, txn).await?;
    let mut serving = Serving::default();
    for record in answer.next_read() {
        let index = decode_index(record.value()).map_err(|error| unreadable(&record, error))?;
        serving.indexes.extend(index);
    }
    for record in answer.next_read() {
        serving.load =
            decode_load(id, record.value()).map_err(|error| unreadable(&record, error))?;
    }
    for record in answer.next_read() {
        let partition = decode_partition_load(id, record.value());
        serving.partitions.extend(partition.map_err(|error| unreadable(&record, error))?);
    }
    Ok(serving)
}

/// All aliases, of every database.
pub(super) async fn aliases(cluster: &Cluster) -> Result<Vec<Alias>> {
    let (records, _) = list(&cluster.connection, &cluster.keys.aliases(), None).await?;
    let mut aliases = Vec::new();
    for record in records {
        let key = text(record.key());
        let Some((database, name)) = cluster.keys.parse_alias_key(&key) else { continue };
        let decoded = decode_alias(record.value()).map_err(|error| unreadable(&record, error))?;
        aliases.extend(decoded.map(|collection| Alias {
            database,
            name: name.to_owned(),
            collection,
        }));
    }
    Ok(aliases)
}
