//! Named steps in order, with the time that each took. Never goes on after a step that failed, and
//! never hides what a step prints.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// What has been done so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
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

    /// The time of each step.
    pub(crate) fn print_times(&self) {
        println!();
        for (name, time) in &self.done {
            println!("{:>4} min {:02} s  {name}", time.as_secs() / 60, time.as_secs() % 60);
        }
        let all: Duration = self.done.iter().map(|(_, time)| *time).sum();
        println!("{:>4} min {:02} s  in all", all.as_secs() / 60, all.as_secs() % 60);
    }
}

/// The Cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
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
