//! `task watch`: prints a line per look at a task, until it is interrupted, out of time or caught
//! up. Caught up means that everything in the source's queue at the beginning of the watch is on
//! the target. A small lag is never enough.

use super::client::{Client, path_of};
use super::failure::Failure;
use super::outcome::Outcome;
use super::output::{self, OutputFormat};
use super::rows::{self, Rows};
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;

/// A running task opens its channels within this time. One without channels has caught up.
const CHANNELS_WITHIN: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(super) struct Watch {
    /// The task's id.
    task_id: String,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    interval: f64,
    /// End with 0 once everything that was in the source's queue when the watch began is on the
    /// target; with 5 if collections are out of step then.
    #[arg(long)]
    until_caught_up: bool,
    /// End with 4 after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<f64>,
}

/// A number of seconds in the range of a timer.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('s').parse::<f64>();
    let fits = number.ok().filter(|n| (0.1..=1e6).contains(n));
    fits.ok_or_else(|| "write a number of seconds from 0.1 to 1000000".into())
}

impl Watch {
    /// Waits until a task has caught up.
    pub(super) fn until_caught_up(task_id: &str, timeout: Option<f64>) -> Self {
        Self { task_id: task_id.to_owned(), interval: 1.0, until_caught_up: true, timeout }
    }

    /// Follows the task. `form`: how each look is printed, if it is.
    pub(super) async fn run(
        &self,
        client: &Client,
        form: Option<OutputFormat>,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        // One for all looks: an interrupt may come while the server is asked.
        let mut interrupt = pin!(tokio::signal::ctrl_c());
        let mut goal = Goal::default();
        let mut last: Option<(Instant, Rows)> = None;
        loop {
            let task = &client.get(&path_of(&self.task_id)).await?;
            let rows = rows::of_task(&client.metrics().await?, &self.task_id);
            let speed = last.map(|(at, before)| speed(before, rows, at.elapsed()));
            last = Some((Instant::now(), rows));
            if let Some(form) = form {
                self.show(form, task, rows, speed.unwrap_or_default());
            }
            if self.until_caught_up {
                if task["state"] == "Paused" {
                    let what = format!("the task is paused: {}", output::why(task));
                    return Err(Failure::new(Outcome::Refused, what));
                }
                if goal.reached(&task["status"], began.elapsed()) {
                    return all_in_step(&task["status"]);
                }
            }
            let pause = Duration::from_secs_f64(self.interval);
            let left =
                self.timeout.map(|t| Duration::from_secs_f64(t).saturating_sub(began.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Failure::new(Outcome::TooLate, "the time is up"));
            }
            tokio::select! {
                _ = &mut interrupt => return self.interrupted(),
                () = tokio::time::sleep(left.map_or(pause, |left| left.min(pause))) => {}
            }
        }
    }

    /// An interrupt is the ordinary end of a watch, but nothing that was waited for is there.
    fn interrupted(&self) -> Result<(), Failure> {
        match self.until_caught_up {
            true => Err(Failure::new(Outcome::TooLate, "interrupted before it had caught up")),
            false => Ok(()),
        }
    }

    fn show(&self, form: OutputFormat, task: &Value, rows: Rows, speed: Rows) {
        let status = &task["status"];
        let why = output::why(task);
        if form == OutputFormat::Json {
            let line = json!({
                "task_id": self.task_id,
                "at_ms": status["at_ms"],
                "state": task["state"],
                "stage": status["stage"],
                "lag_seconds": status["lag_seconds"],
                "rows_read": rows.read,
                "rows_written": rows.written,
                "rows_read_per_second": speed.read,
                "rows_written_per_second": speed.written,
                "reason": why,
                "channels": status["channels"],
                "out_of_step": status["out_of_step"],
            });
            println!("{line}");
            return;
        }
        let tick = status["channels"].as_array().into_iter().flatten();
        let tick = tick.filter_map(|c| c["acknowledged_ms"].as_u64()).min();
        println!(
            "{:<8} {:<9} lag {:>8}  tick {:<13}  read {:>9.0} rows/s  written {:>9.0} rows/s  \
             total {:.0}  {why}",
            output::text(&task["state"]),
            output::text(&status["stage"]),
            output::lag(&status["lag_seconds"]),
            tick.map(|t| t.to_string()).unwrap_or_default(),
            speed.read,
            speed.written,
            rows.written,
        );
    }
}

