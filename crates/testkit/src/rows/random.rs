//! A source of repeatable random numbers (splitmix64). Never seeds itself: the same seed gives the
//! same numbers on every machine and in every version.

/// Repeatable random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// All that follows depends on the parts and their order, and on nothing else.
    pub fn of(parts: &[u64]) -> Self {
        let mut random = Self(0x9E37_79B9_7F4A_7C15);
        for part in parts {
            random.0 = random.word() ^ part;
        }
        random
    }

    /// Any 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number below `end`, zero if that is zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word().checked_rem(end).unwrap_or(0)
    }

    /// A float in [-1, 1).
    pub fn float(&mut self) -> f32 {
        // 24 bits are what an f32 holds exactly.
        ((self.word() >> 40) as f32) / ((1u32 << 23) as f32) - 1.0
    }

    /// A double in [-1, 1).
    pub fn double(&mut self) -> f64 {
        ((self.word() >> 11) as f64) / ((1u64 << 52) as f64) - 1.0
    }

    /// Readable text of at most `bytes_max` bytes, now and then with letters of more than one.
    pub fn text(&mut self, bytes_max: usize) -> String {
        let mut text = format!("{:x}", self.word());
        if self.below(4) == 0 {
            text.insert_str(0, "über-\"日本\"-");
        }
        while text.len() > bytes_max {
            text.pop();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_numbers_and_others_do_not() {
        let words = |parts: &[u64]| {
            let mut random = Random::of(parts);
            [random.word(), random.word(), random.word()]
        };
        assert_eq!(words(&[1, 2]), words(&[1, 2]));
        assert_ne!(words(&[1, 2]), words(&[2, 1]));
        assert_ne!(words(&[1]), words(&[1, 0]));
    }

    #[test]
    fn floats_lie_in_their_range() {
        let mut random = Random::of(&[7]);
        for _ in 0..10_000 {
            assert!((-1.0..1.0).contains(&random.float()));
            assert!((-1.0..1.0).contains(&random.double()));
        }
    }
}
