//! The error for an option of a Kafka sink that can't be used. Never checks one.

/// An option that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct InvalidOption {
    /// The field of [`KafkaSinkOptions`].
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl InvalidOption {
    pub(super) fn new(
        field: &'static str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { field, problem: problem.into(), remedy: remedy.into() }
    }
}
