//! One link per target, shared by all its tasks, with the loop that keeps it alive.
//! Never opens a second link to a target while the first one is still closing.

use crate::tasks::TaskRecord;
use crate::world::World;
use futures::FutureExt;
use replication::error::{Error, Result};
use replication::link::Link;
use replication::task::Limits;
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long a loop that was told to end may take.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Between the end of a loop that should not have ended and its next start.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// All links.
#[derive(Default)]
pub(super) struct Links {
    open: HashMap<String, Open>,
    closing: HashMap<Id, String>,
    keepers: JoinSet<()>,
}

struct Open {
    link: Arc<Link>,
    stop: CancellationToken,
    keeper: AbortHandle,
}

impl Links {
    /// The link to a task's target, opened if need be; `None` while the previous one closes.
    pub(super) fn ensure(
        &mut self,
        record: &TaskRecord,
        world: &World,
        limits: &Limits,
    ) -> Result<Option<Arc<Link>>> {
        let address = record.target().map_err(Error::permanent)?.to_string();
        if let Some(open) = self.open.get(&address) {
            return Ok(Some(Arc::clone(&open.link)));
        }
        if self.closing.values().any(|closing| *closing == address) {
            return Ok(None);
        }
        let target = world.targets.open(record)?;
        let link = Link::new(&address, target, Arc::clone(&world.store), limits.clone());
        let stop = CancellationToken::new();
        let keeper = self.keepers.spawn(keep(Arc::clone(&link), address.clone(), stop.clone()));
        tracing::info!(target = address, "link opens");
        self.open.insert(address, Open { link: Arc::clone(&link), stop, keeper });
        Ok(Some(link))
    }

    /// Closes the links to all other targets.
    pub(super) fn close_all_but(&mut self, wanted: &BTreeSet<String>) {
        let unwanted: Vec<String> =
            self.open.keys().filter(|address| !wanted.contains(*address)).cloned().collect();
        for address in unwanted {
            if let Some(open) = self.open.remove(&address) {
                tracing::info!(target = address, "link closes");
                open.stop.cancel();
                self.closing.insert(open.keeper.id(), address);
            }
        }
    }

    /// Resolves when a link has closed; never if none is closing.
    pub(super) async fn closed(&mut self) {
        if self.closing.is_empty() {
            return std::future::pending().await;
        }
        match self.keepers.join_next_with_id().await {
            Some(Ok((id, ()))) => self.closing.remove(&id),
            Some(Err(error)) => self.closing.remove(&error.id()),
            None => None,
        };
    }

    /// Closes all of them, within a limit.
    pub(super) async fn close_all(&mut self) {
        self.close_all_but(&BTreeSet::new());
        let all = async { while self.keepers.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_MAX, all).await.is_err() {
            tracing::warn!("links are cut off");
            self.keepers.shutdown().await;
        }
        self.closing.clear();
    }
}

/// Keeps a link alive until `stop`, also over a panic of its loop: tasks hold this very link.
async fn keep(link: Arc<Link>, address: String, stop: CancellationToken) {
    loop {
        let kept = AssertUnwindSafe(link.keep(stop.clone())).catch_unwind().await;
        if stop.is_cancelled() {
            return;
        }
        tracing::error!(
            target = address,
            panicked = kept.is_err(),
            "the link's loop ended, it is started again"
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
}
