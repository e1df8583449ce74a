//! One running program: signals, end, usage. Dropping it kills it; it never outlives us.

use crate::error::{Error, Result, While};
use crate::processes::procfs::{self, Usage};
use crate::processes::spawner;
use crate::wait;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A killed process is gone at once, unless the kernel is busy writing for it.
const DEATH_WITHIN: Duration = Duration::from_secs(20);

/// A thread stops when it leaves the kernel, which may be writing for it.
const STILL_WITHIN: Duration = Duration::from_secs(10);

/// How much of a log an error shows.
const LOG_TAIL_BYTES: usize = 3000;

/// A running or ended program with its output in one log file. Dropped, it is killed. Its calls
/// block, if at all, for moments.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    litter: Vec<PathBuf>,
}

impl Process {
    /// Starts `command`, made by [`spawner::mortal`], its output appended to `log`. Of the
    /// environment only `PATH` is inherited: what is tested must not pick up settings of whoever
    /// runs the tests.
    ///
    /// # Errors
    /// If it cannot be started. A program that is not there is found out by the child: its log
    /// says so.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .while_doing(|| format!("open {}", log.display()))?;
        let err = out.try_clone().while_doing(|| format!("share {}", log.display()))?;
        let chosen: Vec<_> = command
            .get_envs()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(chosen)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let child = spawner::spawn(command).while_doing(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned(), litter: vec![] })
    }

    /// The same for a server that has `folder` for itself.
    pub(crate) fn start_in(folder: &Path, name: &str, mut command: Command) -> Result<Self> {
        let scratch = folder.join("tmp");
        fs::create_dir_all(&scratch).while_doing(|| format!("create {}", scratch.display()))?;
        command
            .env("HOME", folder)
            .env("TMPDIR", &scratch)
            .current_dir(folder)
            // A Ctrl-C in the terminal is for us; the servers are stopped in order.
            .process_group(0);
        Self::start(name, command, &folder.join(format!("{name}.log")))
    }

    /// Files outside its folder that the program itself does not remove.
    pub(crate) fn remove_at_end(&mut self, litter: Vec<PathBuf>) {
        self.litter = litter;
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The end of its output.
    pub fn log_tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let from = bytes.len().saturating_sub(LOG_TAIL_BYTES);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// What it uses.
    ///
    /// # Errors
    /// If it has ended.
    pub fn usage(&self) -> Result<Usage> {
        procfs::usage_of(self.pid())
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Fails, showing the end of the log, if the process is no longer there.
    ///
    /// # Errors
    /// If it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            ended => Err(Error::new(format!(
                "{} ended by itself ({ended:?}); end of its log:\n{}",
                self.name,
                self.log_tail()
            ))),
        }
    }

    /// Does nothing to a process that has ended, whose id may be another's by now.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::new(format!("{} has no process id", self.name)))?;
        kill_process(pid, signal).while_doing(|| format!("signal {}", self.name))
    }

    /// Makes the process stand still (SIGSTOP), and returns when it does.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let what = format!("{} to stand still", self.name);
        wait::until(STILL_WITHIN, &what, || {
            Ok((!self.is_running() || procfs::is_frozen(self.pid())).then_some(()))
        })
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn thaw(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks the process to end (SIGTERM) and kills it if it has not within `grace`. Returns whether
    /// it ended when it was asked.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn stop(&mut self, grace: Duration) -> Result<bool> {
        self.signal(Signal::TERM)?;
        // A frozen process receives no other signal.
        self.thaw()?;
        match self.wait_end(grace) {
            Ok(()) => Ok(true),
            Err(_) => self.kill().map(|()| false),
        }
    }

    /// Ends the process at once, as a crash would (SIGKILL), and waits until it is gone.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait_end(DEATH_WITHIN)
    }

    fn wait_end(&mut self, within: Duration) -> Result<()> {
        let what = format!("the end of {}", self.name);
        wait::until(within, &what, || Ok((!self.is_running()).then_some(())))?;
        for file in self.litter.drain(..) {
            // It may have ended before writing it.
            let _ = fs::remove_file(file);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // There is no caller to report to; the kernel's own guard remains.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Process {
        let mut command = spawner::mortal("sleep");
        command.arg("600");
        Process::start_in(folder, "sleeper", command).unwrap()
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it_but_not_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let mut process = std::thread::spawn(move || sleeper(&path)).join().unwrap();
        process.must_run().unwrap();
        let pid = process.pid();
        assert!(procfs::is_alive(pid));
        drop(process);
        assert!(!procfs::is_alive(pid));
    }

    #[test]
    fn a_frozen_process_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sleeper(folder.path());
        process.freeze().unwrap();
        assert!(procfs::is_frozen(process.pid()));
        assert!(process.stop(Duration::from_secs(10)).unwrap());
        assert!(!process.is_running());
    }

    #[test]
    fn a_program_that_cannot_start_shows_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let command = spawner::mortal("no-such-program-anywhere");
        let mut process = Process::start_in(folder.path(), "nothing", command).unwrap();
        let error = wait::until::<()>(Duration::from_secs(10), "its end", || {
            process.must_run().map(|()| None)
        });
        assert!(error.unwrap_err().to_string().contains("no-such-program-anywhere"));
    }
}
