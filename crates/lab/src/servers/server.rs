//! The operations on any server of the lab. Never depends on which server it is.

use crate::error::{Error, Result, While};
use crate::processes::process::Process;
use crate::processes::procfs::Usage;
use crate::wait;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Enough for the slowest server on two busy cores; a healthy one needs a tenth of it.
pub const READY_WITHIN: Duration = Duration::from_secs(90);

/// A server that answers at all answers a health check in milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(crate) mod seal {
    //! Keeps the innards of a server out of the public trait.

    use crate::error::Result;
    use crate::processes::process::Process;

    /// What a server must provide to be handled by the lab.
    pub trait Inner {
        /// The running or ended process, none after a failed restart.
        fn process(&self) -> Option<&Process>;
        /// The same, to signal it.
        fn process_mut(&mut self) -> Option<&mut Process>;
        /// Starts the process anew; the old one has ended.
        fn launch(&mut self) -> Result<()>;
        /// Whether it does its work right now; an error if it never will.
        fn probe(&self) -> Result<bool>;
    }
}

/// A server with its own folder and ports, which it keeps over a restart. Dropped, it is killed.
pub trait Server: seal::Inner + Send {
    /// Its name in logs and messages.
    fn name(&self) -> &str;

    /// How long a graceful stop may take before the process is killed.
    fn grace(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// The id of its process, the last one if it has ended.
    fn pid(&self) -> Option<u32> {
        self.process().map(Process::pid)
    }

    /// Where its output goes; a restart appends.
    fn log_file(&self) -> Option<&Path> {
        self.process().map(Process::log)
    }

    /// Its memory and processor time.
    ///
    /// # Errors
    /// If it does not run.
    fn usage(&self) -> Result<Usage> {
        running(self.name(), self.process())?.usage()
    }

    /// Whether its process is there, frozen or not.
    fn is_running(&mut self) -> bool {
        self.process_mut().is_some_and(Process::is_running)
    }

    /// Ends it gracefully, or by force when it takes too long.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn stop(&mut self) -> Result<()> {
        let grace = self.grace();
        self.process_mut().map_or(Ok(()), |process| process.stop(grace).map(drop))
    }

    /// Ends it at once, as a crash would (SIGKILL).
    ///
    /// # Errors
    /// If the kernel refuses.
    fn kill(&mut self) -> Result<()> {
        self.process_mut().map_or(Ok(()), Process::kill)
    }

    /// Makes it stand still: connections stay open, nothing is answered (SIGSTOP).
    ///
    /// # Errors
    /// If the kernel refuses.
    fn freeze(&mut self) -> Result<()> {
        self.process_mut().map_or(Ok(()), Process::freeze)
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    ///
    /// # Errors
    /// If the kernel refuses.
    fn thaw(&mut self) -> Result<()> {
        self.process_mut().map_or(Ok(()), Process::thaw)
    }

    /// Starts it again with the same data and ports, stopping it first if it runs. Does not wait
    /// until it is ready.
    ///
    /// # Errors
    /// If it cannot be started.
    fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Starts it again and waits until it does its work.
    ///
    /// # Errors
    /// If it cannot be started, or is not ready within [`READY_WITHIN`].
    fn bring_back(&mut self) -> Result<()> {
        self.restart()?;
        self.wait_ready(READY_WITHIN)
    }

    /// Whether it does its work right now.
    fn is_ready(&mut self) -> bool {
        self.is_running() && self.probe().unwrap_or(false)
    }

    /// Waits until it does its work.
    ///
    /// # Errors
    /// If it has ended, or is not ready `within` the time given.
    fn wait_ready(&mut self, within: Duration) -> Result<()> {
        let what = format!("{} to be ready", self.name());
        wait::until(within, &what, || {
            let name = self.name().to_owned();
            self.process_mut()
                .ok_or_else(|| Error::new(format!("{name} was not started")))?
                .must_run()?;
            Ok(self.probe()?.then_some(()))
        })
    }
}

fn running<'a>(name: &str, process: Option<&'a Process>) -> Result<&'a Process> {
    process.ok_or_else(|| Error::new(format!("{name} was not started")))
}

/// Sends `request` to a port of this machine and returns what comes back until `enough`, or
/// nothing if it does not answer.
pub(crate) fn ask(port: u16, request: &[u8], enough: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    stream.set_write_timeout(Some(ANSWER_WITHIN)).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !enough(&answer) {
        match stream.read(&mut chunk).ok()? {
            0 => break,
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    Some(answer)
}

/// The body of `GET path`, if the answer is 200.
pub(crate) fn http_get(port: u16, path: &str) -> Option<String> {
    let (status, body) = http(port, "GET", path, None, "")?;
    (status == 200).then_some(body)
}

/// Status and body of the answer to a request, with a value for `Authorization` if there is one.
pub(crate) fn http(
    port: u16,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    body: &str,
) -> Option<(u16, String)> {
    let login = authorization.map(|value| format!("Authorization: {value}\r\n"));
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{}\r\n{body}",
        body.len(),
        login.unwrap_or_default(),
    );
    // HTTP 1.0: the server closes the connection at the end.
    let answer = ask(port, request.as_bytes(), |_| false)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split_whitespace().nth(1)?.parse().ok()?, body.to_owned()))
}

/// Makes the folder of a server; returns its full path and its last part, the server's name.
pub(crate) fn own_folder(folder: &Path) -> Result<(PathBuf, String)> {
    fs::create_dir_all(folder).while_doing(|| format!("create {}", folder.display()))?;
    let folder = folder.canonicalize().while_doing(|| format!("find {}", folder.display()))?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((folder, name))
}
