//! Flushes a collection of a target, and finds out whether that has ended. Never waits for it.

use super::client::Client;
use milvus_wire::ids::CollectionName;
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use replication::ports::Flush;

/// Asks for a flush of what a collection has got until now.
pub(super) async fn begin(client: &Client, name: &CollectionName) -> Result<Flush> {
    let CollectionName { database, name: collection } = name;
    let request = pb::FlushRequest {
        db_name: database.clone(),
        collection_names: vec![collection.clone()],
        ..Default::default()
    };
    let answer = client.ask(database, request, async |mut c, r| c.flush(r).await).await;
    let answer = answer.map_err(|fault| client.not_changed(&format!("flush {name}"), fault))?;
    let segments = answer.coll_seg_i_ds.get(collection).map_or(vec![], |ids| ids.data.clone());
    let Some(at) = answer.coll_flush_ts.get(collection) else {
        // Without it nobody can tell whether deletes are stored, too.
        return Err(Error::permanent(format!("the flush of {name} says not up to when it is")));
    };
    Ok(Flush { collection: name.clone(), segments, at: Timestamp(*at) })
}

/// Whether all that was asked for is stored. A Milvus says yes when the checkpoints of the
/// collection's channels are at the time of the flush, so rows and deletes are. Source:
/// `datacoord.Server.GetFlushState`.
pub(super) async fn has_ended(client: &Client, flush: &Flush) -> Result<bool> {
    let CollectionName { database, name } = &flush.collection;
    let request = pb::GetFlushStateRequest {
        segment_i_ds: flush.segments.clone(),
        flush_ts: flush.at.0,
        db_name: database.clone(),
        collection_name: name.clone(),
    };
    let answer = client.ask(database, request, async |mut c, r| c.get_flush_state(r).await).await;
    let tried = format!("see whether {} is flushed", flush.collection);
    Ok(answer.map_err(|fault| client.error(&tried, fault))?.flushed)
}
