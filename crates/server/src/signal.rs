//! Listens for the signals that tell the process to stop. Never stops anything itself, except that
//! a second signal ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that an interrupt ended, as shells report it.
const INTERRUPTED: i32 = 130;

/// Cancels `stop` at the first SIGTERM or SIGINT, and ends the process at the second.
pub(crate) async fn watch(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    for first in [true, false] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if first {
            tracing::info!(
                "stopping after open windows are finished; a second signal stops at once"
            );
            stop.cancel();
        }
    }
    tracing::warn!("second signal, stopping at once");
    std::process::exit(INTERRUPTED)
}
