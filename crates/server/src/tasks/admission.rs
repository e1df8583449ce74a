//! Whether a new task may stand beside the stored ones of its target, in the words of the Go tool.
//! Never reads the store.

use super::overlap::{self, Overlap};
use super::record::TaskRecord;
use connectors::InvalidOption;
use milvus_wire::ids::CollectionName;
use replication::error::Error;

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
) -> Result<Vec<CollectionName>, CreateError> {
    record.target().map_err(CreateError::Invalid)?;
    let others: Vec<&TaskRecord> =
        others.iter().filter(|other| record.may_conflict_with(other)).collect();
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
        return Err(conflict(
            "db_collections",
            format!("the collection name is duplicate with existing task, {names}"),
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
    let login = |r: &TaskRecord| {
        let param = &r.milvus_connect_param;
        (param.login(), param.dial_config.clone(), r.milvus().is_ok_and(|t| t.tls()))
    };
    if let Some(other) = others.iter().find(|o| login(o) != login(record)) {
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

fn conflict(field: &'static str, problem: impl Into<String>, remedy: &str) -> CreateError {
    CreateError::Conflict(InvalidOption::new(field, problem, remedy))
}

/// Names as the Go tool writes them in its messages: `[a b c]`.
pub fn in_brackets(names: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", names.into_iter().collect::<Vec<_>>().join(" "))
}
