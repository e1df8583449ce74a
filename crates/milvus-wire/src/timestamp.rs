//! The hybrid timestamp of Milvus: wall-clock milliseconds and a logical counter in one `u64`.
//! Never reads a clock.

use std::fmt;

/// Bits below the milliseconds. Source: Milvus `pkg/util/tsoutil`.
const LOGICAL_BITS: u32 = 18;

/// `unix_ms << 18 | logical`. Zero means "none yet".
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The timestamp before every message.
    pub const ZERO: Self = Self(0);

    /// The first timestamp of a millisecond.
    pub fn from_ms(unix_ms: u64) -> Self {
        Self(unix_ms << LOGICAL_BITS)
    }

    /// Unix milliseconds.
    pub fn ms(self) -> u64 {
        self.0 >> LOGICAL_BITS
    }

    /// The next timestamp.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The previous timestamp; zero stays zero.
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// This timestamp moved by whole milliseconds towards the future.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms << LOGICAL_BITS))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.ms(), self.0 & ((1 << LOGICAL_BITS) - 1))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
