//! How often the progress of something is told. Never tells anything itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// When the progress of each name was told last.
pub(super) struct Progress {
    every: Duration,
    told: HashMap<Arc<str>, Instant>,
}

impl Progress {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, told: HashMap::new() }
    }

    /// Whether to tell it now, which it then counts as done.
    pub(super) fn is_due(&mut self, name: &Arc<str>, anyway: bool) -> bool {
        let is_due = anyway || self.told.get(name).is_none_or(|told| told.elapsed() >= self.every);
        if is_due {
            self.told.insert(name.clone(), Instant::now());
        }
        is_due
    }
}
