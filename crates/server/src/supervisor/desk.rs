//! Where handlers poke the supervisor and wait until it has acted. Never touches a task itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What the supervisor has published.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// All pokes up to this one were seen by a look at the store.
    looked: u64,
    /// Whether the store was ever read.
    once: bool,
    /// Tasks that run, or have not quite stopped.
    running: BTreeSet<String>,
    /// Why the last look failed.
    failing: Option<String>,
}

/// How waiting for the supervisor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It has acted.
    Yes,
    /// It had not, in the time given.
    NotInTime,
}

/// The handlers' side of the supervisor.
#[derive(Clone)]
pub struct Desk {
    asked: Arc<AtomicU64>,
    notify: Arc<Notify>,
    seen: Arc<watch::Sender<Seen>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            asked: Arc::default(),
            notify: Arc::default(),
            seen: Arc::new(watch::Sender::new(Seen::default())),
        }
    }
}

impl Desk {
    /// Asks for a look at the store and waits until one has been taken that began after this call.
    pub async fn poke(&self, within: Duration) -> Settled {
        self.settle(within, |_| true).await
    }

    /// Like [`Self::poke`], and waits until the task no longer runs.
    pub async fn stopped(&self, task: &str, within: Duration) -> Settled {
        self.settle(within, |seen| !seen.running.contains(task)).await
    }

    /// Why tasks are not looked after, if they are not.
    pub fn failing(&self) -> Option<String> {
        let seen = self.seen.borrow();
        match (&seen.failing, seen.once) {
            (Some(reason), _) => Some(reason.clone()),
            (None, false) => Some("the stored tasks have not been read yet".into()),
            (None, true) => None,
        }
    }

    async fn settle(&self, within: Duration, done: impl Fn(&Seen) -> bool) -> Settled {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut seen = self.seen.subscribe();
        self.notify.notify_one();
        let settled = seen.wait_for(|seen| seen.looked >= ticket && done(seen));
        match tokio::time::timeout(within, settled).await {
            Ok(Ok(_)) => Settled::Yes,
            _ => Settled::NotInTime,
        }
    }

    /// The supervisor's: the last poke so far.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// The supervisor's: waits for a poke.
    pub(super) async fn poked(&self) {
        self.notify.notified().await;
    }

    /// The supervisor's: publishes the end of a look.
    pub(super) fn looked(&self, asked: u64, running: BTreeSet<String>, failing: Option<String>) {
        self.seen.send_modify(|seen| {
            seen.looked = seen.looked.max(asked);
            seen.once |= failing.is_none();
            seen.running = running;
            seen.failing = failing;
        });
    }

    /// The supervisor's: publishes who runs.
    pub(super) fn running(&self, running: BTreeSet<String>) {
        self.seen.send_modify(|seen| seen.running = running);
    }
}
