//! Whether a new task may stand beside the stored ones of its target, in the words of the Go tool.
//! Never reads the store.

use super::overlap::{self, Name, Overlap, in_brackets};
use super::record::TaskRecord;
use replication::selection::{ANY, named};

/// Why a new task may not stand beside the stored ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The key of the request.
    pub field: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
    /// Another task is in the way; otherwise the request makes no sense.
    pub conflict: bool,
}

impl Objection {
    fn conflict(field: &'static str, what: String, remedy: &'static str) -> Self {
        Self { field, what, remedy, conflict: true }
    }
}

/// Checks a new task against the stored ones of its target; answers what it has to leave to them.
pub(super) fn admit(record: &TaskRecord, others: &[TaskRecord]) -> Result<Vec<Name>, Objection> {
    record.target().map_err(|what| Objection {
        field: "milvus_connect_param.uri",
        what,
        remedy: "write it as http(s)://host:port",
        conflict: false,
    })?;
    let others: Vec<&TaskRecord> = others.iter().filter(|other| record.meets(other)).collect();
    let user_role = |r: &TaskRecord| r.extra_info.enable_user_role;
    if user_role(record) && others.iter().any(|o| user_role(o)) {
        return Err(Objection::conflict(
            "extra_info.enable_user_role",
            "the enable user role param is duplicate".into(),
            "leave it to the task of this target that has it",
        ));
    }
    let theirs: Vec<_> = others.iter().map(|o| (o.names(), o.excludes())).collect();
    let names = record.names();
    let Overlap { duplicates, excludes } = overlap::check(&names, &theirs);
    if !duplicates.is_empty() {
        let names = in_brackets(duplicates.iter().map(|(d, c)| format!("{d}.{c}")));
        return Err(Objection::conflict(
            "db_collections",
            format!("the collection name is duplicate with existing task, {names}"),
            "leave these out, or delete the task that has them",
        ));
    }
    let covered = |name: &Name| names.iter().any(|n| overlap::covers(n, name));
    if !record.mapped_names().iter().all(covered) {
        return Err(Objection {
            field: "name_mapping",
            what:
                "the collection name in the name mapping is not in the collection info, checkout it"
                    .into(),
            remedy: "map names that the task covers",
            conflict: false,
        });
    }
    // One link serves all tasks of a target, so a wrong password of one would stop the others.
    let login = |r: &TaskRecord| {
        let param = &r.milvus_connect_param;
        (param.login(), param.dial_config.clone(), r.milvus().is_ok_and(|t| t.tls()))
    };
    if let Some(other) = others.iter().find(|o| login(o) != login(record)) {
        return Err(Objection::conflict(
            "milvus_connect_param",
            format!(
                "token and TLS settings differ from those of task {} on the same target, give the same or delete that task first",
                other.task_id
            ),
            "give the same, or delete that task first",
        ));
    }
    Ok(excludes)
}

impl TaskRecord {
    /// The source names of the name mapping; `*` where a rule is for a whole database.
    fn mapped_names(&self) -> Vec<Name> {
        let rules = self.name_mapping.iter().flatten();
        let names = rules.flat_map(|rule| {
            let db = named(&rule.source_db).to_owned();
            let mut collections: Vec<String> = rule.collection_mapping.keys().cloned().collect();
            if collections.is_empty() {
                collections.push(ANY.into());
            }
            collections.into_iter().map(move |c| (db.clone(), c))
        });
        names.collect()
    }
}
