//! `/api/v1`: tasks as resources, described by a generated OpenAPI document, with a page to try it.
//! Never does the work itself: `/cdc` uses the same functions.
//!
//! `input` reads a request, `tasks` and `places` are the operations, `document` and `explorer`
//! describe it all.

mod collections;
mod document;
mod explorer;
mod flush;
mod input;
mod new_task;
mod places;
mod tasks;

use super::gate;
use super::problem::Problem;
use super::refusal::{Kind, Refusal};
use super::state::ApiState;
use crate::api_tokens::Role;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use document::Document;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// All paths below `/api/v1`.
pub(super) fn routes(api: &Arc<ApiState>) -> Router<Arc<ApiState>> {
    let (resources, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(tasks::list_tasks, tasks::create_task))
        .routes(routes!(tasks::check_task))
        .routes(routes!(tasks::get_task, tasks::delete_task))
        .routes(routes!(tasks::pause_task))
        .routes(routes!(tasks::resume_task))
        .routes(routes!(tasks::task_positions))
        .routes(routes!(tasks::task_lag))
        .routes(routes!(tasks::task_events))
        .routes(routes!(tasks::task_missed))
        .routes(routes!(tasks::task_collections))
        .routes(routes!(tasks::task_target))
        .routes(routes!(tasks::flush_task))
        .routes(routes!(places::get_source))
        .routes(routes!(places::get_version))
        .split_for_parts();
    let document = document::complete(document, api.tokens.are_required());
    resources
        .method_not_allowed_fallback(no_such_method)
        .route_layer(from_fn_with_state(Arc::clone(api), bounded))
        .merge(explorer::routes(&document))
}

/// Lets a request through if its sender may make it, and within its bounds.
async fn bounded(State(api): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    let needed = if request.method().is_safe() { Role::Read } else { Role::Manage };
    let allowed = api.role(request.headers()).and_then(|role| role.allows(needed));
    let answer = async {
        allowed?;
        let (parts, body) = request.into_parts();
        let body = gate::read_body(&parts.headers, body).await?;
        let request = Request::from_parts(parts, Body::from(body));
        gate::in_turn(&api, next.run(request)).await
    };
    answer.await.unwrap_or_else(|refusal| Problem::from(refusal).into_response())
}

async fn no_such_method() -> Problem {
    let detail = "this path has no such method";
    let remedy = "see /api/v1/openapi.json for those it has";
    std::future::ready(Refusal::new(Kind::NoSuchMethod, detail, remedy).into()).await
}
