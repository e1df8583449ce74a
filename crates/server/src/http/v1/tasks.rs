//! Tasks as resources. Never does the work itself: `/cdc` uses the same functions.

use super::collections::{self, Collections};
use super::flush::{self, Flushed};
use super::input::{Body, TaskId};
use super::new_task::NewTask;
use super::places::{self, TargetInfo};
use crate::http::positions::{self, Positions};
use crate::http::problem::Problem;
use crate::http::refusal::Refusal;
use crate::http::show::{self, Channel, Task, Tasks};
use crate::http::state::ApiState;
use crate::http::{create, lifecycle};
use crate::monitoring::history::TaskEvent;
use crate::tasks::TaskRecord;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use replication::unsupported;
use replication::unsupported::Missed;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

type Api = State<Arc<ApiState>>;
type Answer<T> = Result<Json<T>, Problem>;

/// The outcome of a creation.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedTask {
    /// The task.
    #[schema(example = "orders")]
    task_id: String,
    /// Options that have no effect, or not with every source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<&'static str>,
}

/// What a task would do.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckedTask {
    /// Options that would have no effect, or not with every source.
    warnings: Vec<&'static str>,
    /// The collections that it would leave to other tasks, as `database.collection`.
    exclude_collections: Vec<String>,
    /// The collections that it would cover now.
    #[serde(flatten)]
    collections: Collections,
    /// Whether its target answers.
    target: TargetInfo,
}

/// How far a task is behind its source.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskLag {
    /// The lag of the worst of its channels.
    #[schema(example = 0.2)]
    lag_seconds: Option<f64>,
    /// The time of this answer, unix milliseconds.
    #[schema(example = 1_700_000_000_000_u64)]
    at_ms: u64,
    /// The source's channels that it reads.
    channels: Vec<Channel>,
}

/// What happened to a task since the service started.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskEvents {
    /// The newest last.
    events: Vec<TaskEvent>,
}

/// Requests of the source that the target of a task lacks, because they can't be replicated.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskMissed {
    /// The oldest first.
    missed: Vec<MissedRequest>,
}

/// A request of the source that could not be replicated.
#[derive(Serialize, ToSchema)]
struct MissedRequest {
    /// The time of the request on the source, unix milliseconds.
    #[schema(example = 1_700_000_000_000_u64)]
    at_ms: u64,
    /// Its name in Milvus's API, or `type <number>`.
    #[schema(example = "Import")]
    request: String,
    /// The collection's name on the source; null if the request names none.
    #[schema(example = "orders")]
    collection: Option<String>,
    /// Of late rows, how many and the first keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "3 rows, the first keys are 1, 2, 3")]
    detail: Option<String>,
}

/// All tasks
#[utoipa::path(get, path = "/api/v1/tasks", tag = "tasks",
    responses((status = 200, description = "All tasks.", body = Tasks)))]
pub(super) async fn list_tasks(State(api): Api) -> Answer<Tasks> {
    Ok(Json(show::all(&api).await?))
}

/// Create a task
///
/// The answer comes at once, whatever the state of source and target; the task shows what it waits
/// for. If there is a task of this id already, nothing is changed.
#[utoipa::path(post, path = "/api/v1/tasks", tag = "tasks",
    request_body(content = NewTask, example = json!({
        "task_id": "orders",
        "milvus_connect_param": {"uri": "http://target:19530", "token": "user:password"},
        "db_collections": {"sales": [{"name": "*"}]},
        "name_mapping": [{"source_db": "sales", "target_db": "sales_copy"}],
    })),
    responses(
        (status = 201, description = "The task is created.", body = CreatedTask,
            headers(("Location" = String, description = "Where the task is."))),
        (status = 200, description = "There was such a task.", body = CreatedTask,
            headers(("Location" = String, description = "Where the task is.")))))]
pub(super) async fn create_task(
    State(api): Api,
    Body(new): Body<NewTask>,
) -> Result<impl IntoResponse, Problem> {
    let created = create::create(&api, new.into()).await?;
    let status = if created.new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/api/v1/tasks/{}", created.task_id);
    let created = CreatedTask { task_id: created.task_id, warnings: created.warnings };
    Ok((status, [(header::LOCATION, location)], Json(created)))
}

/// Check a task before it is created
///
/// Refuses what a creation would refuse, and positions of collections that the task does not
/// select. Tries to reach the target, and shows which collections would be covered. Nothing is
/// created.
#[utoipa::path(post, path = "/api/v1/tasks/check", tag = "tasks",
    request_body(content = NewTask, example = json!({
        "milvus_connect_param": {"uri": "http://target:19530", "token": "user:password"},
        "db_collections": {"inventory": [{"name": "*"}]},
    })),
    responses((status = 200, description = "It would be created.", body = CheckedTask)))]
pub(super) async fn check_task(State(api): Api, Body(new): Body<NewTask>) -> Answer<CheckedTask> {
    let (record, warnings) = create::try_out(&api, new.into()).await?;
    let (collections, target) =
        tokio::join!(collections::of_new(&api, &record), places::target(&api, &record));
    Ok(Json(CheckedTask {
        warnings,
        exclude_collections: record.exclude_collections.unwrap_or_default(),
        collections: collections?,
        target,
    }))
}

