//! `delete`, `pause`, `resume`: changes of a stored task. Each returns when the task has followed,
//! or after a limit. Never touches a running task itself.

use super::refusal::{Kind, Refusal};
use super::state::ApiState;
use crate::supervisor::Settled;
use crate::tasks::{PAUSED_BY_USER, State, StateChange};
use std::time::Duration;

/// How long a creation or a resume waits for the supervisor. It is stored in any case.
pub(super) const START_WITHIN: Duration = Duration::from_secs(2);

/// Lets a task finish its window and stop, then removes it and all that is stored of it.
pub(super) async fn delete(
    api: &ApiState,
    id: &str,
    ignore_not_found: bool,
) -> Result<(), Refusal> {
    let begun = api.book.begin_delete(id).await.map_err(|e| Refusal::store(&e))?;
    if begun == StateChange::NoSuchTask {
        return if ignore_not_found { Ok(()) } else { Err(Refusal::unknown_task(id)) };
    }
    if api.desk.stopped(id, api.limits.stop_within).await == Settled::NotInTime {
        let what =
            format!("the task does not stop in time, task_id: {id}; it is paused, delete it again");
        return Err(Refusal::failed(what, "delete it again"));
    }
    match api.book.delete(id).await.map_err(|e| Refusal::store(&e))? {
        StateChange::Made | StateChange::NoSuchTask => {}
        StateChange::NotFrom(state) => {
            let what = format!(
                "the task was set to {state} while it was being deleted, task_id: {id}; delete it \
                 again"
            );
            return Err(Refusal::new(Kind::Stuck, what, "delete it again"));
        }
    }
    tracing::info!(task = id, "task deleted");
    // The next look of the supervisor removes its metrics; wait for that before answering.
    api.desk.poke(api.limits.stop_within).await;
    Ok(())
}

/// Lets a task finish its window and stop. It stays stopped until it is resumed.
pub(super) async fn pause(api: &ApiState, id: &str) -> Result<(), Refusal> {
    match api.book.pause(id, PAUSED_BY_USER).await.map_err(|e| Refusal::store(&e))? {
        StateChange::Made => {}
        StateChange::NoSuchTask => return Err(Refusal::unknown_task(id)),
        StateChange::NotFrom(State::Paused) => {
            let what = format!("the task has paused, task_id: {id}");
            return Err(Refusal::new(Kind::Conflict, what, "resume it to let it run"));
        }
        StateChange::NotFrom(state) => {
            let what =
                format!("fail to update the task state, task_id: {id}: it is {state}, not Running");
            return Err(Refusal::new(Kind::Stuck, what, "try again"));
        }
    }
    tracing::info!(task = id, "task paused by a user");
    if api.desk.stopped(id, api.limits.stop_within).await == Settled::NotInTime {
        // The task is paused and will stop, so the request has not failed.
        tracing::warn!(task = id, "task is paused and still stopping");
    }
    Ok(())
}

/// Sets a task to run.
pub(super) async fn resume(api: &ApiState, id: &str) -> Result<(), Refusal> {
    match api.book.resume(id).await.map_err(|e| Refusal::store(&e))? {
        StateChange::Made => {}
        StateChange::NoSuchTask => return Err(Refusal::unknown_task(id)),
        StateChange::NotFrom(_) => {
            let what = format!("the task has running, task_id: {id}");
            return Err(Refusal::new(Kind::Conflict, what, "pause it to stop it"));
        }
    }
    tracing::info!(task = id, "task resumed by a user");
    api.desk.poke(START_WITHIN).await;
    Ok(())
}
