//! Switches a target from a replica to an ordinary Milvus: pauses its tasks, writes the setting,
//! waits for the target. What it has done it remembers before it does it, so that all of it can be
//! undone wherever it ends. Never deletes a task.

use super::super::client::{Client, path_of};
use super::super::failure::Failure;
use super::super::outcome::Outcome;
use super::super::output;
use super::on_target::TaskOnTarget;
use super::target_etcd::TargetEtcd;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A task finishes its open window before it stops; the service waits for that in the request
/// already.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// A Milvus that takes the setting while it runs reads it every few seconds; a 2.3.5 has switched
/// within five.
const SWITCHED_WITHIN: Duration = Duration::from_secs(15);

/// Within this time a Milvus has read its settings.
const READ_WITHIN: Duration = Duration::from_secs(12);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An address may lead to several proxies, which read the setting one after the other.
const LOOKS: u32 = 2;

/// A switch, and what of it has been done.
pub(super) struct Switch<'a> {
    client: &'a Client,
    etcd: &'a TargetEtcd,
    /// The task whose target is asked for.
    named: &'a str,
    tasks: &'a [TaskOnTarget],
    /// Tasks that were running, and may be paused by now.
    paused: Vec<String>,
    /// What the setting was before it was written, if it was.
    before: Option<Before>,
}

/// What the setting was in etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Before {
    /// There was none.
    Absent,
    /// It was true already: a run was killed, or this version takes it only when it starts.
    True,
    /// It was something else.
    Other(String),
}

impl Before {
    fn of(value: Option<String>) -> Self {
        match value {
            None => Self::Absent,
            Some(value) if is_true(&value) => Self::True,
            Some(value) => Self::Other(value),
        }
    }
}

/// As Go's `strconv.ParseBool` reads it, which Milvus uses.
fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

impl<'a> Switch<'a> {
    /// Nothing is done yet.
    pub(super) fn new(
        client: &'a Client,
        etcd: &'a TargetEtcd,
        named: &'a str,
        tasks: &'a [TaskOnTarget],
    ) -> Self {
        Self { client, etcd, named, tasks, paused: Vec::new(), before: None }
    }

    /// Returns when the target has switched. May be dropped at any point, and undone then.
    pub(super) async fn make(&mut self) -> Result<(), Failure> {
        for task in self.tasks.iter().filter(|task| !task.is_paused()) {
            self.pause(&task.id).await?;
        }
        for task in self.tasks {
            self.wait_stopped(&task.id).await?;
        }
        let before = Before::of(self.etcd.read().await?);
        self.before = Some(before);
        self.etcd.put("true").await?;
        eprintln!("{} is set to true", self.etcd.place());
        self.wait_mode(false, SWITCHED_WITHIN).await
    }

    async fn pause(&mut self, id: &str) -> Result<(), Failure> {
        self.paused.push(id.to_owned());
        let Err(failure) = self.client.post(&format!("{}/pause", path_of(id)), None).await else {
            eprintln!("task {id} is paused");
            return Ok(());
        };
        // It is gone, or paused although the answer is missing.
        match self.client.get(&path_of(id)).await {
            Ok(task) if task["state"] == "Paused" => Ok(()),
            Err(failure) if failure.not_found => {
                self.paused.pop();
                Ok(())
            }
            _ => Err(failure),
        }
    }

