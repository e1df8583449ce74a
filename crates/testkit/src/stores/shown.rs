//! What a milvus-cdc shows of the tasks in its store: both APIs, the metrics, the command line.
//! Never what changes from one moment to the next: times of now, and whether a task is just being
//! tried again.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use tokio::process::Command;

/// What depends on the moment, in whatever answer it is.
const OF_THE_MOMENT: [&str; 6] =
    ["at_ms", "lag_seconds", "looked_ms", "restarts", "source_ms", "waiting"];

/// Metrics that say what is stored, without those of the moment.
const METRICS: [&str; 3] =
    ["milvus_cdc_broken_records", "milvus_cdc_task_num", "milvus_cdc_task_state"];

/// All that a milvus-cdc at `host:port` shows of its tasks; `program` is its binary.
///
/// # Errors
/// If something is not answered.
pub async fn shown(address: &str, program: &Path) -> Result<Value> {
    let server = Server { base: format!("http://{address}"), program };
    let mut tasks = server.get("/api/v1/tasks").await?;
    let ids: Vec<String> = listed(&tasks)?.iter().map(id).collect();
    let mut each = Map::new();
    for id in ids {
        each.insert(id.clone(), server.task(&id).await?);
    }
    let mut listed = server.cdc("list", Value::Null).await?;
    without_the_moment(&mut tasks);
    without_the_moment(&mut listed);
    let metrics = server.text("/cdc/metrics").await?;
    let metrics: Vec<&str> =
        metrics.lines().filter(|line| METRICS.iter().any(|name| line.starts_with(name))).collect();
    Ok(json!({ "tasks": tasks, "cdc list": listed, "each": each, "metrics": metrics }))
}

struct Server<'a> {
    base: String,
    program: &'a Path,
}

impl Server<'_> {
    async fn text(&self, path: &str) -> Result<String> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.get(format!("{}{path}", self.base)).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path} answered {status} {text}");
        Ok(text)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let text = self.text(path).await?;
        serde_json::from_str(&text).with_context(|| format!("{path} answered {text}"))
    }

    async fn cdc(&self, request: &str, data: Value) -> Result<Value> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let body = json!({"request_type": request, "request_data": data}).to_string();
        let answer = client.post(format!("{}/cdc", self.base)).body(body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{request} answered {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// What is shown of one task alone.
    async fn task(&self, id: &str) -> Result<Value> {
        let path = format!("/api/v1/tasks/{id}");
        let mut shown = Map::new();
        for below in ["positions", "missed"] {
            shown.insert(below.to_owned(), self.get(&format!("{path}/{below}")).await?);
        }
        let mut got = self.cdc("get", json!({"task_id": id})).await?;
        without_the_moment(&mut got);
        shown.insert("cdc get".to_owned(), got);
        shown
            .insert("cdc position".to_owned(), self.cdc("position", json!({"task_id": id})).await?);
        for verb in ["position", "missed"] {
            let arguments = ["task", "--server", &self.base, verb, id];
            let ran = Command::new(self.program).args(arguments).output().await?;
            ensure!(ran.status.success(), "{arguments:?}: {ran:?}");
            let lines: Vec<_> = std::str::from_utf8(&ran.stdout)?.lines().collect();
            shown.insert(format!("milvus-cdc task {verb}"), lines.into());
        }
        Ok(Value::Object(shown))
    }
}

fn listed(tasks: &Value) -> Result<&Vec<Value>> {
    tasks["tasks"].as_array().context("no list of tasks")
}

fn id(task: &Value) -> String {
    task["task_id"].as_str().unwrap_or_default().to_owned()
}

fn without_the_moment(answer: &mut Value) {
    match answer {
        Value::Array(items) => items.iter_mut().for_each(without_the_moment),
        Value::Object(members) => {
            members.retain(|name, _| !OF_THE_MOMENT.contains(&name.as_str()));
            // One that runs is being tried, or is about to be.
            if members.get("state").is_some_and(|state| state == "Running")
                && let Some(Value::Object(status)) = members.get_mut("status")
            {
                status.remove("stage");
            }
            members.values_mut().for_each(without_the_moment);
        }
        _ => {}
    }
}

/// Where two answers differ, and in what.
pub fn differences(then: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", then, now, &mut found);
    found
}

fn compare(place: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
            for key in keys {
                let of =
                    |all: &Map<String, Value>| all.get(key).cloned().unwrap_or("absent".into());
                compare(&format!("{place}.{key}"), &of(then), &of(now), found);
            }
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            for (at, (then, now)) in then.iter().zip(now).enumerate() {
                compare(&format!("{place}[{at}]"), then, now, found);
            }
        }
        _ if then == now => {}
        _ => found.push(format!("{place} was {then} and is {now}")),
    }
}
