//! Simulated time in which nothing fails by itself. Never knows a suite.

use crate::faults::Faults;

/// Runs in simulated time.
pub(super) fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(work);
}

/// Of a world in which nothing fails by itself.
pub(super) fn no_faults() -> Faults {
    Faults::new(0, false)
}
