//! Shows answers: tables for people, JSON for programs. Never adds anything to an answer.

use clap::ValueEnum;
use serde_json::Value;
use std::error::Error;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people.
    Table,
    /// For programs: the unchanged answer.
    Json,
}

/// An error and its causes.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    format!("{error}{}", causes(error))
}

/// The causes of an error, each after a colon.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Rows under headings, each column as wide as its longest cell.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|r| r[column].chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let headings: Vec<String> = headings.iter().map(|h| (*h).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One line per task.
pub(super) fn tasks(tasks: &[Value]) -> String {
    let row = |task: &Value| {
        vec![
            text(&task["task_id"]),
            text(&task["state"]),
            text(&task["status"]["stage"]),
            lag(&task["status"]["lag_seconds"]),
            target(task),
            selection(task),
            why(task),
        ]
    };
    let rows: Vec<Vec<String>> = tasks.iter().map(row).collect();
    table(&["TASK", "STATE", "STAGE", "LAG", "TARGET", "COLLECTIONS", "REASON"], &rows)
}

/// One task with its channels.
pub(super) fn task(task: &Value) -> String {
    let status = &task["status"];
    let pairs = [
        ("task", text(&task["task_id"])),
        ("state", text(&task["state"])),
        ("stage", text(&status["stage"])),
        ("reason", why(task)),
        ("target", target(task)),
        ("collections", selection(task)),
        ("lag", lag(&status["lag_seconds"])),
        ("restarts", text(&status["restarts"])),
    ];
    let mut shown = String::new();
    for (name, value) in pairs {
        if !value.is_empty() {
            shown.push_str(&format!("{name:<12} {value}\n"));
        }
    }
    let channels = items(&status["channels"]);
    if !channels.is_empty() {
        shown.push('\n');
        shown.push_str(&self::channels(channels));
    }
    let out = items(&status["out_of_step"]);
    if !out.is_empty() {
        shown.push('\n');
        shown.push_str(&out_of_step(out));
    }
    shown
}

/// The address of a Milvus, or the brokers and the topic of a Kafka.
fn target(task: &Value) -> String {
    let kafka = &task["kafka_connect_param"];
    match text(&kafka["address"]).as_str() {
        "" => text(&task["milvus_connect_param"]["uri"]),
        brokers => format!("kafka://{brokers}/{}", text(&kafka["topic"])),
    }
}

/// One line per channel of the source.
pub(super) fn channels(channels: &[Value]) -> String {
    let row = |c: &Value| {
        vec![text(&c["channel_name"]), text(&c["acknowledged_ms"]), lag(&c["lag_seconds"])]
    };
    let rows: Vec<Vec<String>> = channels.iter().map(row).collect();
    table(&["CHANNEL", "ACKNOWLEDGED_MS", "LAG"], &rows)
}

/// One line per collection that is out of step.
fn out_of_step(out: &[Value]) -> String {
    let row = |c: &Value| ["collection", "since_ms", "reason"].map(|key| text(&c[key])).to_vec();
    let rows: Vec<Vec<String>> = out.iter().map(row).collect();
    table(&["OUT OF STEP", "SINCE_MS", "REASON"], &rows)
}

/// One line per event.
pub(super) fn events(events: &[Value]) -> String {
    let row = |e: &Value| ["at_ms", "event", "times", "reason"].map(|key| text(&e[key])).to_vec();
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    table(&["AT_MS", "EVENT", "TIMES", "REASON"], &rows)
}

/// One line per request that was not replicated.
pub(super) fn missed(missed: &[Value]) -> String {
    let all = ["AT_MS", "REQUEST", "COLLECTION", "DETAIL"];
    let is_any_told = missed.iter().any(|m| m["detail"].is_string());
    let shown = &all[..if is_any_told { 4 } else { 3 }];
    let cells = |m: &Value| shown.iter().map(|name| text(&m[name.to_lowercase()])).collect();
    let rows: Vec<Vec<String>> = missed.iter().map(cells).collect();
    table(shown, &rows)
}

/// One line per collection.
pub(super) fn collections(collections: &[Value]) -> String {
    let pair = |c: &Value, db: &str, name: &str| format!("{}.{}", text(&c[db]), text(&c[name]));
    let row = |c: &Value| {
        vec![
            text(&c["collection_id"]),
            pair(c, "database", "collection"),
            pair(c, "target_database", "target_collection"),
            text(&c["state"]),
            text(&c["source_state"]),
            text(&c["reason"]),
        ]
    };
    let rows: Vec<Vec<String>> = collections.iter().map(row).collect();
    let all = ["ID", "COLLECTION", "ON THE TARGET", "STATE", "SOURCE", "REASON"];
    let is_any_told = collections.iter().any(|c| c["reason"].is_string());
    table(&all[..if is_any_told { 6 } else { 5 }], &rows)
}

/// One line per collection that is flushed.
pub(super) fn flushed(collections: &[Value]) -> String {
    let row = |c: &Value| {
        let name = format!("{}.{}", text(&c["target_database"]), text(&c["target_collection"]));
        vec![name, text(&c["flushed"]), text(&c["upto_ms"]), text(&c["reason"])]
    };
    let rows: Vec<Vec<String>> = collections.iter().map(row).collect();
    table(&["ON THE TARGET", "FLUSHED", "UPTO_MS", "REASON"], &rows)
}

/// One line per position.
pub(super) fn positions(data: &Value) -> String {
    let mut rows = Vec::new();
    for kind in ["positions", "op_positions", "target_positions"] {
        for p in data[kind].as_array().into_iter().flatten() {
            rows.push(vec![
                kind.trim_end_matches("_positions").trim_end_matches("positions").to_owned(),
                text(&p["collection_id"]),
                text(&p["channel_name"]),
                text(&p["time"]),
                text(&p["msg_id"]),
            ]);
        }
    }
    rows.iter_mut().filter(|r| r[0].is_empty()).for_each(|r| r[0] = "source".into());
    table(&["KIND", "COLLECTION", "CHANNEL", "TIME_MS", "POSITION"], &rows)
}

/// A lag in seconds; empty if it is unknown.
pub(super) fn lag(value: &Value) -> String {
    value.as_f64().map(|s| format!("{s:.1}s")).unwrap_or_default()
}

/// Why a task is not running well: the stored reason, else what it waits for, else how many of its
/// collections are out of step.
pub(super) fn why(task: &Value) -> String {
    let out = items(&task["status"]["out_of_step"]).len();
    let reasons = [text(&task["reason"]), text(&task["status"]["waiting"])];
    let reason = reasons.into_iter().find(|reason| !reason.is_empty());
    reason.unwrap_or_else(|| match out {
        0 => String::new(),
        1 => "1 collection is out of step".to_owned(),
        out => format!("{out} collections are out of step"),
    })
}

fn selection(task: &Value) -> String {
    let name = |db: &str, info: &Value| format!("{db}.{}", text(&info["name"]));
    let plain = task["collection_infos"].as_array().into_iter().flatten();
    let mut names: Vec<String> = plain.map(|info| name("default", info)).collect();
    for (db, infos) in task["db_collections"].as_object().into_iter().flatten() {
        names.extend(infos.as_array().into_iter().flatten().map(|info| name(db, info)));
    }
    names.join(",")
}

/// The items of a list; none if the value is not a list.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A scalar as text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
