//! Limits how often progress is written. Never writes a record itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// When progress was last written, by name.
pub(super) struct Progress {
    every: Duration,
    written: HashMap<Arc<str>, Instant>,
}

impl Progress {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, written: HashMap::new() }
    }

    /// Whether to write progress now; if so, that counts as written.
    pub(super) fn is_due(&mut self, name: &Arc<str>, anyway: bool) -> bool {
        let is_due = anyway || self.written.get(name).is_none_or(|at| at.elapsed() >= self.every);
        if is_due {
            self.written.insert(name.clone(), Instant::now());
        }
        is_due
    }
}
