//! Waits for a condition by polling it, with a deadline and the caller's place in the message.
//! Never sleeps for a fixed time in the hope that something has happened.

use anyhow::{Result, anyhow};
use std::future::Future;
use std::panic::Location;
use std::time::Duration;
use tokio::time::Instant;

/// Short against everything that is waited for, long against what one look costs.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until there is something to see. An error of a look counts as "not yet", for servers come
/// and go in these tests; the last one is part of the message when time is up.
///
/// # Errors
/// If there is nothing to see `within` the time given.
#[track_caller]
pub fn until<T, Looking>(
    what: impl Into<String>,
    within: Duration,
    mut look: impl FnMut() -> Looking,
) -> impl Future<Output = Result<T>>
where
    Looking: Future<Output = Result<Option<T>>>,
{
    let (what, caller) = (what.into(), Location::caller());
    async move {
        let deadline = Instant::now() + within;
        let mut last = String::new();
        loop {
            // A look that hangs must not outlive the deadline.
            match tokio::time::timeout_at(deadline, look()).await {
                Ok(Ok(Some(seen))) => return Ok(seen),
                Ok(Ok(None)) => last.clear(),
                Ok(Err(error)) => last = format!("; last error: {error:#}"),
                Err(_) => last.push_str("; the last look did not end"),
            }
            if Instant::now() + PAUSE > deadline {
                return Err(anyhow!("waited {within:?} for {what} at {caller}{last}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_seen_is_returned_and_an_error_is_not_the_end() {
        let mut looks = 0;
        let seen = until("the third look", Duration::from_secs(1), || {
            looks += 1;
            let seen = match looks {
                1 => Ok(None),
                2 => Err(anyhow!("away")),
                _ => Ok(Some(looks)),
            };
            async move { seen }
        });
        assert_eq!(seen.await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_message_says_what_was_awaited_where_and_why_it_failed() {
        let never =
            until::<(), _>("nothing", Duration::from_secs(1), || async { Err(anyhow!("away")) });
        let message = never.await.unwrap_err().to_string();
        assert!(message.contains("nothing") && message.contains("away"), "{message}");
        assert!(message.contains("wait.rs"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_ends_at_the_deadline() {
        let never = until::<(), _>("an answer", Duration::from_secs(1), std::future::pending);
        assert!(never.await.unwrap_err().to_string().contains("did not end"));
    }
}
