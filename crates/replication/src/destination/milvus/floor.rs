//! Below what nothing may be stamped or ticked. While a target was out of sight, somebody may have
//! ticked its channels: the target itself, if it was not in replica mode then, or another service.
//! Its own clock is surely above that. Never lowers a floor.

use crate::destination::milvus::lane::LockedLane;
use crate::destination::milvus::sight::Sight;
use crate::error::Result;
use crate::ports::Target;
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

    /// Raises the floor of each lane that has not been used since the target was out of sight.
    pub(super) async fn raise(&self, lanes: &mut [LockedLane]) -> Result<()> {
        let sight = self.sight.lost();
        let mut blind: Vec<_> = lanes.iter_mut().filter(|lane| lane.state.sight < sight).collect();
        if blind.is_empty() {
            return Ok(());
        }
        let floor = self.target.clock().await?;
        for lane in &mut blind {
            lane.raise(floor, sight);
        }
        Ok(())
    }
}
