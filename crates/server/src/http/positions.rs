//! Positions as users write and read them: base64 of a `MsgPosition` by channel.
//! Never asks the queue whether a position is still held; opening it tells.

use super::answer::{Data, Refusal};
use super::state::ApiState;
use crate::tasks::TaskRecord;
use milvus_wire::ids::split_vchannel;
use milvus_wire::position::{decode_position, encode_position};
use replication::positions::{Shown, ShownPosition, show};
use serde_json::{Value, json};

/// Checks the positions of a new task, in the words of the Go tool.
pub(super) fn check(record: &TaskRecord) -> Result<(), Refusal> {
    for (_, info) in record.selectors() {
        let mut collection = None;
        for (channel, text) in info.positions.iter().flatten() {
            let Some((_, id, _)) = split_vchannel(channel) else {
                return Err(Refusal::bad(format!("the vchannel is invalid, {channel}")));
            };
            if *collection.get_or_insert(id) != id {
                let what = "the channel position info should be in the same collection";
                return Err(Refusal::bad(what));
            }
            decode_position(text).map_err(|e| {
                Refusal::failed(format!("fail to decode the position data of {channel}, {e}"))
            })?;
        }
    }
    let rpc = record.rpc_channel.position.as_str();
    if !rpc.is_empty() {
        decode_position(rpc)
            .map_err(|e| Refusal::failed(format!("fail to decode the rpc position data, {e}")))?;
    }
    Ok(())
}

/// `position`: what is stored of one task; of an unknown one nothing, without an id of all.
pub(super) async fn position(api: &ApiState, id: &str) -> Result<Data, Refusal> {
    let store = api.book.store().as_ref();
    let failed = |error| Refusal::store(&error);
    let ids = if id.is_empty() {
        let listing = api.book.list().await.map_err(failed)?;
        listing.records.into_iter().map(|r| r.task_id).collect()
    } else {
        vec![id.to_owned()]
    };
    let mut all = Shown::default();
    for id in ids {
        let shown = show(store, &id).await.map_err(failed)?;
        all.positions.extend(shown.positions);
        // A position without its channel could not be given to `create`.
        all.op_positions.extend(shown.op_positions.into_iter().map(|mut position| {
            if position.channel.is_empty() {
                position.channel = api.op_channel.clone();
            }
            position
        }));
        all.target_positions.extend(shown.target_positions);
    }
    let mut data = Data::new();
    data.insert("positions".into(), list(&all.positions));
    data.insert("op_positions".into(), list(&all.op_positions));
    data.insert("target_positions".into(), list(&all.target_positions));
    Ok(data)
}

/// The Go tool answers null where there is nothing.
fn list(positions: &[ShownPosition]) -> Value {
    if positions.is_empty() {
        return Value::Null;
    }
    positions.iter().map(shown).collect()
}

fn shown(position: &ShownPosition) -> Value {
    let time = position.tick.ms();
    json!({
        "collection_id": position.collection.0,
        "channel_name": position.channel,
        "time": time,
        // The first timestamp behind that millisecond.
        "tt": (time + 1) << 18,
        "msg_id": encode_position(&position.channel, &position.id),
    })
}
