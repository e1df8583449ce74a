//! What the kernel says about a process: whether it lives, and what it uses. Never changes a
//! process.

use crate::error::{Error, Result, While};
use std::fs;
use std::time::Duration;

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory now.
    pub resident_bytes: u64,
    /// The most resident memory it ever had.
    pub peak_bytes: u64,
    /// Processor time of all its threads since it started, user and system.
    pub cpu: Duration,
    /// Its threads now.
    pub threads: u64,
}

/// Whether a process of this id runs; one that ended but is not yet collected does not.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| fields(&stat).map(|fields| fields[0] != "Z" && fields[0] != "X"))
        .unwrap_or(false)
}

/// Whether every thread of the process stands still; each stops only when it is next scheduled.
pub(crate) fn is_frozen(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.filter_map(std::result::Result::ok).all(|thread| {
        fs::read_to_string(thread.path().join("stat"))
            .ok()
            // A thread that ends between listing and reading does not move either.
            .is_none_or(|stat| fields(&stat).is_some_and(|fields| fields[0] == "T"))
    })
}

/// What a process uses.
///
/// # Errors
/// If there is no such process.
pub fn usage_of(pid: u32) -> Result<Usage> {
    usage_below(&format!("/proc/{pid}"))
}

/// What this process uses.
///
/// # Errors
/// If the kernel does not say.
pub fn usage_of_this() -> Result<Usage> {
    usage_below("/proc/self")
}

fn usage_below(folder: &str) -> Result<Usage> {
    let read = |name: &str| {
        let path = format!("{folder}/{name}");
        fs::read_to_string(&path).while_doing(|| format!("read {path}"))
    };
    parse(&read("status")?, &read("stat")?)
        .ok_or_else(|| Error::new(format!("{folder} is not in the known form")))
}

fn parse(status: &str, stat: &str) -> Option<Usage> {
    // Positions as in proc(5), counted from the state, which is the first field after the name.
    const USER_TICKS: usize = 11;
    const SYSTEM_TICKS: usize = 12;
    let fields = fields(stat)?;
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Usage {
        // A process that has just ended has no memory.
        resident_bytes: number("VmRSS").unwrap_or(0) << 10,
        peak_bytes: number("VmHWM").unwrap_or(0) << 10,
        cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()),
        threads: number("Threads")?,
    })
}

/// The name may hold blanks and brackets, so the fields start after the last bracket.
fn fields(stat: &str) -> Option<Vec<&str>> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    (!fields.is_empty()).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_found_where_the_kernel_puts_them() {
        let status = "Name:\ta b\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t7\n";
        let stat = "7 (a) b)) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 9 0 1 4096 3 0";
        let usage = parse(status, stat).unwrap();
        assert_eq!((usage.resident_bytes, usage.peak_bytes, usage.threads), (1 << 20, 2 << 20, 7));
        assert_eq!(usage.cpu, Duration::from_secs(2));
        assert!(usage_of_this().unwrap().resident_bytes > 1 << 20);
    }

    #[test]
    fn this_process_lives_and_an_impossible_one_does_not() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(u32::MAX));
    }
}
