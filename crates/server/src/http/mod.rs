//! The HTTP API: `POST /cdc` with the requests of the Go tool, metrics, health.
//! Never touches a running task: handlers write the store and poke the supervisor.
//!
//! `request` is the way of one request; a file per kind answers it.

mod answer;
mod create;
mod fields;
mod health;
mod maintenance;
mod positions;
mod request;
mod show;
mod state;
mod tasks;

pub use request::KINDS;
pub use state::{ApiLimits, ApiState};

use answer::Answer;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use std::sync::Arc;
use std::time::Duration;

/// The largest body: a task with ten thousand selectors fits.
const BODY_MAX: usize = 1 << 20;

/// How long a client may take to send its body.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How long a request waits for its turn when as many as may be are being worked on.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// How much longer than the longest wait of a handler a request may take.
const REQUEST_MARGIN: Duration = Duration::from_secs(15);

/// All paths.
pub fn router(api: Arc<ApiState>) -> Router {
    Router::new()
        .route("/cdc", any(cdc))
        .route("/cdc/metrics", get(metrics))
        .route("/cdc/metrics_default", get(process_metrics))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(no_such_path)
        .with_state(api)
}

/// Bounded in size, time and number; goes on to its end even if the client leaves, so that no
/// change of a task stops half way; a panic is answered and not more.
async fn cdc(State(api): State<Arc<ApiState>>, request: Request<Body>) -> Response {
    if request.method() != Method::POST {
        request::count(&api, "unknown", "invalid_method");
        let answer = Answer::error(405, "only support the POST method");
        return ([(header::ALLOW, "POST")], answer).into_response();
    }
    let body = match read_body(request).await {
        Ok(body) => body,
        Err(answer) => {
            request::count(&api, "unknown", "read_error");
            return answer.into_response();
        }
    };
    let limit = api.limits.stop_within * 2 + REQUEST_MARGIN;
    let shared = Arc::clone(&api);
    let worked = api.requests.spawn(async move {
        let turn = tokio::time::timeout(TURN_WITHIN, shared.permits.acquire()).await;
        let Ok(Ok(_permit)) = turn else {
            return Answer::error(503, "too many requests at a time, try again");
        };
        let answering = request::answer(Arc::clone(&shared), &body);
        tokio::time::timeout(limit, answering)
            .await
            .unwrap_or_else(|_| Answer::error(500, "the request took too long, look at the task"))
    });
    let answer = worked.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request panicked");
        Answer::error(500, "internal fault, the log tells more")
    });
    answer.into_response()
}

async fn read_body(request: Request<Body>) -> Result<axum::body::Bytes, Answer> {
    let failed = |code, what: &str| {
        Answer::error(code, format!("fail to read the request body, error: {what}"))
    };
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let too_large = || failed(413, &format!("it is larger than {} KiB", BODY_MAX >> 10));
    if declared.is_some_and(|n| n > BODY_MAX) {
        return Err(too_large());
    }
    let read = axum::body::to_bytes(request.into_body(), BODY_MAX);
    match tokio::time::timeout(BODY_WITHIN, read).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_length_limit(&error) => Err(too_large()),
        Ok(Err(error)) => Err(failed(500, &error.to_string())),
        Err(_) => Err(failed(500, &format!("it did not come within {BODY_WITHIN:?}"))),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.to_string().contains("limit"))
}

const TEXT_FORMAT: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

async fn metrics(State(api): State<Arc<ApiState>>) -> Response {
    std::future::ready((TEXT_FORMAT, api.metrics.text()).into_response()).await
}

async fn process_metrics(State(api): State<Arc<ApiState>>) -> Response {
    std::future::ready((TEXT_FORMAT, api.metrics.process_text()).into_response()).await
}

async fn no_such_path() -> Answer {
    let message = "no such path, there are POST /cdc and GET /cdc/metrics, /healthz, /readyz";
    std::future::ready(Answer::error(404, message)).await
}
