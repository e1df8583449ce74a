//! A store in MySQL or MariaDB. Never touches another table than its own two.

use super::text::{ROOT, Record, Text};
use anyhow::{Context as _, Result};
use lab::Mariadb;
use std::fmt::Write as _;

/// Else a backslash in a literal would be lost.
const MODE: &str = "SET sql_mode = 'NO_BACKSLASH_ESCAPES';";

/// The text of the store in a database.
///
/// # Errors
/// If it does not answer.
pub fn dump(server: &Mariadb) -> Result<Text> {
    let mut text = Text::default();
    for table in ["milvus_cdc_store", "milvus_cdc_records"] {
        let answer = server.run(&[], &format!("SHOW CREATE TABLE {table}"))?;
        let (_, statement) = answer.split_once('\t').context("a table without its statement")?;
        writeln!(text.settings, "{};", statement.trim_end())?;
    }
    let stores = server.run(&[], "SELECT root, layout, last_version FROM milvus_cdc_store")?;
    for store in stores.lines() {
        let [root, layout, last] = columns(store)?;
        let values = format!("{}, {layout}, {last}", literal(root));
        writeln!(text.settings, "INSERT INTO milvus_cdc_store VALUES ({values});")?;
    }
    let all = "SELECT version, record_key, value FROM milvus_cdc_records ORDER BY record_key";
    for record in server.run(&[], all)?.lines() {
        let [version, key, value] = columns(record)?;
        let key = key.strip_prefix(ROOT).and_then(|key| key.strip_prefix('/'));
        let key = key.with_context(|| format!("a record of another store: {record}"))?;
        let (version, key, value) = (version.parse()?, key.to_owned(), value.to_owned());
        text.records.push(Record { version, key, value });
    }
    Ok(text)
}

pub(super) fn load(server: &Mariadb, text: &Text) -> Result<()> {
    server.run(&[], &text.settings)?;
    // One by one: all of them are too long for an argument of a program.
    for Record { version, key, value } in &text.records {
        let (key, value) = (literal(&format!("{ROOT}/{key}")), literal(value));
        let insert = format!("INSERT INTO milvus_cdc_records VALUES ({key}, {value}, {version})");
        server.run(&[], &format!("{MODE} {insert}"))?;
    }
    Ok(())
}

fn columns(row: &str) -> Result<[&str; 3]> {
    let columns: Vec<&str> = row.split('\t').collect();
    <[&str; 3]>::try_from(columns).ok().with_context(|| format!("{row} has not three columns"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
