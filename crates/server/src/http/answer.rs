//! The answer in the Go tool's envelope, with an HTTP status equal to its `code`. Requests for
//! health and for unknown paths have the same form. Never contains the cause of an internal fault:
//! that is for the log.

use super::refusal::{Kind, Refusal};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// The data of a successful answer.
pub(super) type Data = Map<String, Value>;

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// The HTTP status and the `code` of the body.
    pub code: u16,
    /// Empty if the request succeeded.
    pub message: String,
    /// Left out if it is empty.
    pub data: Data,
}

impl Answer {
    /// The request succeeded.
    pub(super) fn done(data: Data) -> Self {
        Self { code: 200, message: String::new(), data }
    }

    /// The request failed.
    pub(super) fn error(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: Data::new() }
    }
}

/// The code of a refusal: the Go tool's, or the nearest that it could have.
pub(super) fn code(kind: Kind) -> u16 {
    match kind {
        Kind::Invalid | Kind::Unknown | Kind::Conflict => 400,
        Kind::NoToken => 401,
        Kind::NotAllowed => 403,
        Kind::NoSuchMethod => 405,
        Kind::TooLarge => 413,
        Kind::NotJson => 415,
        Kind::Malformed
        | Kind::Undecodable
        | Kind::Stuck
        | Kind::Full
        | Kind::TooSlow
        | Kind::Failed => 500,
        Kind::Busy => 503,
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::error(code(refusal.kind), refusal.detail)
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
