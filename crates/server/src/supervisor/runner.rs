//! Runs one task: starts it again after a transient fault, pauses it after a permanent one, and
//! ends when its destination is lost. Leaves a task alone that has a record of a newer version.
//! Never runs a task twice at a time.

use crate::monitoring::history::EventKind;
use crate::monitoring::live::{LiveTask, RunStage};
use crate::monitoring::metrics::Metrics;
use crate::tasks::Book;
use crate::world::DataPath;
use futures::FutureExt;
use replication::context::Ports;
use replication::error::{Error, Kind};
use replication::observer::Event;
use replication::pauses::Pauses;
use replication::task::Task;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A run that lasts this long has overcome what ended the run before it.
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
        let mut pauses = Pauses::new(self.backoff_first, self.task.limits.backoff_max);
        let mut last = None;
        loop {
            let progress = self.live.with(|facts| facts.progress);
            let error = self.once(last.as_deref(), &stop).await;
            if stop.is_cancelled() {
                return;
            }
            if self.live.with(|facts| facts.progress) > progress {
                pauses.reset();
            }
            if self.ports.destination.is_lost() {
                // The supervisor opens the destination anew and starts the task on it.
                tracing::warn!(task = self.task.id, error = ?error, "task ends with its target");
                return self.live.record(EventKind::Retrying, &error.what);
            }
            if error.kind == Kind::Permanent && self.store_pause(&error, &stop).await {
                return;
            }
            // Also covers a run that ended as stopped without being told to.
            if !self.pause_before_retry(&error, pauses.next_pause(), &stop).await {
                return;
            }
            last = Some(error.what);
        }
    }

    /// One run; `last` is what ended the one before.
    async fn once(&self, last: Option<&str>, stop: &CancellationToken) -> Error {
        self.live.begin_run();
        if let Err(error) = self.book.refuse_newer(&self.task.id).await {
            return error;
        }
        let run = self.path.run(self.task.clone(), self.ports.clone(), stop.child_token());
        let run = AssertUnwindSafe(run).catch_unwind();
        tokio::pin!(run);
        let ended = tokio::select! {
            ended = &mut run => ended,
            // Nobody could read a reason that came and went with every try.
            () = tokio::time::sleep(HEALED_AFTER), if last.is_some() => {
                if self.live.with(|facts| facts.waiting.as_deref() == last) {
                    self.ports.observer.event(Event::Waiting(None));
                }
                run.await
            }
        };
        ended.unwrap_or_else(|panic| {
            Error::permanent(format!(
                "internal fault: {}; the log tells where. Resume the task to try again, and report \
                 it",
                panic_message(panic.as_ref())
            ))
        })
    }

    /// Shows why the task failed and waits. `false` if the task was told to stop meanwhile.
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
            facts.stage = RunStage::Retrying;
            facts.restarts += 1;
            facts.waiting = Some(error.what.clone());
        });
        self.live.record(EventKind::Retrying, &error.what);
        self.metrics.task_restarts_total.with_label_values(&[id]).inc();
        self.metrics.task_waiting.with_label_values(&[id]).set(1);
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Stores that the task is paused and why; tries until that succeeds, or until `stop`. `false`
    /// if this service can't pause the task: another one writes to the target, or the task is left
    /// to a newer version.
    async fn store_pause(&self, error: &Error, stop: &CancellationToken) -> bool {
        let id = self.task.id.as_str();
        let mut pauses = Pauses::new(self.backoff_first, self.task.limits.backoff_max);
        loop {
            match self.book.pause_unless_elsewhere(id, &error.what).await {
                Ok(true) => {
                    tracing::error!(task = id, error = ?error, "task is paused");
                    return true;
                }
                Ok(false) => return false,
                Err(error) if error.kind == Kind::Permanent => {
                    tracing::error!(task = id, error = ?error, "task is not paused");
                    return false;
                }
                Err(error) => {
                    if !self.pause_before_retry(&error, pauses.next_pause(), stop).await {
                        return true;
                    }
                }
            }
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}
