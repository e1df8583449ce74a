//! `GET /healthz` and `GET /readyz`. Healthy means that the process answers. Ready means that the
//! store can be read and, if the last write to it failed, written again, and that the tasks are
//! supervised, so that requests have an effect. A source that can't be reached and tasks that wait
//! are shown, but don't make the service unready: a restart would not help them. Never shows a
//! secret.

use super::answer::{Answer, Data};
use super::state::ApiState;
use super::target_version;
use axum::extract::State;
use axum::http::HeaderMap;
use replication::error::{Error, Result};
use serde_json::{Map, Value, json};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long each part may take to answer.
const PART_WITHIN: Duration = Duration::from_secs(2);

/// How long a result is valid for further requests.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The process answers.
pub(super) async fn healthz() -> Answer {
    std::future::ready(Answer::done(Data::new())).await
}

/// The service can do its work; what it depends on is shown.
pub(super) async fn readyz(State(api): State<Arc<ApiState>>, headers: HeaderMap) -> Answer {
    let mut answer = recent(&api).await;
    // Everybody may know whether it is ready, but not the names of tasks and what they wait for.
    if api.role(&headers).is_err() {
        answer.data.clear();
        answer.message = if answer.code == 200 { String::new() } else { "not ready".to_owned() };
    }
    answer
}

async fn recent(api: &ApiState) -> Answer {
    let mut last = api.readiness.last.lock().await;
    match &*last {
        Some((at, answer)) if at.elapsed() < GOOD_FOR => answer.clone(),
        _ => {
            let answer = check(api).await;
            *last = Some((Instant::now(), answer.clone()));
            answer
        }
    }
}

async fn check(api: &ApiState) -> Answer {
    let store = async {
        answer_of(api.last_write.check()).await?;
        answer_of(api.book.list()).await
    };
    let (store, (queue, catalog)) = tokio::join!(store, source(api));
    let mut data = Data::new();
    let mut reasons = Vec::new();
    match &store {
        Ok(listing) => {
            data.insert("store".into(), json!("ok"));
            let ids = || listing.records.iter().map(|record| record.task_id.as_str());
            data.insert("tasks_waiting".into(), waiting(api, ids()));
            let warned = target_warnings(api, ids());
            if !warned.is_empty() {
                data.insert("target_warnings".into(), Value::Object(warned));
            }
            let broken: Vec<&str> = listing.broken.iter().map(|e| e.what.as_str()).collect();
            if !broken.is_empty() {
                data.insert("broken_records".into(), json!(broken));
            }
        }
        Err(Error { what: reason, .. }) => {
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
    let queue = answer_of(api.source.end(&api.op_channel));
    let catalog = answer_of(api.catalog.collection(Default::default()));
    let (queue, catalog) = tokio::join!(queue, catalog);
    let state = |error: Option<Error>| error.map_or_else(|| "ok".to_owned(), |error| error.what);
    (state(queue.err()), state(catalog.err()))
}

/// The answer of a part, or an error if there is none in time.
pub(super) async fn answer_of<T>(part: impl Future<Output = Result<T>>) -> Result<T> {
    let seconds = PART_WITHIN.as_secs();
    let silent = |_| Err(Error::transient(format!("no answer within {seconds} s")));
    tokio::time::timeout(PART_WITHIN, part).await.unwrap_or_else(silent)
}

/// What is to be known of the versions of targets, by task.
fn target_warnings<'a>(api: &ApiState, ids: impl Iterator<Item = &'a str>) -> Map<String, Value> {
    let warned = ids.filter_map(|id| {
        let version = api.live.get(id)?.facts().target_version;
        let warning = target_version::about(&version)?;
        Some((id.to_owned(), json!(format!("{version}: {warning}"))))
    });
    warned.collect()
}

fn waiting<'a>(api: &ApiState, ids: impl Iterator<Item = &'a str>) -> Value {
    let waiting = ids.filter_map(|id| {
        let reason = api.live.get(id)?.facts().waiting?;
        Some((id.to_owned(), json!(reason)))
    });
    Value::Object(waiting.collect())
}
