//! Runs the cases of a suite one after the other. Never stops at the first that fails: whoever
//! writes an implementation wants to know all that is missing.

use futures::FutureExt as _;
use std::any::Any;
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A case that takes longer waits for something that will not happen.
const CASE_WITHIN: Duration = Duration::from_secs(180);

/// Whatever works at all has happened by then.
const SOON: Duration = Duration::from_secs(30);

/// Between two looks at something that happens without a word.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The cases of one run.
pub(crate) struct Cases {
    port: &'static str,
    broken: Vec<String>,
}

impl Cases {
    /// None has run yet.
    pub(crate) fn of(port: &'static str) -> Self {
        Self { port, broken: Vec::new() }
    }

    /// Runs a case of a sentence, which is quoted from the port's documentation.
    pub(crate) async fn case(&mut self, sentence: &str, case: impl Future<Output = ()>) {
        println!("{}: {sentence}", self.port);
        let why = match timeout(CASE_WITHIN, AssertUnwindSafe(case).catch_unwind()).await {
            Ok(Ok(())) => return,
            Ok(Err(panic)) => words(&*panic),
            Err(_) => format!("not done after {CASE_WITHIN:?}"),
        };
        self.broken.push(format!("\"{sentence}\"\n    {why}"));
    }

    /// Panics with the sentences that are broken, if any are.
    pub(crate) fn end(self) {
        let Self { port, broken } = self;
        assert!(broken.is_empty(), "{port} breaks its contract:\n  {}", broken.join("\n  "));
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked without a word".to_owned())
}

/// What was asked for; panics with the error if there is one.
#[track_caller]
pub(crate) fn done<T, E: Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("it failed: {error:?}"))
}

/// Waits for something that must not take for ever.
pub(crate) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    within(SOON, what, wait).await
}

/// Waits for something that must have happened after so long.
pub(crate) async fn within<T>(time: Duration, what: &str, wait: impl Future<Output = T>) -> T {
    let ended = timeout(time, wait).await;
    ended.unwrap_or_else(|_| panic!("waited {time:?} in vain for {what}"))
}

/// Looks again and again until both are equal.
pub(crate) async fn becomes<T: PartialEq + Debug>(
    what: &str,
    expected: &T,
    look: impl AsyncFn() -> T,
) {
    let deadline = Instant::now() + SOON;
    loop {
        let found = look().await;
        if found == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: expected {expected:?}, found {found:?}");
        sleep(LOOK_EVERY).await;
    }
}
