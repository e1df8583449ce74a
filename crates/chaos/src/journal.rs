//! The model: every call that the writers made, with its keys and what the source answered. Never
//! says what the rows are, since a call without an answer may have happened: the source's log does.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use testkit::milvus::{Fault, Key};
use tokio::time::Instant;

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Insert,
    Upsert,
    Delete,
}

/// A call, or a row of it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Since the run began.
    pub(crate) at: Duration,
    /// The collection's id on the source.
    pub(crate) collection: i64,
    pub(crate) deed: Deed,
    pub(crate) keys: Vec<Key>,
    /// The timestamp of the acknowledgement, or why there is none.
    pub(crate) answer: Result<u64, String>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3} s {:?} of {} keys: ", self.at.as_secs_f64(), self.deed, self.keys.len())?;
        match &self.answer {
            Ok(timestamp) => write!(f, "acknowledged at {timestamp}"),
            Err(fault) => write!(f, "not acknowledged: {fault}"),
        }
    }
}

/// All calls of a run. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    begun: Instant,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Journal {
    /// An empty one; the run begins.
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), calls: Arc::default() }
    }

    /// Since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Writes down a call and its answer.
    pub(crate) fn enter(
        &self,
        collection: i64,
        deed: Deed,
        keys: Vec<Key>,
        answer: &Result<u64, Fault>,
    ) {
        let answer = answer.as_ref().map(|at| *at).map_err(ToString::to_string);
        let call = Call { at: self.now(), collection, deed, keys, answer };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    /// All of them, in the order of their answers.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rows and keys of acknowledged calls.
    pub(crate) fn acknowledged(&self) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| call.answer.is_ok()).map(|call| call.keys.len() as u64).sum()
    }
}
