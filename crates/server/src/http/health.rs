//! `GET /healthz` and `GET /readyz`. Healthy: the process answers. Ready: the store can be read and
//! the tasks are looked after, so requests mean something. A source that is away and tasks that
//! wait are shown and don't make the service unready: restarting it would not mend them.
//! Never shows a secret.

use super::answer::{Answer, Data};
use super::state::ApiState;
use axum::extract::State;
use replication::error::Result;
use serde_json::{Value, json};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long each part may take to answer.
const PART_WITHIN: Duration = Duration::from_secs(2);

/// The process answers.
pub(super) async fn healthz() -> Answer {
    std::future::ready(Answer::done(Data::new())).await
}

/// The service can do its work; what it depends on is shown.
pub(super) async fn readyz(State(api): State<Arc<ApiState>>) -> Answer {
    let queue = async { api.source.end(&api.op_channel).await.map(drop) };
    let catalog = async { api.catalog.collection(Default::default()).await.map(drop) };
    let (store, queue, catalog) = tokio::join!(api.book.list(), within(queue), within(catalog));
    let mut data = Data::new();
    let mut reasons = Vec::new();
    match &store {
        Ok(listing) => {
            data.insert("store".into(), json!("ok"));
            data.insert(
                "tasks_waiting".into(),
                waiting(&api, listing.records.iter().map(|r| r.task_id.as_str())),
            );
            let broken: Vec<&str> = listing.broken.iter().map(|e| e.what.as_str()).collect();
            if !broken.is_empty() {
                data.insert("broken_records".into(), json!(broken));
            }
        }
        Err(error) => {
            data.insert("store".into(), json!(error.what));
            reasons.push(format!("store: {}", error.what));
        }
    }
    let supervisor = api.desk.failing();
    data.insert("tasks".into(), json!(supervisor.as_deref().unwrap_or("ok")));
    reasons.extend(supervisor.map(|reason| format!("tasks: {reason}")));
    data.insert("source_queue".into(), json!(queue));
    data.insert("source_catalog".into(), json!(catalog));
    let code = if reasons.is_empty() { 200 } else { 503 };
    Answer { code, message: reasons.join("; "), data }
}

/// `ok`, or why not.
async fn within(part: impl Future<Output = Result<()>>) -> String {
    match tokio::time::timeout(PART_WITHIN, part).await {
        Ok(Ok(())) => "ok".into(),
        Ok(Err(error)) => error.what,
        Err(_) => format!("no answer within {} s", PART_WITHIN.as_secs()),
    }
}

fn waiting<'a>(api: &ApiState, ids: impl Iterator<Item = &'a str>) -> Value {
    let waiting = ids.filter_map(|id| {
        let reason = api.live.get(id)?.facts().waiting?;
        Some((id.to_owned(), json!(reason)))
    });
    Value::Object(waiting.collect())
}
