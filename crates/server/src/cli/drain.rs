//! `task drain`: waits until a task has caught up, and then until the target has stored all of it.
//! The first step of every planned restart and promotion of a target. Never stops the task: a flush
//! ends only while the target is ticked.

use super::client::{Client, path_of};
use super::failure::Failure;
use super::outcome::Outcome;
use super::output;
use super::watch::{Watch, seconds};
use clap::Args;
use serde_json::Value;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two requests: each waits for some seconds itself.
const ASK_EVERY: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
pub(super) struct Drain {
    /// The task's id.
    task_id: String,
    /// End with 4 after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<f64>,
}

impl Drain {
    /// Drains a task.
    pub(super) fn of(task_id: &str, timeout: Option<f64>) -> Self {
        Self { task_id: task_id.to_owned(), timeout }
    }

    /// Returns what is flushed, and how that is to be told besides.
    pub(super) async fn run(
        &self,
        client: &Client,
    ) -> Result<(Value, Result<(), Failure>), Failure> {
        let began = Instant::now();
        let caught_up = Watch::until_caught_up(&self.task_id, self.timeout).run(client, None).await;
        let in_step = match caught_up {
            Err(failure) if failure.outcome != Outcome::OutOfStep => return Err(failure),
            in_step => in_step,
        };
        loop {
            let answer = client.post(&format!("{}/flush", path_of(&self.task_id)), None).await?;
            if answer["flushed"] == true {
                return Ok((answer, in_step));
            }
            let out = output::items(&answer["collections"]).iter();
            let left: Vec<_> = out.filter(|it| it["flushed"] == false).cloned().collect();
            if self.timeout.is_some_and(|t| began.elapsed().as_secs_f64() >= t) {
                let what = format!("the time is up; not flushed:\n{}", output::flushed(&left));
                return Err(Failure::new(Outcome::TooLate, what));
            }
            eprintln!("{} collections are not flushed yet", left.len());
            sleep(ASK_EVERY).await;
        }
    }
}
