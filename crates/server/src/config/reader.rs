//! Reads typed values from what was written, for every part of a configuration. Never stops at the
//! first fault, and never opens a connection; opens files only to see that they can be read.

use super::fault::Faults;
use super::raw::{Raw, Written};
use super::{keys, time};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Reads typed values and collects their faults.
pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    pub(super) faults: &'a mut Faults,
}

impl Reader<'_> {
    /// A text; empty if it was not set.
    pub(super) fn text(&self, path: &'static str) -> String {
        match self.raw.get(path) {
            Some(Written::One(text)) => text.trim().to_owned(),
            _ => String::new(),
        }
    }

    /// A text that may have blanks at its ends: a password.
    pub(super) fn verbatim(&self, path: &'static str) -> String {
        match self.raw.get(path) {
            Some(Written::One(text)) => text.clone(),
            _ => String::new(),
        }
    }

    /// A list; a single text is split at its commas.
    pub(super) fn list(&self, path: &'static str) -> Vec<String> {
        let split = |text: &String| -> Vec<String> {
            text.split(',').map(|s| s.trim().to_owned()).collect()
        };
        let items = match self.raw.get(path) {
            Some(Written::One(text)) => split(text),
            Some(Written::Many(items)) => items.iter().flat_map(split).collect(),
            _ => Vec::new(),
        };
        items.into_iter().filter(|i| !i.is_empty()).collect()
    }

    /// True or false; false if it was not set.
    pub(super) fn flag(&mut self, path: &'static str) -> bool {
        let text = self.text(path);
        match text.to_ascii_lowercase().as_str() {
            "" | "false" => false,
            "true" => true,
            _ => {
                self.wrong(path, "neither true nor false", "write true or false");
                false
            }
        }
    }

    /// A number within its range.
    pub(super) fn number(
        &mut self,
        path: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> usize {
        let text = self.text(path);
        if text.is_empty() {
            return default;
        }
        match text.parse::<usize>() {
            Ok(n) if range.contains(&n) => n,
            _ => {
                let remedy = format!(
                    "write one from {} to {}, or leave the key out for {default}",
                    range.start(),
                    range.end()
                );
                self.wrong(path, "not a whole number in the range", &remedy);
                default
            }
        }
    }

    /// Like [`Self::number`], but zero and less mean the default, as in the Go tool.
    pub(super) fn positive(
        &mut self,
        path: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> usize {
        match self.text(path).parse::<i64>() {
            Ok(n) if n <= 0 => default,
            _ => self.number(path, range, default),
        }
    }

    /// A time within its range, in whole seconds.
    pub(super) fn time(
        &mut self,
        path: &'static str,
        range: RangeInclusive<u64>,
        default: Duration,
    ) -> Duration {
        let text = self.text(path);
        if text.is_empty() {
            return default;
        }
        match time::read(&text) {
            Some(t) if range.contains(&t.as_secs()) => t,
            _ => {
                let remedy = format!(
                    "write one from {}s to {}s with its unit (ms, s, m, h), or leave the key out \
                     for {}",
                    range.start(),
                    range.end(),
                    time::write(default)
                );
                self.wrong(path, "not a time in the range", &remedy);
                default
            }
        }
    }

    /// One of several words in any case; empty if it was not set.
    pub(super) fn word(&mut self, path: &'static str, words: &[&str]) -> String {
        let text = self.text(path);
        if text.is_empty() {
            return text;
        }
        match words.iter().find(|w| w.eq_ignore_ascii_case(&text)) {
            Some(word) => (*word).to_owned(),
            None => {
                self.wrong(
                    path,
                    "not one of the possible values",
                    &format!("write one of {}", words.join(", ")),
                );
                String::new()
            }
        }
    }

    /// The path of a file, which must be readable; empty if it was not set.
    pub(super) fn file(&mut self, path: &'static str) -> PathBuf {
        let name = self.text(path);
        if name.is_empty() {
            return PathBuf::new();
        }
        self.readable(path, &name)
    }

    /// The path of a file that a key names. Reports an error if it can't be read.
    pub(super) fn readable(&mut self, path: &'static str, name: &str) -> PathBuf {
        if let Err(e) = std::fs::File::open(name) {
            self.wrong(
                path,
                &format!("the file can't be read: {e}"),
                "name a file that this user may read",
            );
        }
        name.into()
    }

    /// Reports an error about a key, with its value unless that is secret.
    pub(super) fn wrong(&mut self, path: &'static str, what: &str, remedy: &str) {
        let secret = keys::find(path).is_some_and(|k| k.form.is_secret());
        let value = if secret { String::new() } else { self.text(path) };
        self.faults.error(path, &value, what, remedy);
    }
}

/// Whether a text is `host:port`.
pub(super) fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok_and(|p| p > 0)
    })
}
