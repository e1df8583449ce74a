//! The faults of a configuration, collected so that all are reported at once.
//! Never contains a secret: whoever reports a fault leaves a secret value out.

use std::fmt;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key; empty if the fault is about the whole file.
    pub key: String,
    /// The value as it was written; empty if there is none or if it is secret.
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
    /// The service does not start with these faults.
    pub errors: Vec<Fault>,
    /// The service starts; somebody should look at these.
    pub warnings: Vec<String>,
}

impl Faults {
    /// Reports a fault that prevents the start of the service.
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

    /// Reports a key that is not in the table.
    pub fn unknown(&mut self, key: &str, nearest: Option<&str>) {
        let hint = nearest.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        self.warnings.push(format!("{key}: unknown, it has no effect{hint}"));
    }
}
