//! One `POST /cdc`: reads the envelope, carries out the request, counts and times it. Never logs
//! the contents of a request.

use super::fields::{Fields, Mismatches};
use super::{answers, maintenance, new_task};
use crate::api_tokens::Role;
use crate::http::answer::{self, Answer, Data};
use crate::http::lifecycle;
use crate::http::refusal::Refusal;
use crate::http::state::ApiState;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

/// Every type of request. The metrics' label has one of these values, or `unknown`.
const REQUEST_TYPES: [&str; 8] =
    ["create", "delete", "pause", "resume", "get", "position", "list", "maintenance"];

/// The types that only read.
const READ_ONLY: [&str; 3] = ["get", "list", "position"];

/// Answers a request, if the role of its sender allows it.
pub(super) async fn answer(api: Arc<ApiState>, role: Role, body: &[u8]) -> Answer {
    let begun = Instant::now();
    let envelope: Value = match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => return unreadable(&api, "it is not an object"),
        Err(error) => {
            // The parser's message may quote the body.
            let place = format!("line {} column {}", error.line(), error.column());
            return unreadable(&api, &format!("it is not JSON at {place}"));
        }
    };
    let mut wrong = Mismatches::default();
    let fields = Fields::new("", Some(&envelope), &mut wrong);
    let kind = fields.text("request_type", &mut wrong);
    if let Some(wrong) = wrong.text() {
        return unreadable(&api, &wrong);
    }
    let Some(kind) = REQUEST_TYPES.into_iter().find(|k| *k == kind) else {
        count(&api, "unknown", "invalid_type");
        let known = REQUEST_TYPES.join(" ");
        let message = format!("invalid 'request_type' param, can be set [{known}]");
        return Answer::error(400, message);
    };
    count(&api, kind, "total");
    let needed = if READ_ONLY.contains(&kind) { Role::Read } else { Role::Manage };
    if let Err(denied) = role.allows(needed) {
        return refused(kind, &denied.into());
    }
    let data = Fields::new("", fields.value("request_data"), &mut wrong);
    let result = handle(&api, kind, &data, &mut wrong).await;
    match result {
        Ok(data) => {
            count(&api, kind, "success");
            let ms = begun.elapsed().as_secs_f64() * 1000.0;
            api.metrics.request_latency.with_label_values(&[kind]).observe(ms);
            Answer::done(data)
        }
        Err(Failure::Types(wrong)) => {
            Answer::error(500, format!("fail to decode the {kind} request, error: {wrong}"))
        }
        Err(Failure::Refused(refusal)) => refused(kind, &refusal),
    }
}

fn refused(kind: &str, refusal: &Refusal) -> Answer {
    let code = answer::code(refusal.kind);
    tracing::warn!(kind, code, detail = refusal.detail, "request failed");
    Answer::error(code, format!("fail to handle the {kind} request, error: {}", refusal.detail))
}

/// Counts a request by its type and status.
pub(super) fn count(api: &ApiState, kind: &str, status: &str) {
    api.metrics.request_total.with_label_values(&[kind, status]).inc();
}

/// Why a request failed.
enum Failure {
    /// Fields have the wrong type.
    Types(String),
    /// The request can be read, but is not carried out.
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

async fn handle(
    api: &ApiState,
    kind: &str,
    data: &Fields<'_>,
    wrong: &mut Mismatches,
) -> Result<Data, Failure> {
    let checked = |wrong: &Mismatches| wrong.text().map_or(Ok(()), |w| Err(Failure::Types(w)));
    let answered = match kind {
        "create" => {
            let record = new_task::read(data, wrong);
            checked(wrong)?;
            answers::create(api, record).await?
        }
        "list" => {
            checked(wrong)?;
            answers::list(api).await?
        }
        "maintenance" => {
            let operation = data.text("operation", wrong);
            let params = data.object("params", wrong);
            checked(wrong)?;
            maintenance::maintenance(api, &operation, &params)
        }
        kind => {
            let id = data.text("task_id", wrong);
            let ignore_not_found = data.flag("ignore_not_found", wrong);
            checked(wrong)?;
            match kind {
                "delete" => no_data(lifecycle::delete(api, &id, ignore_not_found).await?),
                "pause" => no_data(lifecycle::pause(api, &id).await?),
                "resume" => no_data(lifecycle::resume(api, &id).await?),
                "get" => answers::get(api, &id).await?,
                _ => answers::position(api, &id).await?,
            }
        }
    };
    Ok(answered)
}

/// The data of an answer that only says that the request succeeded.
fn no_data((): ()) -> Data {
    Data::new()
}

fn unreadable(api: &ApiState, what: &str) -> Answer {
    count(api, "unknown", "unmarshal_error");
    Answer::error(500, format!("fail to unmarshal the request, error: {what}"))
}
