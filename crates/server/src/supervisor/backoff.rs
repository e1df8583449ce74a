//! How long to wait before the next try: doubling, bounded, and spread so that tasks which failed
//! together don't all come back together. Never gives up.

use std::time::Duration;

/// A row of pauses.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        Self { first: first.min(max), max, failures: 0 }
    }

    /// Begins from the first pause again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause: between a half and the whole of the doubled one.
    pub(super) fn next(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        for whole in [1.0, 2.0, 4.0, 8.0, 10.0, 10.0] {
            let pause = backoff.next().as_secs_f64();
            assert!((whole / 2.0..=whole).contains(&pause), "{pause} of {whole}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
        for _ in 0..100 {
            assert!(backoff.next() <= Duration::from_secs(10));
        }
    }
}
