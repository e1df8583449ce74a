//! What can go wrong on the way of a row, and who can mend it.
//! Never formats a cause into a message: causes stay chained.

use std::error::Error as StdError;
use std::fmt;

/// Who mends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It heals by itself: try again.
    Transient,
    /// Somebody has to do something first; the message says what.
    Permanent,
    /// The same, and it concerns one collection alone: the rest of its task can go on. Where
    /// nothing can be left out it is permanent.
    OneCollection,
    /// The task was stopped.
    Stopped,
}

/// An error with the sentence that a user sees.
pub struct Error {
    /// Who mends it.
    pub kind: Kind,
    /// What happened and, if permanent, what to do.
    pub what: String,
    /// The cause, for the log.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of most functions here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that heals by itself.
    pub fn transient(what: impl Into<String>) -> Self {
        Self { kind: Kind::Transient, what: what.into(), source: None }
    }

    /// An error that waits for somebody; `what` says what to do.
    pub fn permanent(what: impl Into<String>) -> Self {
        Self { kind: Kind::Permanent, what: what.into(), source: None }
    }

    /// An error that waits for somebody and keeps one collection from being replicated.
    pub fn of_one_collection(what: impl Into<String>) -> Self {
        Self { kind: Kind::OneCollection, what: what.into(), source: None }
    }

    /// The error of everything that was stopped.
    pub fn stopped() -> Self {
        Self { kind: Kind::Stopped, what: "stopped".into(), source: None }
    }

    /// The same error with its cause.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}
