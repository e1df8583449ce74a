//! The target's own clock, which is asked rarely. Never goes back.

use crate::error::Result;
use crate::ports::Target;
use crate::sync::lock;
use milvus_wire::timestamp::Timestamp;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// Rows and ticks may lie ahead of the clock by this much: the target allots segments until two
/// seconds ahead of it, and goes on from its clock when it is promoted.
pub(super) const AHEAD_MS: u64 = 1000;

/// How old a sample may be.
const SAMPLE_LIFE: Duration = Duration::from_secs(1);

/// The clock of one target.
pub(super) struct Clock {
    target: Arc<dyn Target>,
    sample: Mutex<Option<(Timestamp, Instant)>>,
}

impl Clock {
    /// A clock that has not been asked yet.
    pub(super) fn new(target: Arc<dyn Target>) -> Self {
        Self { target, sample: Mutex::default() }
    }

    /// What the target says now. It is no sample: one that has just started to answer, or that has
    /// stood still, may be behind for a moment, and tasks would wait for that time.
    pub(super) async fn ask(&self) -> Result<Timestamp> {
        self.target.clock().await
    }

    /// The time there, from a sample that is at most a second old.
    pub(super) async fn now(&self) -> Result<Timestamp> {
        let sample = *lock(&self.sample);
        let (at, taken) = match sample {
            Some((at, taken)) if taken.elapsed() <= SAMPLE_LIFE => (at, taken),
            _ => {
                let fresh = (self.target.clock().await?, Instant::now());
                *lock(&self.sample) = Some(fresh);
                fresh
            }
        };
        let passed = u64::try_from(taken.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(at.plus_ms(passed))
    }
}
