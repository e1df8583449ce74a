//! Positions as users write and read them: by channel, a `MsgPosition` in base64.
//! Never asks the queue whether it still has a position: the task finds that out when it starts.

use super::refusal::{Kind, Refusal};
use super::state::ApiState;
use crate::tasks::TaskRecord;
use milvus_wire::ids::split_vchannel;
use milvus_wire::position::{decode_position, encode_position};
use milvus_wire::timestamp::Timestamp;
use replication::records::shown_positions::{ShownPosition, show};
use serde::Serialize;
use utoipa::ToSchema;

/// Where a user finds positions.
pub(super) const HOW_TO_GIVE: &str =
    "give positions by virtual channel, as the positions of a task show them";

/// Where a task resumes on one channel of one collection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Position {
    /// The collection's id on the source; −10 for the op channel.
    #[schema(example = 446_000_000_000_000_001_i64)]
    pub collection_id: i64,
    /// The physical channel.
    #[schema(example = "by-dev-rootcoord-dml_0")]
    pub channel_name: String,
    /// Everything up to this time is on the target, unix milliseconds; null if nothing is yet.
    #[schema(example = 1_700_000_000_000_u64)]
    pub time: Option<u64>,
    /// The same as a hybrid timestamp.
    #[schema(example = 445_644_800_262_144_000_u64)]
    pub tt: Option<u64>,
    /// The position, in the form that a new task takes.
    #[schema(example = "ChZieS1kZXYtcm9vdGNvb3JkLWRtbF8wEggAAAAAAAAAAA==")]
    pub msg_id: String,
}

/// Where a task resumes.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct Positions {
    /// Positions on the source's channels, one per collection and channel.
    pub positions: Vec<Position>,
    /// Position on the source's op channel.
    pub op_positions: Vec<Position>,
    /// Always empty: a task's progress is known by the source's channels.
    pub target_positions: Vec<Position>,
}

/// Checks the positions of a new task, in the words of the Go tool.
pub(super) fn check(record: &TaskRecord) -> Result<(), Refusal> {
    let refuse = |what: String| Err(Refusal::invalid("positions", what, HOW_TO_GIVE));
    for (_, info) in record.selectors() {
        let mut collection = None;
        for (channel, text) in info.positions.iter().flatten() {
            let Some((_, id, _)) = split_vchannel(channel) else {
                return refuse(format!("the vchannel is invalid, {channel}"));
            };
            if *collection.get_or_insert(id) != id {
                let what = "the channel position info should be in the same collection";
                return refuse(what.into());
            }
            let what = format!("the position data of {channel}");
            check_one("positions", &what, text)?;
        }
    }
    match record.rpc_channel.position.as_str() {
        "" => Ok(()),
        text => check_one("rpc_channel_info.position", "the rpc position data", text),
    }
}

fn check_one(field: &str, what: &str, text: &str) -> Result<(), Refusal> {
    decode_position(text).map(drop).map_err(|error| {
        let detail = format!("fail to decode {what}, {error}");
        Refusal { field: field.into(), ..Refusal::new(Kind::Undecodable, detail, HOW_TO_GIVE) }
    })
}

/// The stored positions of a task; none if it has not begun.
pub(super) async fn of(api: &ApiState, id: &str) -> Result<Positions, Refusal> {
    let shown = show(api.book.store().as_ref(), id).await.map_err(|e| Refusal::store(&e))?;
    let list = |positions: Vec<ShownPosition>| positions.iter().map(shown_as).collect();
    let mut all = Positions {
        positions: list(shown.positions),
        op_positions: list(shown.op_positions),
        target_positions: Vec::new(),
    };
    // A new task does not take a position without its channel.
    for position in &mut all.op_positions {
        if position.channel_name.is_empty() {
            position.channel_name = api.op_channel.clone();
        }
    }
    Ok(all)
}

fn shown_as(position: &ShownPosition) -> Position {
    // The Go tool shows a channel once it has sent a message of it; the position is known before.
    let time = Some(position.tick).filter(|tick| *tick > Timestamp::ZERO).map(Timestamp::ms);
    Position {
        collection_id: position.collection.0,
        channel_name: position.channel.clone(),
        time,
        // The first timestamp after that millisecond.
        tt: time.map(|time| (time + 1) << 18),
        msg_id: encode_position(&position.channel, &position.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connectors::store::MemoryStore;
    use milvus_wire::ids::CollectionId;
    use milvus_wire::position::MessageId;
    use replication::ports::{Store as _, Transaction};
    use replication::records::checkpoint::{Checkpoint, OpPosition};
    use serde_json::Value;
    use std::collections::BTreeMap;

    #[test]
    fn a_channel_with_nothing_on_the_target_yet_has_a_position_and_no_time() {
        let at = |tick| {
            let (collection, channel) = (CollectionId(7), "dml_0".to_owned());
            shown_as(&ShownPosition { collection, channel, id: MessageId::default(), tick })
        };
        let untouched = serde_json::to_value(at(Timestamp::ZERO)).unwrap();
        assert_eq!((&untouched["time"], &untouched["tt"]), (&Value::Null, &Value::Null));
        assert!(!untouched["msg_id"].as_str().unwrap().is_empty());
        let reached = at(Timestamp(1000 << 18 | 5));
        assert_eq!((reached.time, reached.tt), (Some(1000), Some(1001 << 18)));
    }

    /// A user who waits for a position writes rows then, and expects them to be replicated.
    #[tokio::test]
    async fn no_position_is_shown_before_the_whole_task_has_begun() {
        let store = MemoryStore::default();
        let mut begins = Transaction::default();
        let first = MessageId(vec![0; 8].into());
        OpPosition::new(first, Timestamp::ZERO).put("t", &mut begins);
        store.commit(begins).await.unwrap();
        assert!(show(&store, "t").await.unwrap().op_positions.is_empty());

        let mut begun = Transaction::default();
        Checkpoint::new(BTreeMap::new(), None).put("t", &mut begun);
        store.commit(begun).await.unwrap();
        assert_eq!(show(&store, "t").await.unwrap().op_positions.len(), 1);
    }
}
