//! How long to wait before the next try: pauses that double up to a limit, each shortened by
//! chance, so that tasks which failed together don't all come back together. Never waits, never
//! gives up.

use std::time::Duration;

/// Growing pauses between the tries of one thing.
#[derive(Debug)]
pub struct Pauses {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Pauses {
    /// Pauses from `first` up to `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first: first.min(max), max, failures: 0 }
    }

    /// Begins from the first pause again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause: between a half and the whole of the doubled one.
    pub fn next_pause(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_begin_again() {
        let mut pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(10));
        for whole in [1.0, 2.0, 4.0, 8.0, 10.0, 10.0] {
            let pause = pauses.next_pause().as_secs_f64();
            assert!((whole / 2.0..=whole).contains(&pause), "{pause} of {whole}");
        }
        pauses.reset();
        assert!(pauses.next_pause() <= Duration::from_secs(1));
        for _ in 0..100 {
            assert!(pauses.next_pause() <= Duration::from_secs(10));
        }
    }
}
