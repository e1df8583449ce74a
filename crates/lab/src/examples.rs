//! Runs the programs of `examples/` as a user runs them: the files themselves, with what they need
//! installed and nothing in their environment but what the caller sets. Never changes one of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::install;
use crate::processes::tool;

/// Where they are.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

/// None of them takes longer in a test: they end when there is no more to do.
const END_WITHIN: Duration = Duration::from_secs(120);

/// The programs of `examples/`, ready to run.
#[derive(Debug, Clone)]
pub struct Examples {
    python: PathBuf,
}

impl Examples {
    /// Installs what they need if it is missing.
    ///
    /// # Errors
    /// If something cannot be installed.
    pub fn install() -> Result<Self> {
        Ok(Self { python: install::install_example_packages()? })
    }

    /// A file of the folder.
    pub fn file(name: &str) -> PathBuf {
        Path::new(FOLDER).join(name)
    }

    /// Runs one to its end: a file such as `python/task.py`, or a program that Cargo has built from
    /// `rust/`, such as `example-task`.
    ///
    /// # Errors
    /// If it cannot be started, or takes too long.
    pub fn run(
        &self,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Output> {
        let file = Self::file(program);
        let mut command = match file.extension().and_then(|extension| extension.to_str()) {
            Some("py") => Command::new(&self.python),
            Some(_) => Command::new(&file),
            None => Command::new(built_program(program)?),
        };
        if program.ends_with(".py") {
            command.arg(file);
        }
        let inherited = std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME");
        // Python would leave compiled files beside the examples.
        command.env_clear().env("PYTHONDONTWRITEBYTECODE", "1");
        command.envs(inherited).envs(environment.iter().copied()).args(arguments);
        tool::output(&mut command, END_WITHIN)
    }
}

/// A program of this workspace: what Cargo has built beside the running program.
///
/// # Errors
/// If it is not there.
pub fn built_program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().unwrap_or_default();
    // Tests and examples lie one folder deeper than programs.
    let mut folders = this.ancestors().skip(1).take(2);
    folders.find_map(|folder| Some(folder.join(name)).filter(|it| it.is_file())).ok_or_else(|| {
        let beside = this.display();
        Error::new(format!("{name} is not built beside {beside}: `cargo build --bin {name}` first"))
    })
}
