//! An option that can't be used: the one form in which a wrong option of a task, a sink or a
//! configuration is refused. Never checks one.

/// An option that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct InvalidOption {
    /// The name of the option.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl InvalidOption {
    /// The option `field` has this problem, and this is the remedy.
    pub fn new(field: &'static str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field, problem: problem.into(), remedy: remedy.into() }
    }
}
