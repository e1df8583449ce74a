//! Asks a target Milvus to follow the source's catalog. A request that the target refuses for good
//! is counted and left out: the rows go on, and a person can make it good. Never waits until a
//! request has taken effect.

use crate::context::Context;
use crate::destination::milvus::link::Link;
use crate::error::{Kind, Result};
use crate::observer::Noted;
use crate::ports::{Ddl, Target};
use crate::progress::Progress;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::watch;

/// Who asks, whom, and how far the rows are.
pub(super) struct Asking {
    pub(super) context: Context,
    link: Arc<Link>,
    progress: watch::Receiver<Progress>,
}

impl Asking {
    /// Asks this target on behalf of a task.
    pub(super) fn new(
        context: Context,
        link: Arc<Link>,
        progress: watch::Receiver<Progress>,
    ) -> Self {
        Self { context, link, progress }
    }

    /// The target, for reading.
    pub(super) fn target(&self) -> &dyn Target {
        &*self.link.target
    }

    /// Asks for a request. Returns whether it was carried out.
    pub(super) async fn ask(&self, request: Ddl) -> Result<bool> {
        let at = self.progress.borrow().done;
        match self.context.ask(&request, at).await {
            Ok(()) => Ok(true),
            Err(e) if e.kind == Kind::Permanent => {
                self.refused(request.name(), request.what(), &e);
                Ok(false)
            }
            Err(e) => Err(e),
        }
    }

    /// Reports what the target does not follow in.
    pub(super) fn refused(&self, request: &str, what: &str, why: &dyn Debug) {
        tracing::error!(request, what, error = ?why, "the target does not follow");
        self.context.count(Noted::ServingRefused);
    }
}
