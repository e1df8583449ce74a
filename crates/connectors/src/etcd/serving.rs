//! Reads how a collection is served, in one request, so that it fits together; and the aliases, which
//! are not kept by collection. Never looks at what the collection is.

use super::Shared;
use super::listing::{list, reader};
use super::read::{text, unreadable};
use etcd_client::{Client, GetOptions, Txn, TxnOp, TxnOpResponse};
use milvus_wire::ids::CollectionId;
use milvus_wire::serving::{
    Alias, Serving, decode_alias, decode_index, decode_load, decode_partition_load,
};
use replication::error::Result;

/// The indexes of a collection and what of it is loaded; nothing of either if it is gone.
pub(super) async fn serving(shared: &Shared, id: CollectionId) -> Result<Serving> {
    let below = |prefix: String| TxnOp::get(prefix, Some(GetOptions::new().with_prefix()));
    let operations = vec![
        below(shared.keys.indexes(id)),
        TxnOp::get(shared.keys.load(id), None),
        below(shared.keys.partition_loads(id)),
    ];
    let ask =
        async |client: Client| reader(&client).txn(Txn::new().and_then(operations.clone())).await;
    let tried = format!("read how collection {id} is served");
    let answer = shared.connection.ask(&tried, ask).await?;
    let mut answers = answer.op_responses().into_iter().map(|answer| match answer {
        TxnOpResponse::Get(mut got) => got.take_kvs(),
        _ => vec![],
    });
    let mut serving = Serving::default();
    for record in answers.next().unwrap_or_default() {
        let index = decode_index(record.value()).map_err(|error| unreadable(&record, error))?;
        serving.indexes.extend(index);
    }
    for record in answers.next().unwrap_or_default() {
        serving.load =
            decode_load(id, record.value()).map_err(|error| unreadable(&record, error))?;
    }
    for record in answers.next().unwrap_or_default() {
        let partition = decode_partition_load(id, record.value());
        serving.partitions.extend(partition.map_err(|error| unreadable(&record, error))?);
    }
    Ok(serving)
}

/// All aliases, of every database.
pub(super) async fn aliases(shared: &Shared) -> Result<Vec<Alias>> {
    let (records, _) = list(&shared.connection, &shared.keys.aliases(), None).await?;
    let mut aliases = Vec::new();
    for record in records {
        let key = text(record.key());
        let Some((database, name)) = shared.keys.parse_alias_key(&key) else { continue };
        let decoded = decode_alias(record.value()).map_err(|error| unreadable(&record, error))?;
        aliases.extend(decoded.map(|collection| Alias {
            database,
            name: name.to_owned(),
            collection,
        }));
    }
    Ok(aliases)
}
