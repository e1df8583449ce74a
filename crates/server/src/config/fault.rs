//! What is wrong with a configuration, collected so that all of it is said at once.
//! Never holds a secret: whoever reports leaves the value out.

use std::fmt;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key; empty: the file as a whole.
    pub key: String,
    /// The value as it was written; empty: it was not, or it is secret.
    pub value: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if !self.value.is_empty() {
            write!(f, "{:?}: ", self.value)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// All faults and warnings of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The service does not start with these.
    pub errors: Vec<Fault>,
    /// It starts, and somebody should look.
    pub warnings: Vec<String>,
}

impl Faults {
    /// Reports something that keeps the service from starting.
    pub fn error(&mut self, key: &str, value: &str, what: &str, remedy: &str) {
        self.errors.push(Fault {
            key: key.into(),
            value: value.into(),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    /// Reports something that somebody should look at.
    pub fn warn(&mut self, key: &str, what: &str) {
        self.warnings.push(format!("{key}: {what}"));
    }

    /// Reports a key that nobody reads.
    pub fn unknown(&mut self, key: &str, nearest: Option<&str>) {
        let hint = nearest.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        self.warnings.push(format!("{key}: unknown, it has no effect{hint}"));
    }
}
