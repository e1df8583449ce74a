//! Reads the `request_data` of a request: keys may have any case, unknown keys are ignored, and no
//! type is converted into another. All mismatches are reported at once, by name and never with
//! their value: it may be a secret in the wrong place.

use crate::http::whole_number::whole;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Mismatches found so far.
#[derive(Debug, Default)]
pub(super) struct Mismatches(Vec<String>);

impl Mismatches {
    fn add(&mut self, path: &str, wanted: &str, found: &Value) {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        let path = if path.is_empty() { "request_data" } else { path };
        self.0.push(format!("'{path}' expected type '{wanted}', got '{found}'"));
    }

    /// All of them in one text, if there are any.
    pub(super) fn text(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("; "))
    }
}

/// One object of a request.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    path: String,
    object: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    /// An object under its path; null and absent are an empty one.
    pub(super) fn new(path: &str, value: Option<&'a Value>, mismatches: &mut Mismatches) -> Self {
        let object = match value {
            None | Some(Value::Null) => None,
            Some(Value::Object(object)) => Some(object),
            Some(other) => {
                mismatches.add(path, "object", other);
                None
            }
        };
        Self { path: path.to_owned(), object }
    }

    /// A value; null counts as absent. An exact key wins over one in another case.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        let object = self.object?;
        let any_case = || object.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v);
        object.get(key).or_else(any_case).filter(|v| !v.is_null())
    }

    /// A text; absent is empty.
    pub(super) fn text(&self, key: &str, mismatches: &mut Mismatches) -> String {
        match self.value(key) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => {
                mismatches.add(&self.at(key), "string", other);
                String::new()
            }
        }
    }

    /// A whole number; absent is zero.
    pub(super) fn number(&self, key: &str, mismatches: &mut Mismatches) -> i64 {
        let Some(value) = self.value(key) else { return 0 };
        match value.as_number().and_then(whole) {
            Some(number) => number,
            None => {
                mismatches.add(&self.at(key), "int", value);
                0
            }
        }
    }

    /// True or false; absent is false.
    pub(super) fn flag(&self, key: &str, mismatches: &mut Mismatches) -> bool {
        match self.value(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                mismatches.add(&self.at(key), "bool", other);
                false
            }
        }
    }

    /// An object inside.
    pub(super) fn object(&self, key: &str, mismatches: &mut Mismatches) -> Fields<'a> {
        Fields::new(&self.at(key), self.value(key), mismatches)
    }

    /// A list of objects; `None` if it is absent.
    pub(super) fn list(&self, key: &str, mismatches: &mut Mismatches) -> Option<Vec<Fields<'a>>> {
        list(&self.at(key), self.value(key)?, mismatches)
    }

    /// A map of texts; `None` if it is absent.
    pub(super) fn texts(
        &self,
        key: &str,
        mismatches: &mut Mismatches,
    ) -> Option<BTreeMap<String, String>> {
        let inner = self.value(key).map(|_| self.object(key, mismatches))?;
        let object = inner.object?;
        Some(object.keys().map(|k| (k.clone(), inner.exact_text(k, mismatches))).collect())
    }

    /// A map of lists of objects; `None` if it is absent.
    pub(super) fn lists(
        &self,
        key: &str,
        mismatches: &mut Mismatches,
    ) -> Option<BTreeMap<String, Vec<Fields<'a>>>> {
        let inner = self.value(key).map(|_| self.object(key, mismatches))?;
        let object = inner.object?;
        let read = |(k, v): (&String, &'a Value)| {
            let found = if v.is_null() { None } else { list(&inner.at(k), v, mismatches) };
            (k.clone(), found.unwrap_or_default())
        };
        Some(object.iter().map(read).collect())
    }

    /// Whether a key is there and not null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    fn exact_text(&self, key: &str, mismatches: &mut Mismatches) -> String {
        match self.object.and_then(|o| o.get(key)) {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(other) => {
                mismatches.add(&self.at(key), "string", other);
                String::new()
            }
        }
    }

    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn list<'a>(path: &str, value: &'a Value, mismatches: &mut Mismatches) -> Option<Vec<Fields<'a>>> {
    match value {
        Value::Array(items) => {
            let read = |(i, item)| Fields::new(&format!("{path}[{i}]"), Some(item), mismatches);
            Some(items.iter().enumerate().map(read).collect())
        }
        other => {
            mismatches.add(path, "list", other);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_have_any_case_types_are_kept_and_null_is_nothing() {
        let data = json!({"Task_ID": "x", "N": 3.0, "no": null, "unknown": {}, "b": true});
        let mut wrong = Mismatches::default();
        let fields = Fields::new("", Some(&data), &mut wrong);
        assert_eq!(fields.text("task_id", &mut wrong), "x");
        assert_eq!(fields.number("n", &mut wrong), 3);
        assert_eq!(fields.text("no", &mut wrong), "");
        assert!(fields.flag("B", &mut wrong));
        assert_eq!(wrong.text(), None);
    }

    #[test]
    fn every_mismatch_is_named_and_no_value_is_shown() {
        let data = json!({"a": {"port": "hunter2", "tls": 1, "list": [7], "half": 1.5}});
        let mut wrong = Mismatches::default();
        let fields = Fields::new("", Some(&data), &mut wrong).object("a", &mut wrong);
        fields.number("port", &mut wrong);
        fields.flag("tls", &mut wrong);
        fields.list("list", &mut wrong);
        fields.number("half", &mut wrong);
        let text = wrong.text().unwrap();
        for name in ["a.port", "a.tls", "a.list[0]", "a.half"] {
            assert!(text.contains(&format!("'{name}'")), "{text}");
        }
        assert!(!text.contains("hunter2"));
    }
}
