//! `POST /cdc`: the requests of the Go tool, in its envelope and its words.
//! Never does the work itself: `/api/v1` uses the same functions.
//!
//! `request` takes one request through its steps, `fields` reads it, `answers` builds the data of
//! its answer.

mod answers;
mod fields;
mod maintenance;
mod new_task;
mod request;

use super::answer::Answer;
use super::gate;
use super::refusal::{Kind, Refusal};
use super::state::ApiState;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Answers one request, within its bounds.
pub(super) async fn cdc(State(api): State<Arc<ApiState>>, request: Request<Body>) -> Response {
    let role = match api.role(request.headers()) {
        Ok(role) => role,
        Err(denied) => {
            request::count(&api, "unknown", "no_token");
            return challenge(denied.into());
        }
    };
    if request.method() != Method::POST {
        request::count(&api, "unknown", "invalid_method");
        let refusal = Refusal::new(Kind::NoSuchMethod, "only support the POST method", "use POST");
        return ([(header::ALLOW, "POST")], Answer::from(refusal)).into_response();
    }
    let (parts, body) = request.into_parts();
    let body = match gate::read_body(&parts.headers, body).await {
        Ok(body) => body,
        Err(refusal) => {
            request::count(&api, "unknown", "read_error");
            return Answer::from(refusal).into_response();
        }
    };
    let shared = Arc::clone(&api);
    let answer = async move { request::answer(shared, role, &body).await };
    gate::in_turn(&api, answer).await.unwrap_or_else(Answer::from).into_response()
}

/// Refuses a request that has no valid token.
pub(super) fn challenge(refusal: Refusal) -> Response {
    ([(header::WWW_AUTHENTICATE, "Bearer")], Answer::from(refusal)).into_response()
}
