//! A topic of change events as a table of Flink, and the rows that a query over it comes to. Never
//! more of Flink's options than a user would set.

use super::Flink;
use crate::topic::{self, Rows};
use anyhow::Result;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A test's job takes ten seconds, most of them to start; on a busy machine several times as much.
const JOB_WITHIN: Duration = Duration::from_secs(150);

/// How the events are read. An event of a deleted row contains only its key, and after a failure
/// some events occur again. With this option Flink keeps the rows by their primary key, so that it
/// retracts whole rows and skips repeated events.
const READING: &str = "SET 'table.exec.source.cdc-events-duplicate' = 'true';\n";

/// What the events of a topic are about.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Names and SQL types: `ARRAY<FLOAT>` of a vector, `STRING` of nested JSON.
    pub columns: &'a [(&'a str, &'a str)],
    /// The column that is the primary key.
    pub key: &'a str,
}

impl Flink {
    /// Lets Flink read all events that a topic holds, in Debezium's JSON without schema, and
    /// returns the rows that are left at the end, with all their columns.
    ///
    /// # Errors
    /// If the job fails or takes too long.
    pub async fn materialise(&self, kafka: &str, topic: &str, table: &Table<'_>) -> Result<Rows> {
        self.query(kafka, topic, table, "SELECT * FROM changes", table).await
    }

    /// The same with a query over the table `changes` and the form of its result.
    ///
    /// # Errors
    /// If the job fails or takes too long.
    pub async fn query(
        &self,
        kafka: &str,
        topic: &str,
        changes: &Table<'_>,
        query: &str,
        result: &Table<'_>,
    ) -> Result<Rows> {
        let into = result_topic(kafka, topic).await?;
        let script = [
            READING,
            &changes.declaration("changes", kafka, topic, &READ_TO_THE_END),
            &result.declaration("result", kafka, &into, &WRITE_THE_LAST),
            &format!("INSERT INTO `result` {query};\n"),
        ];
        self.run(&script.concat(), JOB_WITHIN).await?;
        let (kafka, key) = (kafka.to_owned(), result.key.to_owned());
        tokio::task::spawn_blocking(move || topic::latest(&kafka, &into, &key)).await?
    }
}

const READ_TO_THE_END: [(&str, &str); 4] = [
    ("connector", "kafka"),
    ("format", "debezium-json"),
    ("scan.startup.mode", "earliest-offset"),
    ("scan.bounded.mode", "latest-offset"),
];

const WRITE_THE_LAST: [(&str, &str); 3] =
    [("connector", "upsert-kafka"), ("key.format", "json"), ("value.format", "json")];

impl Table<'_> {
    fn declaration(&self, name: &str, kafka: &str, topic: &str, how: &[(&str, &str)]) -> String {
        let columns =
            self.columns.iter().map(|(name, kind)| format!("{} {kind}", quoted(name, '`')));
        let mut lines: Vec<String> = columns.collect();
        lines.push(format!("PRIMARY KEY ({}) NOT ENFORCED", quoted(self.key, '`')));
        let place = [("properties.bootstrap.servers", kafka), ("topic", topic)];
        let options = how
            .iter()
            .chain(&place)
            .map(|(option, value)| format!("{} = {}", quoted(option, '\''), quoted(value, '\'')));
        let options: Vec<String> = options.collect();
        format!(
            "CREATE TABLE `{name}` (\n{}\n) WITH (\n{}\n);\n",
            lines.join(",\n"),
            options.join(",\n")
        )
    }
}

/// In SQL a quote within quotes is doubled.
fn quoted(text: &str, quote: char) -> String {
    let doubled = text.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}

/// A new topic for a result, of more than one partition, as that of the events may be.
async fn result_topic(kafka: &str, changes: &str) -> Result<String> {
    static RESULTS: AtomicU32 = AtomicU32::new(0);
    let number = RESULTS.fetch_add(1, Ordering::Relaxed);
    let name = format!("{changes}.result-{}-{number}", std::process::id());
    topic::create(kafka, &name, 2).await?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_declared_with_its_key_whatever_the_names() {
        let table = Table { columns: &[("id", "BIGINT"), ("$m`e", "STRING")], key: "id" };
        let sql = table.declaration("changes", "127.0.0.1:1", "it's", &READ_TO_THE_END);
        assert!(sql.contains("`id` BIGINT,\n`$m``e` STRING,\nPRIMARY KEY (`id`) NOT ENFORCED\n"));
        assert!(sql.contains("'topic' = 'it''s'\n);"), "{sql}");
    }
}
