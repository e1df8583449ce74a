//! Runs test programs through Cargo, follows what they print and learns from it how long each test
//! took and which failed. Never changes what they print, and never runs a test twice.

use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Result, shown};

/// In front of the seed by which a failed test can be repeated: `SIM_SEED=17: a row is missing`.
const SEED: &str = "SIM_SEED=";

/// What the test programs have reported.
#[derive(Default)]
pub(crate) struct Report {
    times: Vec<(String, Duration)>,
    failures: Vec<Failure>,
}

/// A test that failed.
#[derive(Clone)]
pub(crate) struct Failure {
    /// Its name.
    pub(crate) test: String,
    /// What Cargo needs to find its program.
    program: String,
    seed: Option<String>,
}

impl Report {
    /// Takes in another one.
    pub(crate) fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.failures.extend(other.failures);
    }

    /// The tests that took longest, longest first.
    pub(crate) fn slowest(&self, most: usize) -> Vec<(String, Duration)> {
        let mut times = self.times.clone();
        times.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        times.truncate(most);
        times
    }

    /// The tests that failed.
    pub(crate) fn failures(&self) -> &[Failure] {
        &self.failures
    }
}

impl Failure {
    /// A line for the shell that runs the test alone.
    pub(crate) fn command(&self) -> String {
        let seed = self.seed.as_ref().map(|seed| format!("{SEED}{seed} ")).unwrap_or_default();
        let (program, test) = (&self.program, &self.test);
        format!("{seed}cargo test --workspace {program} -- --exact --nocapture '{test}'")
    }
}

/// Runs a command of Cargo that runs test programs, handing each line that they print to `print`.
/// The programs cannot outlive us.
pub(crate) fn run(command: &Command, threads: usize, print: impl Fn(&str)) -> (Report, Result<()>) {
    let mut log = Log::new(threads);
    let ended = follow(command, |line| {
        print(line);
        log.line(line, Instant::now());
    });
    (log.report, ended)
}

fn follow(command: &Command, mut each: impl FnMut(&str)) -> Result<()> {
    let (reader, writer) = io::pipe()?;
    let mut child = {
        let mut mortal = lab::mortal(command.get_program());
        mortal.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => mortal.env(name, value),
                None => mortal.env_remove(name),
            };
        }
        // Both into one, so that lines keep their order.
        mortal.stdin(Stdio::null()).stderr(writer.try_clone()?).stdout(writer);
        mortal.spawn()?
        // Dropped here with its ends of the pipe, which would never be closed otherwise.
    };
    for line in BufReader::new(reader).split(b'\n') {
        each(&String::from_utf8_lossy(&line?));
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(command)).into()) }
}

/// What was understood of the lines so far.
struct Log {
    threads: usize,
    /// What Cargo needs to find the program that runs.
    program: String,
    begun: Instant,
    /// The tests of this program that have ended, in this order.
    ended: Vec<(String, Instant)>,
    /// A test whose line something else was printed into.
    begun_line: Option<String>,
    /// The failed test whose output is being printed.
    shown: Option<String>,
    report: Report,
}

impl Log {
    fn new(threads: usize) -> Self {
        Self {
            threads,
            program: String::new(),
            begun: Instant::now(),
            ended: vec![],
            begun_line: None,
            shown: None,
            report: Report::default(),
        }
    }

    fn line(&mut self, line: &str, now: Instant) {
        if let Some(program) = program(line) {
            self.program = program;
        } else if line.starts_with("running ") {
            (self.begun, self.ended, self.begun_line, self.shown) = (now, vec![], None, None);
        } else if line.starts_with("test result: ") {
            self.finish();
        } else if let Some((test, rest)) = line.strip_prefix("test ").and_then(split_test) {
            self.begun_line = Some(test.to_owned());
            self.result(rest, now);
        } else if let Some(test) = line.strip_prefix("---- ") {
            self.shown = test.strip_suffix(" stdout ----").map(str::to_owned);
        } else if let Some((_, seed)) = line.split_once(SEED) {
            self.seed(seed);
        } else {
            self.result(line, now);
        }
    }

    /// The end of a test, if the rest of its line says so.
    fn result(&mut self, rest: &str, now: Instant) {
        let result = rest.split([' ', ',']).next_back().unwrap_or_default();
        let is_ignored = rest.starts_with("ignored");
        if !is_ignored && !matches!(result, "ok" | "FAILED") {
            return;
        }
        let Some(test) = self.begun_line.take() else { return };
        if result == "FAILED" {
            let program = self.program.clone();
            self.report.failures.push(Failure { test: test.clone(), program, seed: None });
        }
        self.ended.push((test, now));
    }

    fn seed(&mut self, text: &str) {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        let Some(shown) = &self.shown else { return };
        let failure = self.report.failures.iter_mut().rfind(|failure| failure.test == *shown);
        if let Some(failure) = failure.filter(|_| !digits.is_empty()) {
            failure.seed.get_or_insert(digits);
        }
    }

