//! Part of step 6 of the way of a row: target timestamps and calls for one lane's window.
//! Never sends anything.

use crate::destination::milvus::fence::Fence;
use crate::error::{Error, Result};
use crate::message::Routed;
use milvus_wire::fence::{delete_of, primary_keys};
use milvus_wire::message::{Message, RowKind};
use milvus_wire::replicate::ReplicateCall;
use milvus_wire::splice::{Patch, Spliced, splice, splice_ddl};
use milvus_wire::timestamp::Timestamp;

/// What one lane gets in one window.
#[derive(Debug)]
pub(super) struct Plan {
    /// In order.
    pub calls: Vec<ReplicateCall>,
    /// At or above every stamp.
    pub highest: Timestamp,
    /// How many messages did not keep the source's timestamp.
    pub restamped: u64,
    /// How many inserts got a delete before them.
    pub fenced: u64,
}

/// Hands out stamps: the source's timestamp where it lies above all that went before, else just
/// above. What is equal on the source stays equal (invariant I5).
struct Stamps {
    last: Timestamp,
    last_source: Timestamp,
}

impl Stamps {
    fn next(&mut self, source: Timestamp) -> Timestamp {
        if source != self.last_source || self.last_source == Timestamp::ZERO {
            self.last = source.max(self.last.next());
            self.last_source = source;
        }
        self.last
    }

    fn made_up(&mut self) -> Timestamp {
        self.last = self.last.next();
        self.last_source = Timestamp::ZERO;
        self.last
    }
}

/// Plans the calls of one lane. Every stamp lies above `floor`. Behind `fence` every message has an
/// id of its own, and each insert follows a delete of its own keys, which removes a copy that lies
/// at or below `floor`.
pub(super) fn plan(
    lane: &str,
    messages: &[&Routed],
    floor: Timestamp,
    fence: Fence,
    call_bytes: usize,
) -> Result<Plan> {
    let mut stamps = Stamps { last: floor, last_source: Timestamp::ZERO };
    let mut plan = Plan { calls: Vec::new(), highest: floor, restamped: 0, fenced: 0 };
    let mut call_size = 0;
    for routed in messages {
        let entry = &routed.read.entry;
        let is_fenced = fence.covers(entry.order);
        if let Message::Row(row) = &entry.message
            && row.kind == RowKind::Insert
            && is_fenced
        {
            let stamp = stamps.made_up();
            let keys = primary_keys(row, routed.place.primary_key).map_err(unreadable)?;
            let id = fence.id_of_delete(row.msg_id);
            let delete = delete_of(row, keys, id, stamp, &routed.patch(Some(stamp)));
            add(&mut plan, &mut call_size, call_bytes, (lane, stamp, delete));
            plan.fenced += 1;
        }
        let source = entry.message.timestamp();
        let stamp = stamps.next(source);
        let patch = |id| Patch {
            msg_id: is_fenced.then(|| fence.id_of(id)),
            ..routed.patch((stamp != source).then_some(stamp))
        };
        plan.restamped += u64::from(stamp != source);
        let spliced = match &entry.message {
            Message::Row(row) => splice(row, &patch(row.msg_id)).map_err(unreadable)?,
            Message::DropCollection(ddl) | Message::DropPartition(ddl) => {
                splice_ddl(ddl, &patch(ddl.msg_id))
            }
            _ => continue,
        };
        add(&mut plan, &mut call_size, call_bytes, (lane, stamp, spliced));
    }
    Ok(plan)
}

fn add(
    plan: &mut Plan,
    call_size: &mut usize,
    call_bytes: usize,
    (lane, stamp, message): (&str, Timestamp, Spliced),
) {
    plan.highest = plan.highest.max(stamp);
    let size = message.len();
    match plan.calls.last_mut() {
        Some(call) if *call_size + size <= call_bytes => {
            call.end = call.end.max(stamp);
            call.messages.push(message);
            *call_size += size;
        }
        _ => {
            let messages = vec![message];
            let pchannel = lane.to_owned();
            plan.calls.push(ReplicateCall { pchannel, begin: stamp, end: stamp, messages });
            *call_size = size;
        }
    }
}

fn unreadable(e: milvus_wire::message::DecodeError) -> Error {
    Error::permanent("a row message can't be rewritten; report this").because(e)
}
