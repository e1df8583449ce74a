//! Telling a task to stop, and how long it may take to finish its open window.
//! Never aborts anything by itself.

use crate::error::{Error, Kind, Result};
use crate::observer::{Event, Noted, Observer};
use crate::pauses::Pauses;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The first pause between two tries.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// A stop signal with a time for finishing.
#[derive(Clone)]
pub struct Stop {
    /// The signal.
    pub token: CancellationToken,
    /// How long an open window may still take.
    pub finish_max: Duration,
}

impl Stop {
    /// A stop that leaves no time for finishing.
    pub fn at_once(token: CancellationToken) -> Self {
        Self { token, finish_max: Duration::ZERO }
    }

    /// Runs something of an open window: it goes on after the signal, but not for ever.
    pub async fn bounded<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let overdue = async {
            self.token.cancelled().await;
            tokio::time::sleep(self.finish_max).await;
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = overdue => Err(Error::stopped()),
        }
    }

    /// Runs something that nothing depends on: it ends with the signal.
    pub async fn until<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(Error::stopped()),
            done = work => Ok(done),
        }
    }
}

/// Growing pauses between the tries of one thing, with the reason shown while they last.
pub struct Backoff<'a> {
    observer: &'a dyn Observer,
    pauses: Pauses,
    has_paused: bool,
}

impl<'a> Backoff<'a> {
    /// Pauses from a tenth of a second up to `max`.
    pub fn new(observer: &'a dyn Observer, max: Duration) -> Self {
        Self { observer, pauses: Pauses::new(BACKOFF_MIN, max), has_paused: false }
    }

    /// One pause.
    pub async fn pause(&mut self, why: &Error) {
        self.observer.event(Event::Waiting(Some(&why.what)));
        self.observer.event(Event::Counted(Noted::Retried, 1));
        tokio::time::sleep(self.pauses.next_pause()).await;
        self.has_paused = true;
    }
}

impl Drop for Backoff<'_> {
    fn drop(&mut self) {
        if self.has_paused {
            self.observer.event(Event::Waiting(None));
        }
    }
}

/// Tries something until it succeeds, fails for good, or is told to stop.
pub(crate) async fn retry<T, F: Future<Output = Result<T>>>(
    stop: &Stop,
    observer: &dyn Observer,
    backoff_max: Duration,
    work: impl Fn() -> F,
) -> Result<T> {
    let mut backoff = Backoff::new(observer, backoff_max);
    loop {
        match stop.bounded(work()).await? {
            Err(e) if e.kind == Kind::Transient => {
                tracing::warn!(error = ?e, "trying again");
                stop.bounded(backoff.pause(&e)).await?;
            }
            Ok(done) => return Ok(done),
            Err(e) => return Err::<T, Error>(e),
        }
    }
}
