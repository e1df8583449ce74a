//! Whether a new task may stand beside the stored ones of its target, in the words of the Go tool.
//! Never reads the store.

use super::overlap::{self, Name, Overlap, in_brackets};
use super::record::TaskRecord;
use replication::selection::{ANY, named};

/// Checks a new task against the stored ones of its target; answers what it has to leave to them.
pub(super) fn admit(record: &TaskRecord, others: &[TaskRecord]) -> Result<Vec<Name>, String> {
    let target = record.target()?;
    let here = |other: &&TaskRecord| {
        other.target().is_ok_and(|theirs| theirs.to_string() == target.to_string())
    };
    let others: Vec<&TaskRecord> = others.iter().filter(here).collect();
    let user_role = |r: &TaskRecord| r.extra_info.enable_user_role;
    if user_role(record) && others.iter().any(|o| user_role(o)) {
        return Err("the enable user role param is duplicate".into());
    }
    let theirs: Vec<_> = others.iter().map(|o| (o.names(), o.excludes())).collect();
    let names = record.names();
    let Overlap { duplicates, excludes } = overlap::check(&names, &theirs);
    if !duplicates.is_empty() {
        return Err(format!(
            "the collection name is duplicate with existing task, {}",
            in_brackets(duplicates.iter().map(|(d, c)| format!("{d}.{c}")))
        ));
    }
    let covered = |name: &Name| names.iter().any(|n| overlap::covers(n, name));
    if !record.mapped_names().iter().all(covered) {
        return Err(
            "the collection name in the name mapping is not in the collection info, checkout it"
                .into(),
        );
    }
    // One link serves all tasks of a target, so a wrong password of one would stop the others.
    let login = |r: &TaskRecord| {
        let param = &r.milvus_connect_param;
        (param.login(), param.dial_config.clone(), r.target().is_ok_and(|t| t.tls()))
    };
    if let Some(other) = others.iter().find(|o| login(o) != login(record)) {
        return Err(format!(
            "token and TLS settings differ from those of task {} on the same target, give the same or delete that task first",
            other.task_id
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
