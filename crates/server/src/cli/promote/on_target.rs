//! Which tasks of a service are on the target of one of them, as the service tells targets apart.
//! Never asks the service.

use super::super::failure::Failure;
use super::super::outcome::Outcome;
use super::super::output;
use crate::tasks::{MilvusParam, TargetAddress};
use serde_json::Value;
use std::fmt;

/// A task that writes to the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TaskOnTarget {
    /// Its id.
    pub(super) id: String,
    /// What is stored: `Initial`, `Running` or `Paused`.
    state: String,
    /// What it does in this service.
    stage: String,
    /// Why it is paused, or what it waits for.
    why: String,
}

impl TaskOnTarget {
    fn of(task: &Value) -> Self {
        Self {
            id: output::text(&task["task_id"]),
            state: output::text(&task["state"]),
            stage: output::text(&task["status"]["stage"]),
            why: output::why(task),
        }
    }

    /// Whether it is not to run.
    pub(super) fn is_paused(&self) -> bool {
        self.state == "Paused"
    }
}

impl fmt::Display for TaskOnTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.id, self.state)?;
        match self.why.as_str() {
            "" => write!(f, ")"),
            why => write!(f, ": {why})"),
        }
    }
}

/// The tasks on the target of the task of this id, which is the last of them.
pub(super) fn tasks(listed: &Value, id: &str) -> Result<Vec<TaskOnTarget>, Failure> {
    for broken in output::items(&listed["broken"]) {
        let broken = output::text(broken);
        eprintln!("warning: a stored task can't be read, it may be on this target: {broken}");
    }
    let all = output::items(&listed["tasks"]);
    let Some(named) = all.iter().find(|task| task["task_id"] == id) else {
        let what = format!("there is no task {id}; `milvus-cdc task list` shows all tasks");
        return Err(Failure { not_found: true, ..Failure::new(Outcome::Refused, what) });
    };
    let Some(target) = name_of_target(named) else {
        let what = format!("task {id} does not write to a Milvus; name a task whose target is one");
        return Err(Failure::new(Outcome::Refused, what));
    };
    let is_other =
        |task: &&Value| task["task_id"] != id && name_of_target(task).as_ref() == Some(&target);
    let others = all.iter().filter(is_other);
    Ok(others.chain([named]).map(TaskOnTarget::of).collect())
}

/// The address under which the service has known a target first; `None` if it is no Milvus.
fn name_of_target(task: &Value) -> Option<String> {
    let given = &task["milvus_connect_param"];
    if let Some(name) = given["same_as"].as_str() {
        return Some(name.to_owned());
    }
    let param: MilvusParam = serde_json::from_value(given.clone()).ok()?;
    TargetAddress::parse(&param.uri()).ok().map(|address| address.to_string())
}

/// Refuses tasks that another service runs: this one can't tell when they have stopped.
pub(super) fn check_stages(tasks: &[TaskOnTarget]) -> Result<(), Failure> {
    let elsewhere = tasks.iter().find(|task| !task.is_paused() && task.stage == "stopped");
    elsewhere.map_or(Ok(()), |task| {
        let what = format!(
            "task {} does not run in this service, and nothing was changed: ask the service that \
             runs it (--server), or try again if this one has just started",
            task.id
        );
        Err(Failure::new(Outcome::Refused, what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task(id: &str, milvus: &Value) -> Value {
        json!({
            "task_id": id, "state": "Running", "milvus_connect_param": milvus,
            "status": {"stage": "running", "waiting": null},
        })
    }

    fn ids(listed: &Value, id: &str) -> Vec<String> {
        tasks(listed, id).unwrap().into_iter().map(|task| task.id).collect()
    }

    #[test]
    fn tasks_on_one_target_are_found_under_each_of_its_addresses_and_the_named_one_is_last() {
        let listed = json!({"tasks": [
            task("a", &json!({"uri": "http://Standby:19530"})),
            task("b", &json!({"uri": "https://standby/"})),
            task("c", &json!({"uri": "http://lb:19530", "same_as": "standby:19530"})),
            task("d", &json!({"uri": "http://standby:19531"})),
            task("e", &json!({"uri": "", "host": "standby", "port": 19530})),
            task("f", &json!({"uri": ""})),
        ]});
        assert_eq!(ids(&listed, "a"), ["b", "c", "e", "a"]);
        assert_eq!(ids(&listed, "c"), ["a", "b", "e", "c"]);
        assert_eq!(ids(&listed, "d"), ["d"]);
        assert!(tasks(&listed, "f").unwrap_err().what.contains("does not write to a Milvus"));
        assert!(tasks(&listed, "g").unwrap_err().not_found);
    }

    #[test]
    fn a_task_of_another_service_is_refused_and_a_paused_one_is_not() {
        let milvus = json!({"uri": "http://standby"});
        let mut elsewhere = task("a", &milvus);
        elsewhere["status"]["stage"] = json!("stopped");
        let mut paused = elsewhere.clone();
        paused["state"] = json!("Paused");
        let found = |task: &Value| tasks(&json!({"tasks": [task]}), "a").unwrap();
        let failure = check_stages(&found(&elsewhere)).unwrap_err();
        assert!(failure.what.contains("--server"), "{}", failure.what);
        assert!(check_stages(&found(&paused)).is_ok());
        assert!(check_stages(&found(&task("a", &milvus))).is_ok());
    }
}
