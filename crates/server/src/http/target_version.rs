//! What the version of a target says about it, as a warning to whoever makes a task for it. Never
//! needs the target to answer.

use super::state::ApiState;
use crate::tasks::TaskRecord;
use crate::world::TargetClient;
use milvus_wire::version::Version;
use std::time::Duration;

/// How long a creation waits for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What is told of a target that may lose rows by itself.
const FORGETS: &str = "the target is a Milvus that may lose rows and deletes that are not flushed \
                       when it restarts (before 2.3.19, and 2.4.0 to 2.4.5). Unless \
                       target.flushEvery is off, what it may have lost is sent again then; \
                       upgrade it, and drain tasks before each planned restart";

/// The warning about the version of a task's target; `None` if there is nothing to warn of, or if
/// it does not say.
pub(super) async fn warning(api: &ApiState, record: &TaskRecord) -> Option<&'static str> {
    let Ok(TargetClient::Milvus(target)) = api.targets.open(record) else { return None };
    let asked = tokio::time::timeout(ANSWER_WITHIN, target.version()).await;
    about(&asked.ok()?.ok()?)
}

/// The warning about a version, as the target names it.
pub(super) fn about(version: &str) -> Option<&'static str> {
    Version::parse(version).filter(|version| version.forgets_at_restarts()).map(|_| FORGETS)
}
