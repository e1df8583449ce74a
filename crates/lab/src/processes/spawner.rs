//! Starts children that cannot outlive us. The kernel kills a child when the *thread* that started
//! it ends, so all are started by one thread that lives as long as the process. Never start a
//! server any other way.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A command whose process dies with us, even when we are killed and cannot clean up.
pub fn mortal(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Spawns `command` from the thread that never ends.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let (answer, answered) = sync_channel(1);
    let gone = || io::Error::other("the spawning thread is gone");
    queue()?
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

type Request = (Command, SyncSender<io::Result<Child>>);

fn queue() -> io::Result<&'static Mutex<SyncSender<Request>>> {
    static QUEUE: OnceLock<Mutex<SyncSender<Request>>> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(queue) = QUEUE.get() {
        return Ok(queue);
    }
    let (send, requests) = sync_channel::<Request>(1);
    std::thread::Builder::new().name("lab-spawner".into()).spawn(move || {
        for (mut command, answer) in requests {
            // Whoever asked may be gone; the child then ends with its dropped answer's process.
            let _ = answer.send(command.spawn());
        }
    })?;
    Ok(QUEUE.get_or_init(|| Mutex::new(send)))
}
