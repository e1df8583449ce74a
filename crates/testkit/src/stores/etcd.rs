//! A store in etcd. Never touches what is beside the store.

use super::text::{ROOT, Record, Text};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lab::Etcd;
use serde_json::Value;
use std::fmt::Write as _;

/// Before the keys of records.
const RECORDS: &str = "records/";

/// The text of the store in an etcd. What is not a record becomes lines of a key and a value.
///
/// # Errors
/// If it does not answer.
pub fn dump(server: &Etcd) -> Result<Text> {
    let root = format!("{ROOT}/milvus-cdc/");
    let answer = server.client().run(&["get", "--prefix", "--write-out=json", &root])?;
    let answer: Value = serde_json::from_str(&answer)?;
    let mut text = Text::default();
    for kv in answer["kvs"].as_array().into_iter().flatten() {
        let decoded = |name: &str| -> Result<String> {
            let bytes = STANDARD.decode(kv[name].as_str().unwrap_or_default())?;
            Ok(String::from_utf8(bytes)?)
        };
        let (key, value) = (decoded("key")?, decoded("value")?);
        let key = key.strip_prefix(&root).context("a key of another place")?;
        match key.strip_prefix(RECORDS) {
            Some(key) => {
                let version = kv["mod_revision"].as_u64().context("a revision")?;
                text.records.push(Record { version, key: key.to_owned(), value });
            }
            None => writeln!(text.settings, "{key}\t{value}")?,
        }
    }
    Ok(text)
}

/// The revisions become others.
pub(super) fn load(server: &Etcd, text: &Text) -> Result<()> {
    let put = |key: &str, value: &str| {
        let key = format!("{ROOT}/milvus-cdc/{key}");
        server.client().run(&["put", &key, value]).map(drop)
    };
    for line in text.settings.lines() {
        let (key, value) = line.split_once('\t').with_context(|| format!("no tab in {line}"))?;
        put(key, value)?;
    }
    for Record { key, value, .. } in &text.records {
        put(&format!("{RECORDS}{key}"), value)?;
    }
    Ok(())
}
