//! Below what nothing may be stamped or ticked. While a target was out of sight, somebody may have
//! ticked its channels: the target itself, if it was not in replica mode then, or another service.
//! Its own clock is surely above that. Never lowers a floor.

use crate::destination::milvus::lane::LockedLane;
use crate::destination::milvus::sight::Sight;
use crate::error::Result;
use crate::ports::Target;
use milvus_wire::timestamp::Timestamp;
use std::sync::Arc;

/// The floors of the lanes of one target.
pub(super) struct Floor {
    target: Arc<dyn Target>,
    sight: Arc<Sight>,
}

impl Floor {
    /// Of a target that is seen like this.
    pub(super) fn new(target: Arc<dyn Target>, sight: Arc<Sight>) -> Self {
        Self { target, sight }
    }

    /// The target's clock, if one of the lanes has not been used since the target was out of sight.
    pub(super) async fn of(&self, lanes: &[LockedLane]) -> Result<Option<Risen>> {
        let sight = self.sight.lost();
        if lanes.iter().all(|lane| lane.state.sight >= sight) {
            return Ok(None);
        }
        Ok(Some(Risen { floor: self.target.clock().await?, sight }))
    }

    /// Raises the floor of each lane that needs it.
    pub(super) async fn raise(&self, lanes: &mut [LockedLane]) -> Result<()> {
        if let Some(risen) = self.of(lanes).await? {
            risen.raise(lanes);
        }
        Ok(())
    }
}

/// A floor, and since when it is right.
pub(super) struct Risen {
    floor: Timestamp,
    sight: u64,
}

impl Risen {
    /// Raises the floor of each lane that has not been used since then.
    pub(super) fn raise(&self, lanes: &mut [LockedLane]) {
        for lane in lanes.iter_mut().filter(|lane| lane.state.sight < self.sight) {
            lane.raise(self.floor, self.sight);
        }
    }
}
