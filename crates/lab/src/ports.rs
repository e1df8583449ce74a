//! Free ports that stay ours: claimed by a lock that every lab on this machine respects, so that
//! servers started at the same time, by this process or another, never get the same one. Never in
//! the range from which the kernel hands out ports to clients: a restart must find its port free.

use crate::error::{Error, Result, While};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

/// Above the well-known ports of the servers themselves (2379, 9092, 19530), below 32768, where
/// the ports of clients begin.
const RANGE: Range<u16> = 20_000..32_000;

/// A port of this machine that no other lab will use as long as this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// The lock ends with the file, and so with the process, however it ends.
    _lock: File,
}

impl Port {
    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:<number>`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

/// Claims a free port.
///
/// # Errors
/// If the lock folder cannot be used or every port of the range is taken.
pub fn claim() -> Result<Port> {
    claim_in(RANGE, &lock_folder()?)
}

fn lock_folder() -> Result<PathBuf> {
    // One folder per user: another user's locks could not be opened.
    let user = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("milvus-cdc-lab-ports-{user}"));
    fs::create_dir_all(&folder).while_doing(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

fn claim_in(range: Range<u16>, locks: &Path) -> Result<Port> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let size = range.end - range.start;
    // Labs of different processes begin at different places, so that they seldom meet; 61 spreads
    // neighbouring process ids.
    let begin = (std::process::id() as u16).wrapping_mul(61);
    for _ in 0..size {
        let step = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(begin) % size;
        if let Some(port) = try_claim(range.start + step, locks)? {
            return Ok(port);
        }
    }
    Err(Error::new(format!("no free port from {} to {}", range.start, range.end - 1)))
}

fn try_claim(number: u16, locks: &Path) -> Result<Option<Port>> {
    let path = locks.join(number.to_string());
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .while_doing(|| format!("open {}", path.display()))?;
    if lock.try_lock().is_err() {
        return Ok(None);
    }
    // Milvus listens on all interfaces, so the port must be free on all of them.
    let free = TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).is_ok();
    Ok(free.then_some(Port { number, _lock: lock }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ports_claimed_at_the_same_time_all_differ() {
        let claimed: Vec<Port> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..25).map(|_| claim().unwrap()).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let numbers: HashSet<u16> = claimed.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), 200);
        assert!(numbers.iter().all(|number| RANGE.contains(number)));
    }

    #[test]
    fn a_port_in_use_or_claimed_is_passed_over_until_it_is_given_back() {
        let locks = tempfile::tempdir().unwrap();
        let first = claim().unwrap();
        let range = first.number()..first.number() + 1;
        let listener = TcpListener::bind(first.address()).unwrap();
        assert!(claim_in(range.clone(), locks.path()).is_err(), "in use");
        drop(listener);
        let claimed = claim_in(range.clone(), locks.path()).unwrap();
        assert!(claim_in(range.clone(), locks.path()).is_err(), "claimed");
        drop(claimed);
        assert!(claim_in(range, locks.path()).is_ok());
    }
}
