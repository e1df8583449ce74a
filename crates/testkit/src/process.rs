//! Runs a program of ours as a child that cannot outlive us, and says what it uses. Never parses
//! what it prints.

pub use lab::{Usage, usage_of, usage_of_this};

use anyhow::{Result, anyhow, bail, ensure};
use std::env::var_os;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A running or ended child: a process of the lab with our arguments, which has to end when it is
/// asked. Dropped, it is killed.
#[derive(Debug)]
pub struct Process(lab::Process);

impl Process {
    /// Starts `program`, its output appended to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> Result<Self> {
        Self::start_with(program, arguments, &[], log)
    }

    /// The same with something in its environment, where there is little else.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_with(
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Self> {
        ensure!(program.is_file(), "{} is not built", program.display());
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let mut command = lab::mortal(program);
        command
            .args(arguments)
            .envs(["HOME", "TMPDIR"].iter().filter_map(|key| Some((key, var_os(key)?))))
            .envs(environment.iter().cloned());
        Ok(Self(lab::Process::start(&name, command, log)?))
    }

    /// Asks it to end (SIGTERM) and waits for that; kills it and fails if it takes longer than
    /// `grace`.
    ///
    /// # Errors
    /// If it had to be killed.
    pub fn stop(&mut self, grace: Duration) -> Result<()> {
        if self.0.stop(grace)? {
            return Ok(());
        }
        bail!("{} did not end within {grace:?}; end of its log:\n{}", self.name(), self.log_tail())
    }
}

impl Deref for Process {
    type Target = lab::Process;

    fn deref(&self) -> &lab::Process {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut lab::Process {
        &mut self.0
    }
}

/// A program of this workspace: the path in the variable if it is set, else what Cargo has built
/// beside the running program.
///
/// # Errors
/// If it is not there.
pub fn built_program(name: &str, variable: &str) -> Result<PathBuf> {
    match std::env::var_os(variable) {
        Some(path) => Ok(path.into()),
        None => lab::built_program(name).map_err(|error| anyhow!("{error}, or set {variable}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Process {
        Process::start(Path::new("/bin/sleep"), &["600"], &folder.join("log")).unwrap()
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it_and_ends_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let mut child = std::thread::spawn(move || sleeper(&path)).join().unwrap();
        child.must_run().unwrap();
        assert!(child.usage().unwrap().peak_bytes > 0);
        child.freeze().unwrap();
        child.stop(Duration::from_secs(5)).unwrap();
        assert!(!child.is_running());
        assert!(child.must_run().is_err());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Process::start(Path::new("/no/such/program"), &[], &folder.path().join("log"));
        assert!(error.unwrap_err().to_string().contains("/no/such/program"));
        let error = built_program("no-such-program", "NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert!(error.contains("cargo build --bin no-such-program"), "{error}");
    }
}
