//! Reads the inputs of a request, in one way for all of them: the id in the path and the JSON in
//! the body. Never repeats a value that was sent: it may be a secret in the wrong place.

use crate::http::problem::Problem;
use crate::http::refusal::{Kind, Refusal};
use crate::tasks::ID_MAX;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

const SEE: &str = "see /api/v1/openapi.json for the expected form";

/// The id of a task in a path.
pub(super) struct TaskId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for TaskId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        match id {
            Ok(Path(id)) if id.len() <= ID_MAX => Ok(Self(id)),
            _ => Err(Refusal::unknown_task("…").into()),
        }
    }
}

/// A body of JSON.
pub(super) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("application/json") {
            let detail = "the content type is not JSON";
            let remedy = "send it with the header `Content-Type: application/json`";
            return Err(Refusal::new(Kind::NotJson, detail, remedy).into());
        }
        // It is in memory: the gate has read it within the bounds of a request.
        let body = Bytes::from_request(request, state).await.map_err(|_| {
            Problem::from(Refusal::new(Kind::TooSlow, "the body can't be read", "send it again"))
        })?;
        read(&body).map(Self).map_err(Problem::from)
    }
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { path };
        let place = format!("line {} column {}", error.inner().line(), error.inner().column());
        let detail = if error.inner().is_data() {
            without_value(&error.inner().to_string())
        } else {
            format!("the body is not JSON at {place}")
        };
        Refusal { field, ..Refusal::new(Kind::Malformed, detail, SEE) }
    })?;
    json.end().map_err(|_| {
        Refusal::new(Kind::Malformed, "something follows the JSON of the body", SEE)
    })?;
    Ok(read)
}

/// The parser's message without the value that it found.
fn without_value(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    if !message.starts_with("invalid ") {
        return message.to_owned();
    }
    match message.rsplit_once(", expected ") {
        Some((_, wanted)) => format!("the value has the wrong type, expected {wanted}"),
        None => "the value has the wrong type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether it can be read matters")]
    struct Sample {
        name: String,
        port: Option<u16>,
        inner: Option<Vec<bool>>,
    }

    #[test]
    fn a_fault_names_its_field_and_shows_no_value() {
        for (body, field, detail) in [
            (r#"{"name": "n", "port": "hunter2"}"#, "port", "expected u16"),
            (r#"{"name": "n", "port": "hunter2, expected x"}"#, "port", "expected u16"),
            (r#"{"name": "n", "port": 70000}"#, "port", "expected u16"),
            (r#"{"name": "n", "inner": [true, "hunter2"]}"#, "inner[1]", "expected a boolean"),
            (r#"{"name": "n", "new": "hunter2"}"#, "new", "unknown field `new`"),
            (r#"{"port": 1}"#, "", "missing field `name`"),
            (r#"{"name": "n", "name": "hunter2"}"#, "", "duplicate field `name`"),
            ("hunter2", "", "not JSON at line 1 column 1"),
            (r#"{"name": "n"} hunter2"#, "", "something follows"),
        ] {
            let refusal = read::<Sample>(body.as_bytes()).unwrap_err();
            assert_eq!(refusal.field, field, "{body}: {refusal:?}");
            assert!(refusal.detail.contains(detail), "{body}: {refusal:?}");
            assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
        }
    }
}
