//! `milvus-cdc promote`: makes the target of tasks an ordinary Milvus while it runs, and deletes
//! its tasks. Never switches a target whose etcd is not shown to be its own, and never deletes a
//! task before the target has switched.
//!
//! `on_target` finds the tasks, `target_etcd` shows that the etcd is the target's and writes the
//! setting, `switch` pauses, switches and undoes.

mod on_target;
mod switch;
mod target_etcd;

use super::client::{self, Client, ServerArgs, TASKS, path_of};
use super::drain::Drain;
use super::failure::Failure;
use super::outcome::Outcome;
use super::output::{self, OutputFormat};
use super::watch::seconds;
use crate::signal;
use clap::Args;
use on_target::TaskOnTarget;
use serde_json::{Value, json};
use std::time::Duration;
use switch::Switch;
use target_etcd::{EtcdArgs, TargetEtcd};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long an undrained target is flushed, if no time is given: a promotion after a loss must not
/// wait for a source that is gone.
const FLUSHED_WITHIN: Duration = Duration::from_secs(30);

/// Between two requests to flush.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Make the target of a task an ordinary Milvus, without a restart of it.
///
/// Stop writing to the source first. This drains each task on the target, as `task drain` does,
/// pauses them, sets `common.ttMsgEnabled` to true in the target's etcd, waits until the target has
/// switched, and then deletes the tasks. If the target does not switch, everything is as before:
/// the setting is put back, and the tasks run again. It can be repeated after any failure.
///
/// Without --yes it only shows what it would do. Ask the service that runs the tasks.
///
/// Exit codes: 0 promoted, 1 refused or not switched, 2 wrong command line, 3 server or etcd not
/// reachable, 4 not drained in time, 5 collections are out of step.
#[derive(Args, Debug)]
pub(super) struct Promote {
    /// A task on the target; the other ones on it are found.
    task_id: String,
    #[command(flatten)]
    etcd: EtcdArgs,
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// Do not wait until the target has all that the source's queue contains: for a source that is
    /// lost with its queue, or tasks that can't go on. The target is flushed if that is possible.
    #[arg(long)]
    no_drain: bool,
    /// End with 4, having changed nothing, if the tasks are not drained after this many seconds.
    /// With --no-drain: how long the target is flushed at most, 30 by default.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<f64>,
    #[command(flatten)]
    server: ServerArgs,
    /// The form of the output.
    #[arg(long, value_enum, default_value = "table")]
    output: OutputFormat,
}

impl Promote {
    pub(super) fn run(self) -> Outcome {
        client::carry_out(self.carry_out())
    }

    async fn carry_out(&self) -> Result<(), Failure> {
        let client = Client::new(&self.server)?;
        let etcd = TargetEtcd::new(&self.etcd)?;
        let listed = client.get(TASKS).await?;
        let tasks = on_target::tasks(&listed, &self.task_id)?;
        let target = client.get(&format!("{}/target", path_of(&self.task_id))).await?;
        let uri = output::text(&target["uri"]);
        match target["replica"].as_bool() {
            None => return Err(unknown_mode(&target)),
            // An earlier run was interrupted here, or somebody has set the key by hand.
            Some(false) => {
                etcd.prove(&target).await?;
                switch::check_switched(&uri, &etcd).await?;
                if !self.yes {
                    tell_plan(&uri, &tasks, &["delete these tasks, since it is not a replica"]);
                    return Err(not_without_yes());
                }
                eprintln!("{uri} is not a replica any more");
            }
            Some(true) => {
                etcd.prove(&target).await?;
                on_target::check_stages(&tasks)?;
                if !self.yes {
                    tell_plan(&uri, &tasks, &self.steps(&etcd));
                    return Err(not_without_yes());
                }
                self.switch(&client, &etcd, &tasks).await?;
                eprintln!("{uri} is an ordinary Milvus now");
            }
        }
        delete(&client, &uri, &tasks).await?;
        self.show(&uri, &tasks, &etcd);
        Ok(())
    }

    fn steps(&self, etcd: &TargetEtcd) -> Vec<String> {
        let first = match self.no_drain {
            true => "flush the target if possible, without waiting for the source (--no-drain)",
            false => "drain them: wait until the target has everything and has stored it",
        };
        vec![
            first.to_owned(),
            "pause them".to_owned(),
            format!("set {} to true", etcd.place()),
            "wait until the target has switched, or undo all of this".to_owned(),
            "delete them".to_owned(),
        ]
    }

