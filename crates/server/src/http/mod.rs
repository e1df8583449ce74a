//! The HTTP API: `POST /cdc` with the requests of the Go tool, `/api/v1` with tasks as resources,
//! metrics and health. Never starts or stops a task: handlers write the store and poke the
//! supervisor.
//!
//! `cdc` and `v1` read requests and give answers their form. Both share the rest: `cross_site`
//! refuses pages of other sites, `gate` bounds a request; `create`, `lifecycle`, `show` and
//! `positions` do the work. A `refusal` says why not; `answer` and `problem` are its two forms.

mod answer;
mod cdc;
mod create;
mod cross_site;
mod gate;
mod health;
mod lifecycle;
mod one_target;
mod positions;
mod problem;
mod refusal;
mod show;
mod state;
mod target_version;
mod v1;
mod whole_number;

pub(crate) use state::{ApiLimits, ApiState, Readiness, SourceAddress};

use crate::api_tokens::Role;
use answer::Answer;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use problem::Problem;
use refusal::{Kind, Refusal};
use std::sync::Arc;

/// All paths.
pub(crate) fn router(api: Arc<ApiState>) -> Router {
    Router::new()
        .route("/cdc", any(cdc::cdc))
        .route("/cdc/metrics", get(metrics))
        .route("/cdc/metrics_default", get(process_metrics))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .merge(v1::routes(&api))
        .fallback(no_such_path)
        .layer(from_fn_with_state(Arc::clone(&api), cross_site::refuse))
        .layer(from_fn_with_state(Arc::clone(&api), count))
        .with_state(api)
}

/// Counts every request. Methods and paths that a client makes up are one label: they are
/// unlimited.
async fn count(State(api): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    let known = [Method::GET, Method::POST, Method::DELETE, Method::PUT, Method::HEAD];
    let method = known.into_iter().find(|m| m == request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let answer = next.run(request).await;
    let method = method.as_ref().map_or("other", Method::as_str);
    let path = path.as_ref().map_or("other", MatchedPath::as_str);
    let labels = [method, path, answer.status().as_str()].map(str::to_owned);
    api.metrics.http_requests_total.with_label_values(&labels).inc();
    answer
}

const TEXT_FORMAT: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

async fn metrics(State(api): State<Arc<ApiState>>, headers: HeaderMap) -> Response {
    std::future::ready(shown(&api, &headers, |m| m.text())).await
}

async fn process_metrics(State(api): State<Arc<ApiState>>, headers: HeaderMap) -> Response {
    std::future::ready(shown(&api, &headers, |m| m.process_text())).await
}

/// Metrics contain names of tasks and collections, so they need the same role.
fn shown(
    api: &ApiState,
    headers: &HeaderMap,
    text: impl Fn(&crate::monitoring::metrics::Metrics) -> String,
) -> Response {
    match api.role(headers).and_then(|role| role.allows(Role::Read)) {
        Ok(()) => (TEXT_FORMAT, text(&api.metrics)).into_response(),
        Err(denied) => cdc::challenge(denied.into()),
    }
}

async fn no_such_path(uri: Uri) -> Response {
    let message = "no such path, there are POST /cdc and GET /api/v1/, /cdc/metrics, /healthz, \
                   /readyz";
    let answer = if uri.path().starts_with("/api/") {
        let refusal = Refusal::new(Kind::Unknown, message, "see /api/v1/openapi.json");
        Problem::from(refusal).into_response()
    } else {
        Answer::error(404, message).into_response()
    };
    std::future::ready(answer).await
}