fn all_in_step(status: &Value) -> Result<(), Failure> {
    let out = output::items(&status["out_of_step"]);
    if out.is_empty() {
        return Ok(());
    }
    let told = |it: &Value| {
        format!("{}: {}", output::text(&it["collection"]), output::text(&it["reason"]))
    };
    let told: Vec<_> = out.iter().map(told).collect();
    let what = format!("collections are out of step; {}", told.join("; "));
    Err(Failure::new(Outcome::OutOfStep, what))
}

fn speed(before: Rows, now: Rows, time: Duration) -> Rows {
    let seconds = time.as_secs_f64().max(0.001);
    let per_second = |a: f64, b: f64| ((b - a) / seconds).max(0.0);
    Rows {
        read: per_second(before.read, now.read),
        written: per_second(before.written, now.written),
    }
}

/// The end of each channel at the first look at the queue after the watch began.
#[derive(Debug, Default)]
struct Goal {
    began_ms: Option<u64>,
    ends: BTreeMap<String, u64>,
}

impl Goal {
    fn reached(&mut self, status: &Value, watched: Duration) -> bool {
        let at = status["at_ms"].as_u64();
        let Some(began) = self.began_ms.or(at) else { return false };
        self.began_ms = Some(began);
        let channels = status["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
        if channels.is_empty() {
            let runs = status["stage"] == "running" && status["waiting"].is_null();
            return runs && watched >= CHANNELS_WITHIN;
        }
        for channel in channels {
            let looked = channel["looked_ms"].as_u64().is_some_and(|looked| looked > began);
            if let (true, Some(end)) = (looked, channel["source_ms"].as_u64()) {
                self.ends.entry(output::text(&channel["channel_name"])).or_insert(end);
            }
        }
        channels.iter().all(|channel| {
            let goal = self.ends.get(&output::text(&channel["channel_name"]));
            let acknowledged = channel["acknowledged_ms"].as_u64();
            matches!((goal, acknowledged), (Some(goal), Some(done)) if done >= *goal)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(at: u64, looked: u64, source: u64, acknowledged: u64) -> Value {
        json!({
            "stage": "running", "waiting": null, "at_ms": at,
            "channels": [{
                "channel_name": "c", "looked_ms": looked, "source_ms": source,
                "acknowledged_ms": acknowledged,
            }],
        })
    }

    #[test]
    fn a_task_has_caught_up_with_an_end_that_was_read_after_the_watch_began() {
        let mut goal = Goal::default();
        let second = Duration::from_secs(1);
        assert!(
            !goal.reached(&status(1000, 900, 500, 500), second),
            "the look was before the watch"
        );
        assert!(!goal.reached(&status(2000, 1900, 1800, 1700), second));
        assert!(!goal.reached(&status(3000, 2900, 2800, 1799), second));
        assert!(goal.reached(&status(4000, 3900, 3800, 1800), second), "the goal does not move");
    }

    #[test]
    fn what_is_out_of_step_has_an_exit_code_of_its_own() {
        assert!(all_in_step(&json!({"out_of_step": []})).is_ok());
        let status = json!({"out_of_step": [{"collection": "d.c", "reason": "drop it there"}]});
        let failure = all_in_step(&status).unwrap_err();
        assert_eq!(failure.outcome, Outcome::OutOfStep);
        assert!(failure.what.contains("d.c: drop it there"), "{}", failure.what);
    }

    #[test]
    fn a_task_without_channels_has_caught_up_after_the_time_to_open_them() {
        let mut goal = Goal::default();
        let status = json!({"stage": "running", "waiting": null, "at_ms": 1, "channels": []});
        assert!(!goal.reached(&status, Duration::from_secs(1)));
        assert!(goal.reached(&status, Duration::from_secs(6)));
    }
}