/// One task
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}", tag = "tasks",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 200, description = "The task.", body = Task)))]
pub(super) async fn get_task(State(api): Api, TaskId(id): TaskId) -> Answer<Task> {
    let task = show::find(&api, &id).await?;
    Ok(Json(task.ok_or_else(|| Refusal::unknown_task(&id))?))
}

/// Delete a task
///
/// The task finishes its open window and stops; then it is removed with its positions. If it does
/// not stop in time, it stays paused: delete it again.
#[utoipa::path(delete, path = "/api/v1/tasks/{task_id}", tag = "tasks",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_task(
    State(api): Api,
    TaskId(id): TaskId,
) -> Result<StatusCode, Problem> {
    lifecycle::delete(&api, &id, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pause a task
///
/// The task stays paused until it is resumed, even after a restart of the service.
#[utoipa::path(post, path = "/api/v1/tasks/{task_id}/pause", tag = "tasks",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 204, description = "It is paused.")))]
pub(super) async fn pause_task(State(api): Api, TaskId(id): TaskId) -> Result<StatusCode, Problem> {
    lifecycle::pause(&api, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a task run
#[utoipa::path(post, path = "/api/v1/tasks/{task_id}/resume", tag = "tasks",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 204, description = "It is set to run.")))]
pub(super) async fn resume_task(
    State(api): Api,
    TaskId(id): TaskId,
) -> Result<StatusCode, Problem> {
    lifecycle::resume(&api, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a task resumes
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/positions", tag = "progress",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 200, description = "Its positions.", body = Positions)))]
pub(super) async fn task_positions(State(api): Api, TaskId(id): TaskId) -> Answer<Positions> {
    stored(&api, &id).await?;
    Ok(Json(positions::of(&api, &id).await?))
}

/// How far a task is behind
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/lag", tag = "progress",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 200, description = "Its lag.", body = TaskLag)))]
pub(super) async fn task_lag(State(api): Api, TaskId(id): TaskId) -> Answer<TaskLag> {
    stored(&api, &id).await?;
    let status = show::status(&api, &id);
    Ok(Json(TaskLag {
        lag_seconds: status.lag_seconds,
        at_ms: status.at_ms,
        channels: status.channels,
    }))
}

/// What happened to a task
///
/// Changes of its state, faults, and what it waited for: the last 200 since the service started.
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/events", tag = "progress",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 200, description = "Its events.", body = TaskEvents)))]
pub(super) async fn task_events(State(api): Api, TaskId(id): TaskId) -> Answer<TaskEvents> {
    stored(&api, &id).await?;
    let events = api.live.get(&id).map(|live| live.events()).unwrap_or_default();
    Ok(Json(TaskEvents { events }))
}

/// What the target of a task lacks
///
/// Bulk imports and requests of unknown types that the task has left out, because
/// `unsupportedRequests` is `continue`. The list is deleted with the task.
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/missed", tag = "progress",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 200, description = "What it lacks.", body = TaskMissed)))]
pub(super) async fn task_missed(State(api): Api, TaskId(id): TaskId) -> Answer<TaskMissed> {
    stored(&api, &id).await?;
    let missed =
        unsupported::list(&**api.book.store(), &id).await.map_err(|e| Refusal::store(&e))?;
    let shown = |missed: Missed| MissedRequest {
        at_ms: missed.at.ms(),
        request: missed.request,
        collection: Some(missed.collection).filter(|name| !name.is_empty()),
        detail: Some(missed.detail).filter(|detail| !detail.is_empty()),
    };
    Ok(Json(TaskMissed { missed: missed.into_iter().map(shown).collect() }))
}

/// Which collections a task covers
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/collections", tag = "progress",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 200, description = "Its collections.", body = Collections)))]
pub(super) async fn task_collections(State(api): Api, TaskId(id): TaskId) -> Answer<Collections> {
    let record = stored(&api, &id).await?;
    Ok(Json(collections::of(&api, &record).await?))
}

/// The target of a task
///
/// Asks the target whether it answers.
#[utoipa::path(get, path = "/api/v1/tasks/{task_id}/target", tag = "places",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 200, description = "Its target.", body = TargetInfo)))]
pub(super) async fn task_target(State(api): Api, TaskId(id): TaskId) -> Answer<TargetInfo> {
    let record = stored(&api, &id).await?;
    Ok(Json(places::target(&api, &record).await))
}

/// Flush the target
///
/// Flushes every collection that the task replicates on its target, and waits for some seconds. If
/// not all are flushed then, ask again. A flush ends only while the service runs: it ticks the
/// target.
#[utoipa::path(post, path = "/api/v1/tasks/{task_id}/flush", tag = "places",
    params(("task_id", description = "The task.", example = "orders")),
    responses((status = 200, description = "What is stored on the target.", body = Flushed)))]
pub(super) async fn flush_task(State(api): Api, TaskId(id): TaskId) -> Answer<Flushed> {
    let record = stored(&api, &id).await?;
    Ok(Json(flush::of(&api, &record).await?))
}

async fn stored(api: &ApiState, id: &str) -> Result<TaskRecord, Refusal> {
    let record = api.book.get(id).await.map_err(|e| Refusal::store(&e))?;
    record.ok_or_else(|| Refusal::unknown_task(id))
}
