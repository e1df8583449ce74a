//! `GET /healthz` and `GET /readyz`. Healthy: the process answers. Ready: the store can be read and
//! the tasks are looked after, so requests mean something. A source that is away and tasks that
//! wait are shown and don't make the service unready: restarting it would not mend them.
//! Never shows a secret.

use super::answer::{Answer, Data};
use super::state::ApiState;
use axum::extract::State;
use axum::http::HeaderMap;
use replication::error::Result;
use serde_json::{Value, json};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long each part may take to answer.
const PART_WITHIN: Duration = Duration::from_secs(2);

/// How long what was found is told.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The process answers.
pub(super) async fn healthz() -> Answer {
    std::future::ready(Answer::done(Data::new())).await
}

/// The service can do its work; what it depends on is shown.
pub(super) async fn readyz(State(api): State<Arc<ApiState>>, headers: HeaderMap) -> Answer {
    let mut answer = found(&api).await;
    // Whether it is ready is everybody's; names of tasks and what they wait for are not.
    if api.role(&headers).is_err() {
        answer.data.clear();
        answer.message = if answer.code == 200 { String::new() } else { "not ready".to_owned() };
    }
    answer
}

async fn found(api: &ApiState) -> Answer {
    let mut last = api.readiness.last.lock().await;
    match &*last {
        Some((at, answer)) if at.elapsed() < GOOD_FOR => answer.clone(),
        _ => {
            let answer = look(api).await;
            *last = Some((Instant::now(), answer.clone()));
            answer
        }
    }
}

async fn look(api: &ApiState) -> Answer {
    let (store, (queue, catalog)) = tokio::join!(within(api.book.list()), source(api));
    let mut data = Data::new();
    let mut reasons = Vec::new();
    match &store {
        Ok(listing) => {
            data.insert("store".into(), json!("ok"));
            data.insert(
                "tasks_waiting".into(),
                waiting(api, listing.records.iter().map(|r| r.task_id.as_str())),
            );
            let broken: Vec<&str> = listing.broken.iter().map(|e| e.what.as_str()).collect();
            if !broken.is_empty() {
                data.insert("broken_records".into(), json!(broken));
            }
        }
        Err(reason) => {
            data.insert("store".into(), json!(reason));
            reasons.push(format!("store: {reason}"));
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

/// Whether the source's queue and metadata can be read: `ok` or why not.
pub(super) async fn source(api: &ApiState) -> (String, String) {
    let queue = within(api.source.end(&api.op_channel));
    let catalog = within(api.catalog.collection(Default::default()));
    let (queue, catalog) = tokio::join!(queue, catalog);
    let word = |reason: Option<String>| reason.unwrap_or_else(|| "ok".into());
    (word(queue.err()), word(catalog.err()))
}

/// What a part of the outside answers, or why it does not.
pub(super) async fn within<T>(
    part: impl Future<Output = Result<T>>,
) -> std::result::Result<T, String> {
    match tokio::time::timeout(PART_WITHIN, part).await {
        Ok(answered) => answered.map_err(|error| error.what),
        Err(_) => Err(format!("no answer within {} s", PART_WITHIN.as_secs())),
    }
}

fn waiting<'a>(api: &ApiState, ids: impl Iterator<Item = &'a str>) -> Value {
    let waiting = ids.filter_map(|id| {
        let reason = api.live.get(id)?.facts().waiting?;
        Some((id.to_owned(), json!(reason)))
    });
    Value::Object(waiting.collect())
}