    /// Counts the times of a program. Nothing prints when a test begins, but it is known: tests
    /// begin in the order of their names, as many as there are threads, and the next whenever one
    /// ends.
    fn finish(&mut self) {
        let mut by_name: Vec<_> = self.ended.iter().collect();
        by_name.sort();
        for (turn, (test, end)) in by_name.into_iter().enumerate() {
            let begun = match turn.checked_sub(self.threads) {
                None => self.begun,
                Some(before) => self.ended[before].1,
            };
            let name = format!("{test} ({})", self.program);
            self.report.times.push((name, end.saturating_duration_since(begun)));
        }
        self.ended.clear();
    }
}

/// The name of a test and what follows on its line. Documentation has names with spaces.
fn split_test(line: &str) -> Option<(&str, &str)> {
    line.split_once(" ... ").or_else(|| Some((line.strip_suffix(" ...")?, "")))
}

/// What Cargo needs to find the program of which it says that it runs:
/// `     Running tests/http/main.rs (target/debug/deps/http-9a849bcba67d6d5a)`.
fn program(line: &str) -> Option<String> {
    if line.trim_start().starts_with("Doc-tests ") {
        return Some("--doc".into());
    }
    let source = line.trim_start().strip_prefix("Running ")?.split(" (").next()?;
    match source.strip_prefix("tests/") {
        Some(test) => Some(format!("--test {}", test.split(['/', '.']).next()?)),
        None if source == "unittests src/lib.rs" => Some("--lib".into()),
        None => source.starts_with("unittests ").then(|| "--bins".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads lines, each with the second in which it is printed.
    fn read(threads: usize, lines: &[(u64, &str)]) -> Report {
        let mut log = Log::new(threads);
        let begun = Instant::now();
        for (second, line) in lines {
            log.line(line, begun + Duration::from_secs(*second));
        }
        log.report
    }

    fn seconds(report: &Report) -> Vec<(&str, u64)> {
        report.times.iter().map(|(test, time)| (&**test, time.as_secs())).collect()
    }

    #[test]
    fn tests_in_turn_begin_when_the_one_before_has_ended() {
        let report = read(
            1,
            &[
                (0, "     Running tests/replication/main.rs (target/debug/deps/replication-86)"),
                (10, "running 3 tests"),
                (15, "test a::one ... ok"),
                (16, "test a::two ... ignored, for later"),
                (30, "test b ... something that a server has printed"),
                (31, "test b has been running for over 60 seconds"),
                (36, "ok"),
                (36, "test result: ok. 2 passed; 0 failed; 1 ignored"),
            ],
        );
        let expected = [
            ("a::one (--test replication)", 5),
            ("a::two (--test replication)", 1),
            ("b (--test replication)", 20),
        ];
        assert_eq!(seconds(&report), expected);
        assert_eq!(report.slowest(1)[0].0, "b (--test replication)");
    }

    #[test]
    fn tests_on_two_threads_begin_whenever_one_has_ended() {
        let report = read(
            2,
            &[
                (0, "     Running unittests src/lib.rs (target/debug/deps/server-244)"),
                (0, "running 4 tests"),
                (3, "test b ... ok"),
                (4, "test c ... ok"),
                (9, "test d ... ok"),
                (10, "test a ... ok"),
                (10, "test result: ok. 4 passed"),
            ],
        );
        let expected = [("a (--lib)", 10), ("b (--lib)", 3), ("c (--lib)", 1), ("d (--lib)", 5)];
        assert_eq!(seconds(&report), expected);
    }

    #[test]
    fn a_failed_test_is_named_with_its_seed_and_the_command_that_runs_it_alone() {
        let report = read(
            2,
            &[
                (0, "     Running tests/simulation/main.rs (target/debug/deps/simulation-ca)"),
                (0, "running 2 tests"),
                (1, "test late_messages_are_not_lost ... FAILED"),
                (2, "test a_quiet_world ... FAILED"),
                (2, "failures:"),
                (2, "---- late_messages_are_not_lost stdout ----"),
                (2, "thread 'late_messages_are_not_lost' panicked at simulation/main.rs:55:"),
                (2, "SIM_SEED=17: a row is missing"),
                (2, "---- a_quiet_world stdout ----"),
                (2, "a world without a seed"),
                (2, "test result: FAILED. 0 passed; 2 failed"),
                (3, "   Doc-tests lab"),
                (3, "running 1 test"),
                (4, "test crates/lab/src/lib.rs - (line 10) - compile ... FAILED"),
                (4, "test result: FAILED. 0 passed; 1 failed"),
            ],
        );
        let commands: Vec<String> = report.failures().iter().map(Failure::command).collect();
        let alone = "-- --exact --nocapture";
        let expected = [
            format!(
                "SIM_SEED=17 cargo test --workspace --test simulation {alone} \
                 'late_messages_are_not_lost'"
            ),
            format!("cargo test --workspace --test simulation {alone} 'a_quiet_world'"),
            format!(
                "cargo test --workspace --doc {alone} 'crates/lab/src/lib.rs - (line 10) - compile'"
            ),
        ];
        assert_eq!(commands, expected);
    }

    #[test]
    fn every_line_is_handed_on_in_order_and_an_exit_code_is_an_error() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let lines = std::cell::RefCell::new(vec![]);
        let (_, ended) = run(&shell, 1, |line| lines.borrow_mut().push(line.to_owned()));
        assert_eq!(*lines.borrow(), ["one", "two", "three"]);
        assert!(ended.unwrap_err().to_string().ends_with("exit status: 3"));
    }
}
