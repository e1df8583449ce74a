//! Named steps in order, with the time that each took and what its tests reported. Never goes on
//! after a step that failed, and never hides what a step prints.

use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::cargo::cargo;
use crate::command::{self, Result, shown};
use crate::suites::Suite;
use crate::test_programs::{self, Report};

/// How many of the slowest tests are shown.
const SLOWEST: usize = 10;

/// What has been done so far.
pub(crate) struct Steps {
    begun: Instant,
    done: Vec<(String, Duration)>,
    tests: Report,
    /// Printed before each line of a test program, where several run side by side.
    lane: Option<&'static str>,
}

type Work<'a> = Box<dyn FnOnce(&mut Steps) -> Result<()> + Send + 'a>;

/// Steps that run in order, beside other lanes.
pub(crate) struct Lane<'a> {
    /// One word, printed before each line.
    pub(crate) name: &'static str,
    /// Its steps.
    pub(crate) run: Work<'a>,
}

/// Work that another thread does meanwhile, and the time it took.
pub(crate) type Meanwhile<'scope> = ScopedJoinHandle<'scope, (Duration, Result<()>)>;

impl Steps {
    /// Does all steps of a command and prints a summary, even if one of them fails.
    pub(crate) fn all(work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let mut steps = Self::begin(None);
        let result = work(&mut steps);
        steps.print_summary();
        result
    }

    fn begin(lane: Option<&'static str>) -> Self {
        Self { begun: Instant::now(), done: vec![], tests: Report::default(), lane }
    }

    /// Does one step.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.noting(name, |_| work())
    }

    /// Runs Cargo as a step.
    pub(crate) fn cargo(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        self.step(name, || command::run(cargo().args(arguments)))
    }

    /// Runs test programs as a step.
    pub(crate) fn tests(&mut self, suite: &Suite) -> Result<()> {
        self.noting(suite.name, |steps| {
            let command = suite.command();
            println!("{}$ {}", steps.prefix(), shown(&command));
            let prefix = steps.prefix();
            let print = |line: &str| println!("{prefix}{line}");
            let (report, ended) = test_programs::run(&command, suite.threads, print);
            steps.tests.add(report);
            ended
        })
    }

    /// Waits for what another thread has been doing, and counts it as a step.
    pub(crate) fn join(&mut self, name: &str, work: Meanwhile<'_>) -> Result<()> {
        let waited = Instant::now();
        let (time, result) = work.join().map_err(|_| format!("{name}: the thread panicked"))?;
        println!("\n=== {name}: waited {}", minutes(waited.elapsed()));
        self.done.push((format!("{name}, meanwhile"), time));
        result
    }

    /// Runs lanes at the same time. None is ended because another has failed, and each failure is
    /// reported.
    pub(crate) fn side_by_side(&mut self, lanes: Vec<Lane<'_>>) -> Result<()> {
        let failures = thread::scope(|scope| {
            let mut running = vec![];
            for Lane { name, run } in lanes {
                let lane = scope.spawn(move || {
                    let mut steps = Self::begin(Some(name));
                    let result = run(&mut steps);
                    (steps, result)
                });
                running.push((name, lane));
            }
            let mut failures = vec![];
            for (name, lane) in running {
                let (steps, result) = lane.join().map_err(|_| format!("{name}: panicked"))?;
                let done = steps.done.into_iter();
                self.done.extend(done.map(|(step, time)| (format!("{step} ({name})"), time)));
                self.tests.add(steps.tests);
                failures.extend(result.err().map(|error| format!("{name}: {error}")));
            }
            Result::Ok(failures)
        })?;
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
    }

    fn noting(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        println!("\n{}=== {name}", self.prefix());
        let begun = Instant::now();
        let result = work(self);
        let time = begun.elapsed();
        self.done.push((name.to_owned(), time));
        let ended = if result.is_ok() { "done" } else { "failed" };
        println!("{}=== {name}: {ended} after {}", self.prefix(), minutes(time));
        result
    }

    fn prefix(&self) -> String {
        self.lane.map(|lane| format!("{lane:>7} | ")).unwrap_or_default()
    }

    /// The time of each step and of all of them, which is less than their sum where some ran side
    /// by side; the slowest tests; and the failed ones, with the command that runs each alone.
    fn print_summary(&self) {
        println!("\n=== time of each step");
        for (name, time) in &self.done {
            println!("{}  {name}", minutes(*time));
        }
        println!("{}  in all", minutes(self.begun.elapsed()));
        let slowest = self.tests.slowest(SLOWEST);
        if !slowest.is_empty() {
            println!("\n=== the slowest tests");
        }
        for (test, time) in slowest {
            println!("{}  {test}", minutes(time));
        }
        for failure in self.tests.failures() {
            println!("\n=== failed: {}\n    alone:  {}", failure.test, failure.command());
        }
    }
}

/// Begins work on a thread of its own.
pub(crate) fn meanwhile<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    work: impl FnOnce() -> Result<()> + Send + 'scope,
) -> Meanwhile<'scope> {
    let begun = Instant::now();
    scope.spawn(move || {
        let result = work();
        (begun.elapsed(), result)
    })
}

fn minutes(time: Duration) -> String {
    format!("{:>4} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::command::run;

    fn shell<'a>(name: &'static str, script: String) -> Lane<'a> {
        let run = move |steps: &mut Steps| {
            steps.step(name, || run(Command::new("sh").args(["-c", &script])))
        };
        Lane { name, run: Box::new(run) }
    }

    #[test]
    fn lanes_run_side_by_side_and_none_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        // Either waits for the other, and so they end only if they run at the same time.
        let meet = |mine: &std::path::Path, other: &std::path::Path| {
            let (mine, other) = (mine.display(), other.display());
            let look = format!("[ -e {other} ] && exit; sleep 0.01");
            format!("touch {mine}; for look in $(seq 2000); do {look}; done; exit 1")
        };
        let mut steps = Steps::begin(None);
        let lanes = [("a", meet(&first, &second)), ("b", meet(&second, &first))];
        steps.side_by_side(lanes.map(|(name, script)| shell(name, script)).into()).unwrap();
        assert_eq!(steps.done.len(), 2);
    }

    #[test]
    fn each_failure_is_reported() {
        let mut steps = Steps::begin(None);
        let lanes = [("a", "exit 3"), ("b", ""), ("c", "exit 4")];
        let lanes = lanes.map(|(name, script)| shell(name, script.into()));
        let failures = steps.side_by_side(lanes.into()).unwrap_err().to_string();
        assert_eq!(failures, "a: sh -c exit 3: exit status: 3\nc: sh -c exit 4: exit status: 4");
        assert_eq!(steps.done.len(), 3);
    }

    #[test]
    fn what_was_done_meanwhile_counts_as_a_step_and_its_failure_ends_the_command() {
        let mut steps = Steps::begin(None);
        let failure = thread::scope(|scope| {
            let work = meanwhile(scope, || Err("no network".into()));
            steps.join("servers", work).unwrap_err()
        });
        assert_eq!(failure.to_string(), "no network");
        assert_eq!(steps.done.len(), 1);
    }
}
