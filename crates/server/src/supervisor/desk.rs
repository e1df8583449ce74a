//! Where handlers poke the supervisor and wait until it has acted. Never starts or stops a task.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What the supervisor has published.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The last poke after which the store was read.
    looked: u64,
    /// Whether the store was ever read.
    ever: bool,
    /// Tasks that run or have not stopped completely.
    running: BTreeSet<String>,
    /// Why the last look failed.
    failing: Option<String>,
}

/// How waiting for the supervisor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It has acted.
    Yes,
    /// It had not, in the time given.
    NotInTime,
}

/// The handlers' side of the supervisor.
#[derive(Clone)]
pub(crate) struct Desk {
    pokes: Arc<AtomicU64>,
    notify: Arc<Notify>,
    seen: Arc<watch::Sender<Seen>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            pokes: Arc::default(),
            notify: Arc::default(),
            seen: Arc::new(watch::Sender::new(Seen::default())),
        }
    }
}

impl Desk {
    /// Asks for a look at the store, and waits for the end of one that began after this call.
    pub(crate) async fn poke(&self, within: Duration) -> Settled {
        self.settle(within, |_| true).await
    }

    /// Like [`Self::poke`], and waits until the task no longer runs.
    pub(crate) async fn stopped(&self, task: &str, within: Duration) -> Settled {
        self.settle(within, |seen| !seen.running.contains(task)).await
    }

    /// Why the stored tasks are not supervised, if they are not.
    pub(crate) fn failing(&self) -> Option<String> {
        let seen = self.seen.borrow();
        match (&seen.failing, seen.ever) {
            (Some(reason), _) => Some(reason.clone()),
            (None, false) => Some("the stored tasks have not been read yet".into()),
            (None, true) => None,
        }
    }

    async fn settle(&self, within: Duration, done: impl Fn(&Seen) -> bool) -> Settled {
        let ticket = self.pokes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut seen = self.seen.subscribe();
        self.notify.notify_one();
        let settled = seen.wait_for(|seen| seen.looked >= ticket && done(seen));
        match tokio::time::timeout(within, settled).await {
            Ok(Ok(_)) => Settled::Yes,
            _ => Settled::NotInTime,
        }
    }

    /// For the supervisor: the number of the last poke.
    pub(super) fn last_poke(&self) -> u64 {
        self.pokes.load(Ordering::SeqCst)
    }

    /// For the supervisor: waits for a poke.
    pub(super) async fn wait_for_poke(&self) {
        self.notify.notified().await;
    }

    /// For the supervisor: publishes the end of a look that began after the poke of this number.
    pub(super) fn publish_look(
        &self,
        poke: u64,
        running: BTreeSet<String>,
        failing: Option<String>,
    ) {
        self.seen.send_modify(|seen| {
            seen.looked = seen.looked.max(poke);
            seen.ever |= failing.is_none();
            seen.running = running;
            seen.failing = failing;
        });
    }

    /// For the supervisor: publishes which tasks run.
    pub(super) fn publish_running(&self, running: BTreeSet<String>) {
        self.seen.send_modify(|seen| seen.running = running);
    }
}
