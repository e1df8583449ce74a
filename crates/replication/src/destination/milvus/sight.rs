//! How often a target went out of sight. Never asks the target.

use std::sync::atomic::{AtomicU64, Ordering};

/// The sight of one target.
pub(super) struct Sight {
    /// A lane that an earlier run has left saw it before the first time.
    lost: AtomicU64,
}

impl Sight {
    /// No target has been seen yet.
    pub(super) fn new() -> Self {
        Self { lost: AtomicU64::new(1) }
    }

    /// A call was refused, or had no answer.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it went out of sight up to now.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
