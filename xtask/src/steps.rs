//! Named steps in order, with the time that each took. Never goes on after a step that failed, and
//! never hides what a step prints.

use std::fs::File;
use std::io::{Seek as _, copy, stdout};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// What has been done so far.
pub(crate) struct Steps {
    begun: Instant,
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Nothing is done.
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), done: vec![] }
    }

    /// Does one step. A failure is told together with the times so far.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n=== {name}");
        let begun = Instant::now();
        let result = work();
        self.done.push((name.to_owned(), begun.elapsed()));
        result.inspect_err(|_| {
            println!("\n=== stopped at \"{name}\"");
            self.print_times();
        })
    }

    /// Runs Cargo as a step.
    pub(crate) fn cargo(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        self.step(name, || run(cargo().args(arguments)))
    }

    /// Runs programs at the same time, each as a step. The output of the first is seen as it comes,
    /// that of a later one when it and all before it have ended. None is ended because another has
    /// failed, and each failure is told. They cannot outlive us.
    pub(crate) fn side_by_side(&mut self, programs: Vec<(&str, Command)>) -> Result<()> {
        let names: Vec<&str> = programs.iter().map(|(name, _)| *name).collect();
        println!("\n=== {}", names.join("\n=== beside it: "));
        let failures = thread::scope(|scope| {
            let mut running = vec![];
            for (number, (name, command)) in programs.into_iter().enumerate() {
                println!("$ {}", shown(&command));
                let output = if number == 0 { None } else { Some(tempfile::tempfile()?) };
                let kept = output.as_ref().map(File::try_clone).transpose()?;
                // The kernel ends a program with the thread that has started it.
                running.push((name, output, scope.spawn(move || timed(&command, kept))));
            }
            let mut failures = vec![];
            for (name, output, program) in running {
                let (time, ended) = program.join().map_err(|_| format!("{name}: lost"))?;
                if let Some(mut output) = output {
                    println!("\n=== what \"{name}\" has printed");
                    output.rewind()?;
                    copy(&mut output, &mut stdout())?;
                }
                self.done.push((name.to_owned(), time));
                failures.extend(ended.err().map(|failure| format!("{name}: {failure}")));
            }
            Result::Ok(failures)
        })?;
        if failures.is_empty() {
            return Ok(());
        }
        println!("\n=== stopped at \"{}\"", names.join("\" and \""));
        self.print_times();
        Err(failures.join("\n").into())
    }

    /// The time of each step, and of all of them, which is less than their sum where some ran side by
    /// side.
    pub(crate) fn print_times(&self) {
        println!();
        for (name, time) in &self.done {
            println!("{:>4} min {:02} s  {name}", time.as_secs() / 60, time.as_secs() % 60);
        }
        let all = self.begun.elapsed();
        println!("{:>4} min {:02} s  in all", all.as_secs() / 60, all.as_secs() % 60);
    }
}

/// The Cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end, its output into a file if there is one.
fn timed(command: &Command, output: Option<File>) -> (Duration, std::result::Result<(), String>) {
    let begun = Instant::now();
    let run = || {
        let mut mortal = lab::mortal(command.get_program());
        mortal.args(command.get_args()).stdin(Stdio::null());
        if let Some(output) = output {
            mortal.stderr(output.try_clone()?).stdout(output);
        }
        mortal.status()
    };
    let ended = match run() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    };
    (begun.elapsed(), ended)
}

/// Runs a command to its end; that it fails is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    println!("$ {shown}");
    let status = command.status().map_err(|error| format!("{shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}").into()) }
}

/// The same, and what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    println!("$ {shown}");
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{shown}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("{shown}: {}\n{text}", output.status).into())
    }
}

fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or_default()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn programs_run_side_by_side_and_none_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        // Either waits for the other, and so they end only if they run at the same time.
        let meet = |mine: &std::path::Path, other: &std::path::Path| {
            let (mine, other) = (mine.display(), other.display());
            let look = format!("[ -e {other} ] && exit; sleep 0.01");
            shell(&format!("touch {mine}; for look in $(seq 2000); do {look}; done; exit 1"))
        };
        let mut steps = Steps::begin();
        let both = vec![("a", meet(&first, &second)), ("b", meet(&second, &first))];
        steps.side_by_side(both).unwrap();
        assert_eq!(steps.done.len(), 2);
    }

    #[test]
    fn each_failure_is_told() {
        let mut steps = Steps::begin();
        let programs = vec![("a", shell("exit 3")), ("b", shell("")), ("c", shell("exit 4"))];
        let failures = steps.side_by_side(programs).unwrap_err().to_string();
        assert_eq!(failures, "a: exit status: 3\nc: exit status: 4");
        assert_eq!(steps.done.len(), 3);
    }
}
