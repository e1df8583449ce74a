//! Waiting with a deadline. Never a guessed sleep: every wait polls a condition and says, when it
//! gives up, what it was waiting for.

use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// Short enough not to be felt in a start of seconds, long enough not to load two cores.
const POLL_EVERY: Duration = Duration::from_millis(25);

/// Polls until `poll` yields a value, fails, or `within` has passed.
pub(crate) fn until<T>(
    within: Duration,
    what: &str,
    mut poll: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = poll()? {
            return Ok(value);
        }
        if started.elapsed() >= within {
            return Err(Error::new(format!("{what}: not within {within:?}")));
        }
        std::thread::sleep(POLL_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_first_value() {
        let mut left = 3;
        let value = until(Duration::from_secs(5), "a value", || {
            left -= 1;
            Ok((left == 0).then_some("here"))
        });
        assert_eq!(value.unwrap(), "here");
    }

    #[test]
    fn a_wait_that_fails_names_what_it_waited_for() {
        let error = until::<()>(Duration::ZERO, "snow in June", || Ok(None)).unwrap_err();
        assert!(error.to_string().contains("snow in June"));
    }
}
