//! A store in SQLite. Never leaves the file open.

use super::text::{Record, Text};
use anyhow::{Context as _, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use std::fmt::Write as _;
use std::path::Path;

/// The text of the store in a file. A milvus-cdc may be writing to it.
///
/// # Errors
/// If the file is not such a store.
pub async fn dump(file: &Path) -> Result<Text> {
    let mut connection = open(file, false).await?;
    let mut moment = connection.begin().await?;
    let mut text = Text::default();
    let schema = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name";
    for row in sqlx::query(schema).fetch_all(&mut *moment).await? {
        writeln!(text.settings, "{};", row.get::<String, _>(0))?;
    }
    // As literals: some are numbers there, one is a text.
    let meta = "SELECT quote(name), quote(value) FROM meta ORDER BY name";
    for row in sqlx::query(meta).fetch_all(&mut *moment).await? {
        let [name, value] = [0, 1].map(|column| row.get::<String, _>(column));
        writeln!(text.settings, "INSERT INTO meta VALUES ({name}, {value});")?;
    }
    let records = "SELECT key, value, version FROM records ORDER BY key";
    for row in sqlx::query(records).fetch_all(&mut *moment).await? {
        let key: String = row.get(0);
        let value = String::from_utf8(row.get(1)).with_context(|| format!("the value of {key}"))?;
        text.records.push(Record { version: row.get::<i64, _>(2) as u64, key, value });
    }
    drop(moment);
    connection.close().await?;
    Ok(text)
}

pub(super) async fn load(file: &Path, text: &Text) -> Result<()> {
    let mut connection = open(file, true).await?;
    let mut moment = connection.begin().await?;
    sqlx::raw_sql(&text.settings).execute(&mut *moment).await?;
    for Record { version, key, value } in &text.records {
        sqlx::query("INSERT INTO records (key, value, version) VALUES (?, ?, ?)")
            .bind(key)
            .bind(value.as_bytes())
            .bind(*version as i64)
            .execute(&mut *moment)
            .await?;
    }
    moment.commit().await?;
    connection.close().await?;
    Ok(())
}

async fn open(file: &Path, is_new: bool) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(is_new);
    options.connect().await.with_context(|| format!("open {}", file.display()))
}
