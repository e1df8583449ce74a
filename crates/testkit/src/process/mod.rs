//! Runs a program of ours as a child that cannot outlive us, and says what it uses. Never parses
//! what it prints.

mod spawner;
mod usage;

pub use usage::{Usage, usage_of, usage_of_this};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::env::var_os;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A killed process is gone at once, unless the kernel is busy writing for it.
const DEATH_WITHIN: Duration = Duration::from_secs(20);

/// How often a blocked thread looks whether a child has ended.
const END_PAUSE: Duration = Duration::from_millis(10);

/// How much of a log an error shows.
const LOG_TAIL_BYTES: usize = 3000;

/// A running or ended child. Dropped, it is killed. Its calls block, if at all, for moments.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

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
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        ensure!(program.is_file(), "{} is not built", program.display());
        let open = || File::options().create(true).append(true).open(log);
        let output = open().with_context(|| format!("open {}", log.display()))?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            // Not inherited: what is tested must not depend on who runs the tests.
            .env_clear()
            .envs(["PATH", "HOME", "TMPDIR"].iter().filter_map(|key| Some((key, var_os(key)?))))
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output);
        let child = spawner::spawn(command).with_context(|| format!("start {name}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it uses.
    ///
    /// # Errors
    /// If it has ended.
    pub fn usage(&self) -> Result<Usage> {
        usage_of(self.pid())
    }

    /// Fails, showing the end of the log, if it has ended.
    ///
    /// # Errors
    /// If it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            ended => {
                bail!("{} has ended ({ended:?}); end of its log:\n{}", self.name, self.log_tail())
            }
        }
    }

    /// The end of its output.
    pub fn log_tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let from = bytes.len().saturating_sub(LOG_TAIL_BYTES);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// Ends it at once, as a crash would (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        ensure!(self.has_ended_within(DEATH_WITHIN), "{} does not die", self.name);
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for that; kills it and fails if it takes longer than
    /// `grace`.
    ///
    /// # Errors
    /// If it had to be killed.
    pub fn stop(&mut self, grace: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        // A frozen process hears nothing else.
        self.signal(Signal::CONT)?;
        if self.has_ended_within(grace) {
            return Ok(());
        }
        let tail = self.log_tail();
        self.kill()?;
        bail!("{} did not end within {grace:?}; end of its log:\n{tail}", self.name)
    }

    /// Makes it stand still (SIGSTOP).
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn thaw(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Does nothing to a process that has ended, whose id may be another's by now.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{} has no process id", self.name))?;
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name))
    }

    fn has_ended_within(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while self.is_running() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(END_PAUSE);
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell; the kernel's own guard remains.
        let _ = self.kill();
    }
}

/// A program of this workspace: the path in the variable if it is set, else what Cargo has built
/// beside the running program.
///
/// # Errors
/// If it is not there.
pub fn built_program(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let this = std::env::current_exe().context("find the running program")?;
    // Tests and examples lie one folder deeper than programs.
    let found =
        this.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|it| it.is_file());
    found.with_context(|| {
        format!(
            "{name} is not built beside {}: `cargo build --bin {name}` first, or set {variable}",
            this.display()
        )
    })
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
