//! The ids of messages that are sent again across a tick.
//!
//! A consumer of Milvus removes every second message with the same `base.msgID` from what it
//! collects before it passes it on. If its ticks are more than ten seconds old, it collects over
//! several of them (`MqTtMsgStream.continueBuffering`, `mq.enablePursuitMode`). So an id that comes
//! again behind a tick may be removed or not, and only an id of its own is surely neither.
//! Never decides what is sent again: that is `deliver`.

use milvus_wire::timestamp::Timestamp;

/// Derived ids lie from `i64::MIN` up to half of it. A source allots positive ids, and the ids that
/// milvus-cdc makes by negating those lie above.
const DERIVED: u64 = 1 << 63;

/// The bits in which derived ids differ. The lowest tells a delete of the fence from the rest.
const FREE: u64 = (1 << 62) - 1;

/// A stretch of a lane's messages that may be in the target's log already, behind a tick.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fence {
    /// The stretch reaches up to this source timestamp.
    pub(super) upto: Timestamp,
    /// The last tick of the lane whose window was committed. While a window is open it stays, so
    /// every replay of the window has the same ids. Each later window has others.
    pub(super) after: Timestamp,
}

impl Fence {
    /// Whether a message of this order lies in the stretch.
    pub(super) fn covers(&self, order: Timestamp) -> bool {
        order <= self.upto
    }

    /// The id under which a message is sent again.
    pub(super) fn id_of(&self, msg_id: i64) -> i64 {
        self.derived(msg_id, 0)
    }

    /// The id of the delete that goes before an insert.
    pub(super) fn id_of_delete(&self, msg_id: i64) -> i64 {
        self.derived(msg_id, 1)
    }

    /// Two ids of one stretch differ, because an odd factor and an exclusive or can be undone. Two
    /// ids of different stretches are alike by chance only, once in 2^61.
    fn derived(&self, msg_id: i64, lowest: u64) -> i64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let id = msg_id.cast_unsigned().wrapping_mul(ODD) ^ scattered(self.after.0);
        (DERIVED | ((id << 1) & FREE) | lowest).cast_signed()
    }
}

/// A number of which each bit depends on each bit of the other.
fn scattered(number: u64) -> u64 {
    let mut bits = number;
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        bits = (bits ^ (bits >> 33)).wrapping_mul(factor);
    }
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Ids as sources allot them: near each other, and near their time.
    fn source_ids() -> impl Iterator<Item = i64> {
        (0..20_000).map(|n| 450_000_000_000_000_000 + n)
    }

    #[test]
    fn an_id_is_used_once() {
        let mut met: BTreeSet<i64> = source_ids().flat_map(|id| [id, -id]).collect();
        let mut count = met.len();
        for after in [0, 1, 2, 470_812_536_520_310_791, 470_812_536_520_310_792] {
            let fence = Fence { upto: Timestamp(u64::MAX), after: Timestamp(after) };
            met.extend(source_ids().flat_map(|id| [fence.id_of(id), fence.id_of_delete(id)]));
            count += 2 * source_ids().count();
            assert_eq!(met.len(), count, "after {after}");
        }
    }

    #[test]
    fn a_replay_has_the_same_ids() {
        let fence = |upto| Fence { upto, after: Timestamp(470_812_536_520_310_791) };
        let (first, second) = (fence(Timestamp(9)), fence(Timestamp(10)));
        assert!(source_ids().all(|id| first.id_of(id) == second.id_of(id)));
    }
}
