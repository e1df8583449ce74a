//! When to look at the catalog: soon after it announces a change, again while the target lacks
//! something. Never looks itself.

use crate::metadata::serving_state::ServingState;
use milvus_wire::ids::CollectionId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// From an event to the look at it. Milvus writes the records of a load one by one
/// (`querycoord.Catalog.SaveCollection`): a load counts when two looks so far apart see the same.
const SETTLE: Duration = Duration::from_millis(300);

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// Everything.
    All,
    /// Roles and grants.
    Roles,
    /// A collection.
    Collection(CollectionId),
}

/// A look that is due at some time.
#[derive(Debug)]
pub(super) struct Due {
    at: Instant,
    /// The pause before the look after this one.
    pub(super) pause: Duration,
    /// What the last look saw, if that may not have been complete.
    pub(super) seen: Option<ServingState>,
}

/// The looks that are due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BTreeMap<Look, Due>,
}

impl Schedule {
    /// A look is due as soon as things have settled.
    pub(super) fn soon(&mut self, look: Look) {
        let at = Instant::now() + SETTLE;
        let due = self.due.entry(look).or_insert(Due { at, pause: SETTLE, seen: None });
        due.at = due.at.min(at);
        due.pause = SETTLE;
    }

    /// The same, after a look that saw this and may have seen only a part.
    pub(super) fn soon_after(&mut self, look: Look, seen: ServingState) {
        self.soon(look);
        if let Some(due) = self.due.get_mut(&look) {
            due.seen = Some(seen);
        }
    }

    /// A look is due again after a pause. Pauses grow up to `max`.
    pub(super) fn again(&mut self, look: Look, pause: Duration, max: Duration) {
        let at = Instant::now() + pause;
        let pause = (pause * 2).min(max.max(SETTLE));
        self.due.insert(look, Due { at, pause, seen: None });
    }

    /// Waits for the next look that is due. It stays due until it is taken. Safe to cancel.
    pub(super) async fn next(&self) -> Look {
        match self.due.iter().min_by_key(|(_, due)| due.at) {
            Some((look, due)) => {
                sleep_until(due.at).await;
                *look
            }
            None => std::future::pending().await,
        }
    }

    /// Takes a look out.
    pub(super) fn take(&mut self, look: Look) -> Option<Due> {
        self.due.remove(&look)
    }
}
