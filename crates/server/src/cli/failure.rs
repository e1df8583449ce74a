//! Why a command failed: the sentence for standard error, and the exit code. Never prints anything.

use super::outcome::Outcome;

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// How the command ends.
    pub(super) outcome: Outcome,
    /// The sentence for standard error.
    pub(super) what: String,
    /// Whether the task does not exist.
    pub(super) not_found: bool,
}

impl Failure {
    /// A command that ends with `outcome`, because of `what`.
    pub(super) fn new(outcome: Outcome, what: impl Into<String>) -> Self {
        Self { outcome, what: what.into(), not_found: false }
    }
}
