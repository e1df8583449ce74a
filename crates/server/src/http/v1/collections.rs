//! The collections that a task covers, from what is stored of it and from the source's metadata.
//! Never changes either.

use crate::http::health;
use crate::http::refusal::{Kind, Refusal};
use crate::http::state::ApiState;
use crate::tasks::{TaskRecord, to_task};
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, CollectionName};
use replication::collections::given_positions;
use replication::records::checkpoint;
use replication::records::checkpoint::{ReplicatedCollection, Stage};
use replication::selection::named;
use replication::task::{Limits, Policies, Task};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The collections of a task.
#[derive(Serialize, ToSchema)]
pub(super) struct Collections {
    /// By database and name.
    collections: Vec<CoveredCollection>,
    /// `ok`, or why the source's metadata can't be read. In that case only the collections that the
    /// task has taken up already are shown.
    #[schema(example = "ok")]
    source_catalog: String,
}

/// A collection that a task covers.
#[derive(Serialize, ToSchema)]
struct CoveredCollection {
    /// Its id on the source.
    #[schema(example = 446_000_000_000_000_001_i64)]
    collection_id: i64,
    /// The source's database.
    #[schema(example = "sales")]
    database: String,
    /// Its name on the source.
    #[schema(example = "orders")]
    collection: String,
    /// The target's database.
    #[schema(example = "sales_copy")]
    target_database: String,
    /// Its name on the target.
    #[schema(example = "orders")]
    target_collection: String,
    /// What the task has done about it.
    state: CoverState,
    /// Its state in the source's metadata; null if they can't be read.
    source_state: Option<SourceState>,
    /// Why it is out of step.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What a task has done about a collection.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CoverState {
    /// The task covers the collection and has not taken it up yet.
    Selected,
    /// The task has taken it up and has still to create it on the target.
    Awaited,
    /// The target has the collection.
    Replicated,
    /// It can't be replicated for now, while the task goes on.
    OutOfStep,
}

/// A collection's state on the source.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SourceState {
    /// The collection is being created.
    Creating,
    /// The collection can be used.
    Created,
    /// The collection is being dropped.
    Dropping,
    /// The collection is dropped.
    Dropped,
}

/// What a new task would cover. Refuses positions of collections that it does not select.
pub(super) async fn of_new(api: &ApiState, record: &TaskRecord) -> Result<Collections, Refusal> {
    let task = task(api, record)?;
    if let Ok(snapshot) = health::answer_of(api.catalog.snapshot()).await
        && let Some(what) = given_positions::misfit(&task.selection, &snapshot.collections)
    {
        return Err(Refusal::invalid("positions", what, given_positions::REMEDY));
    }
    of(api, record).await
}

/// What a task covers.
pub(super) async fn of(api: &ApiState, record: &TaskRecord) -> Result<Collections, Refusal> {
    let task = task(api, record)?;
    let stored = checkpoint::load(api.book.store().as_ref(), &record.task_id);
    let stored = stored.await.map_err(|e| Refusal::store(&e))?.collections;
    let (catalog, source_catalog) = match health::answer_of(api.catalog.snapshot()).await {
        Ok(snapshot) => (Some(snapshot.collections), "ok".to_owned()),
        Err(error) => (None, error.what),
    };
    Ok(Collections { collections: merged(&task, &stored, catalog.as_deref()), source_catalog })
}

fn task(api: &ApiState, record: &TaskRecord) -> Result<Task, Refusal> {
    // Nothing runs here, so the limits don't matter.
    to_task(record, &api.op_channel, Policies::default(), &Limits::default())
        .map_err(|wrong| Refusal::new(Kind::Invalid, wrong.problem, wrong.remedy))
}

fn merged(
    task: &Task,
    stored: &[ReplicatedCollection],
    catalog: Option<&[Collection]>,
) -> Vec<CoveredCollection> {
    let mut states: BTreeMap<CollectionId, State> = BTreeMap::new();
    for collection in catalog.into_iter().flatten() {
        states.insert(collection.id, collection.state);
    }
    let known = |id| {
        // A collection that the metadata no longer have is dropped.
        catalog.map(|_| states.get(&id).copied().unwrap_or(State::Dropped))
    };
    let mut all: Vec<CoveredCollection> = stored
        .iter()
        .map(|c| {
            let state = match c.stage {
                _ if !c.is_in_step() => CoverState::OutOfStep,
                Stage::Existing | Stage::Awaited => CoverState::Awaited,
                Stage::Live => CoverState::Replicated,
            };
            let (name, to) = ((&*c.database, &*c.name), c.on_target(&task.names));
            let reason = c.out_of_step.as_ref().map(|out| out.reason.clone());
            CoveredCollection { reason, ..shown(c.id, name, to, state, known(c.id)) }
        })
        .collect();
    for c in catalog.into_iter().flatten() {
        let taken_up = stored.iter().any(|s| s.id == c.id);
        let usable = matches!(c.state, State::Created | State::Creating);
        let database = named(&c.database);
        if !taken_up && usable && task.selection.find(database, c.name()).is_some() {
            let to = task.names.collection(database, c.name());
            all.push(shown(c.id, (database, c.name()), to, CoverState::Selected, Some(c.state)));
        }
    }
    all.sort_by(|a, b| (&a.database, &a.collection).cmp(&(&b.database, &b.collection)));
    all
}

fn shown(
    id: CollectionId,
    (database, name): (&str, &str),
    target: CollectionName,
    state: CoverState,
    source: Option<State>,
) -> CoveredCollection {
    CoveredCollection {
        collection_id: id.0,
        database: named(database).to_owned(),
        collection: name.to_owned(),
        target_database: target.database,
        target_collection: target.name,
        state,
        source_state: source.map(|state| match state {
            State::Creating => SourceState::Creating,
            State::Created => SourceState::Created,
            State::Dropping => SourceState::Dropping,
            State::Dropped => SourceState::Dropped,
        }),
        reason: None,
    }
}
