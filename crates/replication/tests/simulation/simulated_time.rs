//! Time that passes at once: the clock jumps to whatever is awaited next. What is left to chance
//! follows a seed, so that a run can be repeated. Never takes real time.

/// Runs a scenario.
pub(crate) fn block_on<T>(seed: u64, work: impl Future<Output = T>) -> T {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(work)
}
