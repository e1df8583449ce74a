//! The life of one task: run it, start it again after a fault that heals, pause it after one that
//! doesn't, end with its destination. Never runs a task twice at a time.

use super::backoff::Backoff;
use crate::monitoring::history::What;
use crate::monitoring::live::{LiveTask, Stage};
use crate::monitoring::metrics::Metrics;
use crate::tasks::Book;
use crate::world::DataPath;
use futures::FutureExt;
use replication::context::Ports;
use replication::error::{Error, Kind};
use replication::observer::Event;
use replication::task::Task;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A run that has not failed again for this long has overcome what ended the one before.
const HEALED_AFTER: Duration = Duration::from_secs(2);

/// One task and all it needs.
pub(super) struct Runner {
    pub(super) task: Task,
    pub(super) ports: Ports,
    pub(super) path: Arc<dyn DataPath>,
    pub(super) book: Book,
    pub(super) live: Arc<LiveTask>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) backoff_first: Duration,
}

impl Runner {
    /// Runs until `stop` or until the task is paused.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.backoff_first, self.task.limits.backoff_max);
        let mut last = None;
        loop {
            let progress = self.live.with(|facts| facts.progress);
            let error = self.once(last.as_deref(), &stop).await;
            if stop.is_cancelled() {
                return;
            }
            if self.live.with(|facts| facts.progress) > progress {
                backoff.reset();
            }
            if self.ports.destination.is_lost() {
                // Whoever looks after destinations opens it anew, and starts the task on it.
                tracing::warn!(task = self.task.id, error = ?error, "task ends with its target");
                return self.live.note(What::Retrying, &error.what);
            }
            if error.kind == Kind::Permanent && self.is_parked(&error, &stop).await {
                return;
            }
            // Also one that nobody told to stop, yet it did.
            if !self.pause_before_retry(&error, backoff.next(), &stop).await {
                return;
            }
            last = Some(error.what);
        }
    }

    /// One run; `last` is what ended the one before.
    async fn once(&self, last: Option<&str>, stop: &CancellationToken) -> Error {
        self.live.begin_run();
        let run = self.path.run(self.task.clone(), self.ports.clone(), stop.child_token());
        let run = AssertUnwindSafe(run).catch_unwind();
        tokio::pin!(run);
        let ended = tokio::select! {
            ended = &mut run => ended,
            // A reason that came and went with every try could not be read.
            () = tokio::time::sleep(HEALED_AFTER), if last.is_some() => {
                if self.live.with(|facts| facts.waiting.as_deref() == last) {
                    self.ports.observer.event(Event::Waiting(None));
                }
                run.await
            }
        };
        ended.unwrap_or_else(|panic| {
            Error::permanent(format!(
                "internal fault: {}; the log tells where. Resume the task to try again, and report it",
                words(panic.as_ref())
            ))
        })
    }

    /// Says why and waits; `false`: told to stop meanwhile.
    async fn pause_before_retry(
        &self,
        error: &Error,
        pause: Duration,
        stop: &CancellationToken,
    ) -> bool {
        let id = self.task.id.as_str();
        let pause_ms = pause.as_millis() as u64;
        tracing::warn!(task = id, error = ?error, pause_ms, "task failed and is started again");
        self.live.with(|facts| {
            facts.stage = Stage::Retrying;
            facts.restarts += 1;
            facts.waiting = Some(error.what.clone());
        });
        self.live.note(What::Retrying, &error.what);
        self.metrics.task_restarts_total.with_label_values(&[id]).inc();
        self.metrics.task_waiting.with_label_values(&[id]).set(1);
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Stores that the task is paused and why; tries until that is done. `false`: another service
    /// writes to its target, so it can't be done.
    async fn is_parked(&self, error: &Error, stop: &CancellationToken) -> bool {
        let id = self.task.id.as_str();
        let mut backoff = Backoff::new(self.backoff_first, self.task.limits.backoff_max);
        loop {
            match self.book.park(id, &error.what).await {
                Ok(true) => {
                    tracing::error!(task = id, error = ?error, "task is paused");
                    return true;
                }
                Ok(false) => return false,
                Err(error) => {
                    if !self.pause_before_retry(&error, backoff.next(), stop).await {
                        return true;
                    }
                }
            }
        }
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}
