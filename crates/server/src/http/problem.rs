//! A refusal as problem details (RFC 9457), the form of `/api/v1`. Never says more than the refusal
//! does.

use super::refusal::{Kind, Refusal};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not carried out.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank", "title": "Conflict", "status": 409, "code": "conflict",
    "field": "db_collections",
    "detail": "the collection name is duplicate with existing task, [sales.orders]",
    "remedy": "leave these out, or delete the task that has them",
}))]
pub(super) struct Problem {
    /// Always `about:blank`: the status is the type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The name of the status.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The kind of problem, for programs.
    pub code: &'static str,
    /// The key of the request that has to be changed; absent if there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    pub field: String,
    /// What is wrong.
    pub detail: String,
    /// What to do.
    pub remedy: String,
}

fn status_and_code(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
        Kind::TooSlow => (StatusCode::BAD_REQUEST, "incomplete"),
        Kind::NoToken => (StatusCode::UNAUTHORIZED, "no_token"),
        Kind::NotAllowed => (StatusCode::FORBIDDEN, "not_allowed"),
        Kind::Unknown => (StatusCode::NOT_FOUND, "unknown"),
        Kind::NoSuchMethod => (StatusCode::METHOD_NOT_ALLOWED, "no_such_method"),
        Kind::Conflict | Kind::Stuck => (StatusCode::CONFLICT, "conflict"),
        Kind::Full => (StatusCode::CONFLICT, "full"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Kind::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json"),
        Kind::Invalid | Kind::Undecodable => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        Kind::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        Kind::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = status_and_code(refusal.kind);
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            field: refusal.field,
            detail: refusal.detail,
            remedy: refusal.remedy,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        tracing::warn!(
            code = self.code,
            field = self.field,
            detail = self.detail,
            "request refused"
        );
        let mut answer = (status, axum::Json(&self)).into_response();
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(MEDIA_TYPE));
        match status {
            StatusCode::UNAUTHORIZED => {
                headers
                    .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
            }
            _ => {}
        }
        answer
    }
}
