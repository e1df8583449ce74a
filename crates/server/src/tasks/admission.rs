//! Whether a new task may stand beside the stored ones of its target, in the words of the Go tool.
//! Never reads the store.

use super::overlap::{self, Overlap};
use super::record::TaskRecord;
use connectors::InvalidOption;
use milvus_wire::ids::CollectionName;
use replication::error::Error;
use replication::records::identity::Names;

/// Why a task was not created.
#[derive(Debug)]
pub enum CreateError {
    /// The request makes no sense.
    Invalid(InvalidOption),
    /// Another task is in the way.
    Conflict(InvalidOption),
    /// There are as many tasks as there may be.
    Full(usize),
    /// The store failed.
    Store(Error),
}

impl From<Error> for CreateError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Checks a new task against all stored ones; returns what it has to leave to them.
pub(super) fn admit(
    record: &TaskRecord,
    others: &[TaskRecord],
    names_of_targets: &Names,
) -> Result<Vec<CollectionName>, CreateError> {
    record.target().map_err(CreateError::Invalid)?;
    let others: Vec<&TaskRecord> =
        others.iter().filter(|o| record.may_conflict_with(o, names_of_targets)).collect();
    let user_role = |r: &TaskRecord| r.extra_info.enable_user_role;
    if user_role(record) && others.iter().any(|o| user_role(o)) {
        return Err(conflict(
            "extra_info.enable_user_role",
            "the enable user role param is duplicate",
            "leave it to the task of this target that has it",
        ));
    }
    let theirs: Vec<_> = others.iter().map(|o| (o.names(), o.excludes())).collect();
    let names = record.names();
    let Overlap { duplicates, excludes } = overlap::check(&names, &theirs);
    if !duplicates.is_empty() {
        let names = in_brackets(duplicates.iter().map(ToString::to_string));
        let one_target = others.iter().find_map(|other| one_target(record, other));
        let one_target = one_target.map(|what| format!("; {what}")).unwrap_or_default();
        return Err(conflict(
            "db_collections",
            format!("the collection name is duplicate with existing task, {names}{one_target}"),
            "leave these out, or delete the task that has them",
        ));
    }
    let covered = |name: &CollectionName| names.iter().any(|n| overlap::covers(n, name));
    if !record.mapped_names().iter().all(covered) {
        return Err(CreateError::Invalid(InvalidOption::new(
            "name_mapping",
            "the collection name in the name mapping is not in the collection info, checkout it",
            "map names that the task covers",
        )));
    }
    // All tasks of a target share one connection: a wrong password of one would stop the others.
    let is_reached_alike = |other: &TaskRecord| {
        let [here, there] = [record, other].map(|task| &task.milvus_connect_param);
        // Each address of a target may have a TLS of its own.
        let tls = |r: &TaskRecord| {
            (r.milvus_connect_param.dial_config.clone(), r.milvus().is_ok_and(|t| t.tls()))
        };
        let is_elsewhere = one_target(record, other).is_some();
        here.login() == there.login() && (is_elsewhere || tls(record) == tls(other))
    };
    if let Some(other) = others.iter().find(|o| !is_reached_alike(o)) {
        return Err(conflict(
            "milvus_connect_param",
            format!(
                "token and TLS settings differ from those of task {} on the same target, give the \
                 same or delete that task first",
                other.task_id
            ),
            "give the same, or delete that task first",
        ));
    }
    Ok(excludes)
}

/// That two tasks reach one target under two addresses, if they do.
fn one_target(record: &TaskRecord, other: &TaskRecord) -> Option<String> {
    let (here, there) = (record.milvus().ok()?, other.milvus().ok()?);
    (here.to_string() != there.to_string()).then(|| {
        let id = &other.task_id;
        format!("{} is the same Milvus as {} of task {id}", here.uri(), there.uri())
    })
}

/// Why a stored task must not run beside another one whose target turned out to be its own, reached
/// under another address: both replicate the same collections. `None`: it may.
pub(crate) fn found_in_the_way(
    record: &TaskRecord,
    others: &[TaskRecord],
    names_of_targets: &Names,
) -> Option<InvalidOption> {
    let is_first = |r: &TaskRecord| r.target().is_ok_and(|a| names_of_targets.of(&a) == a);
    if record.is_to_kafka() || is_first(record) {
        return None;
    }
    let earlier = others.iter().filter(|other| {
        is_first(other) || (other.target() != record.target() && other.task_id < record.task_id)
    });
    for other in earlier.filter(|o| record.may_conflict_with(o, names_of_targets)) {
        let Some(one_target) = one_target(record, other) else { continue };
        let overlap = overlap::check(&record.names(), &[(other.names(), other.excludes())]);
        let left = record.excludes();
        let excludes = overlap.excludes.into_iter();
        let excludes = excludes.filter(|name| !left.iter().any(|left| overlap::covers(left, name)));
        let both: Vec<_> = overlap.duplicates.into_iter().chain(excludes).collect();
        if !both.is_empty() {
            let names = in_brackets(both.iter().map(ToString::to_string));
            let problem = format!(
                "milvus_connect_param.uri: {one_target}, and both replicate {names}: delete one of \
                 the two tasks. If both ran, rows are on the target twice: drop these collections \
                 there and create the task anew"
            );
            return Some(InvalidOption::new("milvus_connect_param.uri", problem, "delete one"));
        }
    }
    None
}

fn conflict(field: &'static str, problem: impl Into<String>, remedy: &str) -> CreateError {
    CreateError::Conflict(InvalidOption::new(field, problem, remedy))
}

/// Names as the Go tool writes them in its messages: `[a b c]`.
pub fn in_brackets(names: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", names.into_iter().collect::<Vec<_>>().join(" "))
}