    async fn wait_stopped(&self, id: &str) -> Result<(), Failure> {
        let until = Instant::now() + STOPPED_WITHIN;
        loop {
            let task = match self.client.get(&path_of(id)).await {
                Err(failure) if failure.not_found => return Ok(()),
                task => task?,
            };
            if has_stopped(&task) {
                return Ok(());
            }
            if Instant::now() >= until {
                let what = format!("task {id} has not stopped within {STOPPED_WITHIN:?}");
                return Err(Failure::new(Outcome::Refused, what));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the target is a replica, or is none.
    async fn wait_mode(&self, replica: bool, within: Duration) -> Result<(), Failure> {
        let until = Instant::now() + within;
        let mut looks = 0;
        loop {
            let seen = self.is_replica().await;
            looks = if seen == Some(replica) { looks + 1 } else { 0 };
            if looks == LOOKS {
                return Ok(());
            }
            // One that has just switched is looked at once more.
            if looks == 0 && Instant::now() >= until {
                return Err(Failure::new(Outcome::Refused, not_seen(seen, within)));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn is_replica(&self) -> Option<bool> {
        let target = self.client.get(&format!("{}/target", path_of(self.named))).await;
        target.ok().and_then(|target| target["replica"].as_bool())
    }

    /// Undoes what was done, and adds to the failure what became of it.
    pub(super) async fn undo(&mut self, failure: Failure) -> Failure {
        let mut told = vec![failure.what];
        if self.before.is_some() && self.is_replica().await == Some(false) {
            told.push(
                "by then the target had switched, so its tasks stay paused; run the same command \
                 again, which deletes them"
                    .to_owned(),
            );
            return Failure { what: told.join("; "), ..failure };
        }
        let put_back = match self.before.take() {
            Some(before) => self.put_back(&before).await,
            None => Ok(String::new()),
        };
        match put_back {
            Ok(said) if said.is_empty() => told.push(self.resume().await),
            Ok(said) => told.extend([said, self.resume().await]),
            // The target may switch yet, and a task must not have a window open then.
            Err(left) => told.extend([left, self.stay_paused()]),
        }
        Failure { what: told.join("; "), ..failure }
    }

    /// Puts the setting back. An error says what somebody has to do.
    async fn put_back(&self, before: &Before) -> Result<String, String> {
        let place = self.etcd.place();
        let left = |failure: Failure| {
            let was = match before {
                Before::Absent => "remove it".to_owned(),
                Before::True => "it was true before".to_owned(),
                Before::Other(value) => format!("set it to {value} again"),
            };
            format!("{place} is true, or will be at the next start: {was} ({})", failure.what)
        };
        let value = match before {
            Before::True => {
                return Ok(format!(
                    "{place} was true before and still is, so the target will not be a replica \
                     after its next start"
                ));
            }
            Before::Other(value) => value.as_str(),
            // The event of a removed key has its last value, and each of Milvus's streams takes
            // over the value of an event: without this they would go on as those of an ordinary
            // Milvus, and a 2.3.5 then took inserts beside replicate messages. Source:
            // `PopulateEvents` in `pkg/config/event.go`, `NewMqMsgStream` in
            // `pkg/mq/msgstream/mq_msgstream.go`.
            Before::Absent => "false",
        };
        // Even if it is as it was: a write without an answer may be carried out yet.
        eprintln!("putting {place} back");
        self.etcd.put(value).await.map_err(left)?;
        sleep(READ_WITHIN).await;
        if *before == Before::Absent {
            self.etcd
                .remove()
                .await
                .map_err(|failure| format!("{place} is false now: remove it ({})", failure.what))?;
        }
        self.wait_mode(true, SWITCHED_WITHIN)
            .await
            .map_err(|_| format!("{place} is as before, but the target does not say so"))?;
        Ok(format!("{place} is as before"))
    }

    fn stay_paused(&mut self) -> String {
        let paused = std::mem::take(&mut self.paused).join(", ");
        match paused.is_empty() {
            true => "no task was paused".to_owned(),
            false => format!(
                "these tasks stay paused, resume them when the target is a replica for certain \
                 (milvus-cdc task resume): {paused}"
            ),
        }
    }

    /// Resumes the tasks that ran.
    async fn resume(&mut self) -> String {
        let mut failed = Vec::new();
        let paused = std::mem::take(&mut self.paused);
        for id in &paused {
            let Err(failure) = self.client.post(&format!("{}/resume", path_of(id)), None).await
            else {
                continue;
            };
            let task = self.client.get(&path_of(id)).await;
            if !task.is_ok_and(|task| task["state"] == "Running") {
                failed.push(format!("{id} ({})", failure.what));
            }
        }
        match (paused.is_empty(), failed.is_empty()) {
            (true, _) => "no task was paused".to_owned(),
            (false, true) => "the tasks run again".to_owned(),
            (false, false) => format!(
                "these tasks are paused, resume them (milvus-cdc task resume): {}",
                failed.join(", ")
            ),
        }
    }
}

/// Refuses a target that is not a replica for another reason than this setting: its tasks may be
/// needed yet.
pub(super) async fn check_switched(uri: &str, etcd: &TargetEtcd) -> Result<(), Failure> {
    if Before::of(etcd.read().await?) == Before::True {
        return Ok(());
    }
    let what = format!(
        "{uri} takes no replicate messages, but {} is not true, so that no promotion has done \
         that, and nothing was changed: its file says common.ttMsgEnabled: true, or, from 2.5 on, \
         common.collectionReplicateEnable: true. Mend that if it is to be a replica; if it was \
         promoted by hand, delete its tasks (milvus-cdc task delete)",
        etcd.place()
    );
    Err(Failure::new(Outcome::Refused, what))
}

/// Whether a task is paused and does nothing any more.
fn has_stopped(task: &Value) -> bool {
    output::text(&task["state"]) == "Paused" && output::text(&task["status"]["stage"]) == "stopped"
}

fn not_seen(seen: Option<bool>, within: Duration) -> String {
    match seen {
        Some(_) => format!(
            "the target has not switched within {within:?}: this version, or a part of it, does \
             not take common.ttMsgEnabled without a restart. The tasks are drained unless \
             --no-drain was given: promote it by a restart, as docs/promote.md says"
        ),
        None => format!(
            "it can't be told whether the target has switched within {within:?}: the service or \
             the target does not answer; see `milvus-cdc task get` and run the command again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_setting_was_is_read_as_milvus_reads_it() {
        let before = |value: &str| Before::of(Some(value.to_owned()));
        assert_eq!(Before::of(None), Before::Absent);
        assert_eq!(before("true"), Before::True);
        assert_eq!(before("1"), Before::True);
        assert_eq!(before("false"), Before::Other("false".into()));
        assert_eq!(before("yes"), Before::Other("yes".into()), "no Milvus takes it for true");
    }

    #[test]
    fn a_task_that_finishes_its_window_has_not_stopped() {
        let task = |state: &str, stage: &str| json!({"state": state, "status": {"stage": stage}});
        assert!(has_stopped(&task("Paused", "stopped")));
        assert!(!has_stopped(&task("Paused", "stopping")));
        assert!(!has_stopped(&task("Running", "stopped")));
    }
}
