//! The window that an earlier run left open, as one value: it is delivered again as a whole, so a
//! round ends exactly where it ended, and what a DDL inside it cuts off is carried on to its end.
//! Never decides whether the window is delivered; that is `delivery`.

use crate::message::Routed;
use milvus_wire::timestamp::Timestamp;

/// What has to be delivered again.
pub(crate) enum Replay {
    /// Nothing, or no more.
    None,
    /// The window up to this source timestamp.
    Until {
        /// Where it ends.
        end: Timestamp,
        /// Its first part, which was routed already.
        carried: Vec<Routed>,
    },
}

impl Replay {
    /// Nothing has been read again yet.
    pub(crate) fn until(end: Option<Timestamp>) -> Self {
        end.map_or(Self::None, |end| Self::Until { end, carried: Vec::new() })
    }

    /// Where the next round has to end.
    pub(crate) fn end(&self) -> Option<Timestamp> {
        match self {
            Self::None => None,
            Self::Until { end, .. } => Some(*end),
        }
    }

    /// Takes out the part that is delivered together with what comes next.
    pub(crate) fn take_carried(&mut self) -> Vec<Routed> {
        match self {
            Self::None => Vec::new(),
            Self::Until { carried, .. } => std::mem::take(carried),
        }
    }

    /// Keeps a batch that ends before the window does: its lanes must not be closed before all of
    /// the window is in them. Returns a batch that is not to be kept.
    pub(crate) fn carry(&mut self, batch: Vec<Routed>, upto: Timestamp) -> Option<Vec<Routed>> {
        match self {
            Self::Until { end, carried } if upto < *end => {
                *carried = batch;
                None
            }
            _ => Some(batch),
        }
    }

    /// Whether the window has to be delivered, even if nothing of it is left.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self, Self::Until { .. })
    }
}
