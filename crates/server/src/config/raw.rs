//! What file and environment say, as texts under known keys. Never judges the meaning of a value.

use super::fault::Faults;
use super::keys::{self, Effect, Form, Key};
use serde_yaml_ng::Value;
use std::collections::BTreeMap;

/// The prefix of every environment variable that overrides a key; `__` separates the segments.
pub const ENV_PREFIX: &str = "MILVUS_CDC_";

/// Variables of the command line, which are not keys of the configuration.
const ENV_OF_THE_COMMAND_LINE: [&str; 7] = [
    "MILVUS_CDC_SERVER",
    "MILVUS_CDC_API_TOKEN",
    "MILVUS_CDC_API_CA",
    "MILVUS_CDC_API_CERT",
    "MILVUS_CDC_API_KEY",
    "MILVUS_CDC_CONFIG",
    "MILVUS_CDC_TARGET_TOKEN",
];

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Written {
    /// A scalar.
    One(String),
    /// A list of scalars.
    Many(Vec<String>),
    /// A map of scalars.
    Map(BTreeMap<String, String>),
}

/// All values that were set, by the documented spelling of the key.
#[derive(Clone, Debug, Default)]
pub(super) struct Raw {
    values: BTreeMap<&'static str, Written>,
}

impl Raw {
    /// Reads the text of a file and reports what does not belong there.
    pub(super) fn read(text: &str, faults: &mut Faults) -> Self {
        let mut raw = Self::default();
        match serde_yaml_ng::from_str::<Value>(text) {
            Ok(Value::Null) => {}
            Ok(Value::Mapping(tree)) => raw.walk("", &Value::Mapping(tree), faults),
            Ok(_) => faults.error(
                "",
                "",
                "the file is not a list of keys and values",
                "write `key: value` lines",
            ),
            // The parser's message contains a position, never a value.
            Err(e) => faults.error("", "", &format!("the file is not YAML: {e}"), "mend that line"),
        }
        raw
    }

    /// Lays environment variables over the file.
    pub(super) fn overlay(
        &mut self,
        env: impl Iterator<Item = (String, String)>,
        faults: &mut Faults,
    ) {
        for (name, value) in env {
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
            if ENV_OF_THE_COMMAND_LINE.contains(&name.as_str()) {
                continue;
            }
            let path = rest.replace("__", ".");
            if let Some(key) = keys::find(&path).filter(|k| k.form != Form::Map) {
                self.set(key, Written::One(value), faults);
            } else if let Some((key, inner)) = keys::enclosing_map(&path) {
                // The names of librdkafka have dots where a shell allows only underscores.
                let inner = inner.to_ascii_lowercase().replace('_', ".");
                self.set(key, Written::Map([(inner, value)].into()), faults);
            } else {
                faults.unknown(&format!("environment variable {name}"), keys::nearest(&path));
            }
        }
    }

    /// The value that was set for a key. An empty scalar counts as not set, as in the Go tool.
    pub(super) fn get(&self, path: &'static str) -> Option<&Written> {
        debug_assert!(
            keys::find(path).is_some_and(|k| k.path == path),
            "{path} is not in the table"
        );
        self.values.get(path).filter(|w| !matches!(w, Written::One(s) if s.is_empty()))
    }

    fn walk(&mut self, path: &str, value: &Value, faults: &mut Faults) {
        if let Some(key) = keys::find(path) {
            if let Some(written) = written(key, value, faults) {
                self.set(key, written, faults);
            }
            return;
        }
        let Value::Mapping(tree) = value else {
            match (keys::is_section(path), value) {
                // `retry:` with nothing below it.
                (true, Value::Null) => {}
                (true, _) => faults.error(
                    path,
                    "",
                    "this is a section, not a key with a value",
                    "put its keys below it, indented",
                ),
                (false, _) => faults.unknown(path, keys::nearest(path)),
            }
            return;
        };
        if !path.is_empty() && !keys::is_section(path) {
            faults.unknown(path, keys::nearest(path));
            return;
        }
        for (name, value) in tree {
            let name = scalar(name).unwrap_or_else(|| "?".into());
            let below = if path.is_empty() { name } else { format!("{path}.{name}") };
            self.walk(&below, value, faults);
        }
    }

    fn set(&mut self, key: &'static Key, written: Written, faults: &mut Faults) {
        // The Go tool's files spell out many defaults: a key that is off or empty needs no warning.
        let off = matches!(&written, Written::One(v) if matches!(v.as_str(), "" | "0" | "false"));
        match key.effect {
            Effect::Used => {}
            _ if off => {}
            Effect::Deprecated(instead) => {
                faults.warn(key.path, &format!("is deprecated, write {instead}"))
            }
            Effect::Idle(why) => faults.warn(key.path, &format!("has no effect: {why}")),
        }
        match (self.values.get_mut(key.path), written) {
            (Some(Written::Map(old)), Written::Map(new)) => old.extend(new),
            (_, written) => {
                self.values.insert(key.path, written);
            }
        }
    }
}

/// The value of a key, if it has the right shape.
fn written(key: &Key, value: &Value, faults: &mut Faults) -> Option<Written> {
    let shown = |v: &Value| match key.form.is_secret() {
        true => String::new(),
        false => scalar(v).unwrap_or_default(),
    };
    let wrong = |faults: &mut Faults, wanted: &str| {
        faults.error(key.path, &shown(value), "the value has the wrong shape", wanted);
        None
    };
    match (key.form, value) {
        (_, Value::Null) => None,
        (Form::List | Form::Secrets, Value::Sequence(items)) => {
            match items.iter().map(scalar).collect() {
                Some(items) => Some(Written::Many(items)),
                None => wrong(faults, "write a list of texts"),
            }
        }
        // The value of an idle key does not matter.
        (Form::Map, _) if matches!(key.effect, Effect::Idle(_)) => {
            Some(Written::Map(BTreeMap::new()))
        }
        (Form::Map, Value::Mapping(tree)) => {
            let pairs = tree.iter().map(|(k, v)| Some((scalar(k)?, scalar(v)?)));
            match pairs.collect() {
                Some(map) => Some(Written::Map(map)),
                None => wrong(faults, "write `name: value` lines below it"),
            }
        }
        (Form::Map, _) => wrong(faults, "write `name: value` lines below it"),
        (_, value) => match scalar(value) {
            Some(text) => Some(Written::One(text)),
            None => wrong(faults, "write a single value"),
        },
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        Value::String(s) => Some(s.clone()),
        _ => None,
    }
}
