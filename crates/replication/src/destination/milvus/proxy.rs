//! Through which proxy of the target calls go. A proxy appends the calls on one channel one after
//! the other, so behind a later call that it has answered no earlier one arrives any more. That
//! holds for one proxy only, and an address may lead to several. Never chooses a proxy.

use crate::error::Result;
use crate::ports::Target;
use crate::sync::lock;
use std::sync::{Arc, Mutex};

/// What is known of the proxies of one target.
pub(super) struct Proxy {
    target: Arc<dyn Target>,
    /// The only proxy; `None`: not known, or there are several.
    only: Mutex<Option<i64>>,
}

impl Proxy {
    /// Nothing is known yet.
    pub(super) fn new(target: Arc<dyn Target>) -> Self {
        Self { target, only: Mutex::default() }
    }

    /// The only proxy, as of the last time that the target was asked. If another one has come
    /// since, it has another id.
    pub(super) fn last_known(&self) -> Option<i64> {
        *lock(&self.only)
    }

    /// Asks the target for its only proxy.
    pub(super) async fn ask(&self) -> Result<Option<i64>> {
        let proxies = self.target.proxies().await?;
        let only = proxies.first().copied().filter(|_| proxies.len() == 1);
        *lock(&self.only) = only;
        Ok(only)
    }
}
