//! What is answered: the Go tool's envelope, and an HTTP status equal to its `code`.
//! Never carries the cause of an internal fault: that is for the log.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// A refusal or failure, before it is known which request it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status and the `code` of the body.
    pub code: u16,
    /// What is wrong and what to do.
    pub detail: String,
}

impl Refusal {
    /// The request has to be changed.
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self { code: 400, detail: detail.into() }
    }

    /// Something here failed.
    pub(super) fn failed(detail: impl Into<String>) -> Self {
        Self { code: 500, detail: detail.into() }
    }

    /// A store that failed: the sentence for the user, the cause for the log.
    pub(super) fn store(error: &replication::error::Error) -> Self {
        tracing::error!(error = ?error, "the store failed");
        Self::failed(error.what.clone())
    }
}

/// What a successful request answers.
pub(super) type Data = Map<String, Value>;

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// The HTTP status and the `code` of the body.
    pub code: u16,
    /// Empty when all is well.
    pub message: String,
    /// Left out when it is empty.
    pub data: Data,
}

impl Answer {
    /// All is well.
    pub(super) fn done(data: Data) -> Self {
        Self { code: 200, message: String::new(), data }
    }

    /// It is not.
    pub(super) fn error(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: Data::new() }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut body = json!({ "code": self.code });
        if !self.message.is_empty() {
            body["message"] = self.message.into();
        }
        if !self.data.is_empty() {
            body["data"] = Value::Object(self.data);
        }
        let status = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // The newline is the Go tool's.
        (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
    }
}