    /// Drains and switches. An error means that the target is a replica still, and tells of all
    /// that is not as it was.
    async fn switch(
        &self,
        client: &Client,
        etcd: &TargetEtcd,
        tasks: &[TaskOnTarget],
    ) -> Result<(), Failure> {
        let stop = CancellationToken::new();
        // A second signal ends the process: the next run then finds what this one has left.
        let _watching = tokio::spawn(signal::watch(stop.clone()));
        let interrupted = || Failure::new(Outcome::Refused, "interrupted");
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(interrupted()),
            drained = self.drain(client, tasks) => drained?,
        }
        let mut switch = Switch::new(client, etcd, &self.task_id, tasks);
        let switched = tokio::select! {
            biased;
            () = stop.cancelled() => Err(interrupted()),
            switched = switch.make() => switched,
        };
        match switched {
            Ok(()) => Ok(()),
            Err(failure) => Err(switch.undo(failure).await),
        }
    }

    async fn drain(&self, client: &Client, tasks: &[TaskOnTarget]) -> Result<(), Failure> {
        let began = Instant::now();
        for TaskOnTarget { id, .. } in tasks {
            if self.no_drain {
                let within = self.timeout.map_or(FLUSHED_WITHIN, Duration::from_secs_f64);
                flush(client, id, began + within).await;
                continue;
            }
            eprintln!("draining task {id}");
            // A time of zero would mean that there is no limit.
            let left = self.timeout.map(|t| (t - began.elapsed().as_secs_f64()).max(0.1));
            let drained = Drain::of(id, left).run(client).await;
            drained.and_then(|(_, in_step)| in_step).map_err(|failure| {
                let what = format!(
                    "task {id} is not drained, and nothing was changed: {}; a paused task is \
                     drained after `milvus-cdc task resume {id}`; if the target is to do without \
                     what it lacks, give --no-drain",
                    failure.what
                );
                Failure { what, ..failure }
            })?;
        }
        Ok(())
    }

    fn show(&self, uri: &str, tasks: &[TaskOnTarget], etcd: &TargetEtcd) {
        if self.output == OutputFormat::Json {
            let ids: Vec<_> = tasks.iter().map(|task| &task.id).collect();
            println!("{}", json!({ "uri": uri, "promoted": true, "deleted_tasks": ids }));
            return;
        }
        println!("{uri} is promoted: it ticks itself and takes writes; its tasks are deleted");
        println!(
            "set common.ttMsgEnabled: true in its configuration file too. To make it a replica \
             again one day, also remove {}, which precedes the file",
            etcd.place()
        );
    }
}

fn unknown_mode(target: &Value) -> Failure {
    let (uri, reason) = (output::text(&target["uri"]), output::text(&target["reason"]));
    let what = match target["reachable"] == true {
        false => format!("the target {uri} does not answer: {reason}; nothing was changed"),
        true => format!(
            "it can't be told whether {uri} is a replica: it is not a Milvus, or the user of its \
             tasks may not send replicate messages to it, or the service runs with dryRun; nothing \
             was changed"
        ),
    };
    Failure::new(Outcome::Refused, what)
}

fn not_without_yes() -> Failure {
    Failure::new(Outcome::Refused, "nothing was changed; give --yes to do this")
}

fn tell_plan<S: AsRef<str>>(uri: &str, tasks: &[TaskOnTarget], steps: &[S]) {
    eprintln!("tasks on {uri}:");
    tasks.iter().for_each(|task| eprintln!("  {task}"));
    eprintln!("promote would");
    steps.iter().for_each(|step| eprintln!("  - {}", step.as_ref()));
}

/// Flushes what a task has replicated, as far as that is possible until then.
async fn flush(client: &Client, id: &str, until: Instant) {
    loop {
        let why = match client.post(&format!("{}/flush", path_of(id)), None).await {
            Ok(answer) if answer["flushed"] == true => return,
            Ok(answer) => {
                let all = output::items(&answer["collections"]).iter();
                let left: Vec<_> = all.filter(|it| it["flushed"] == false).cloned().collect();
                output::flushed(&left)
            }
            Err(failure) => failure.what,
        };
        if Instant::now() >= until {
            eprintln!("warning: not all that task {id} has replicated is flushed:\n{why}");
            return;
        }
        sleep(ASK_EVERY).await;
    }
}

/// Deletes the tasks: none of them may write to the target any more. The task that was named comes
/// last, so that the command can be repeated as it was.
async fn delete(client: &Client, uri: &str, tasks: &[TaskOnTarget]) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for TaskOnTarget { id, .. } in tasks {
        match client.delete(&path_of(id)).await {
            Err(failure) if !failure.not_found => failed.push(format!("{id}: {}", failure.what)),
            _ => eprintln!("task {id} is deleted"),
        }
        if !failed.is_empty() {
            break;
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let what = format!(
        "{uri} is promoted, but tasks on it are not deleted: {}; run the same command again",
        failed.join("; ")
    );
    Err(Failure::new(Outcome::Refused, what))
}
