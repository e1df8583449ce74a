//! What the kernel says about a process: does it live, what does it use. Reads only.

use std::fs;
use std::time::Duration;

use crate::error::{Error, Result, While};

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory now, in bytes.
    pub resident_bytes: u64,
    /// Processor time of all its threads since it started, user and system.
    pub cpu: Duration,
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

pub(crate) fn usage(pid: u32) -> Result<Usage> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).while_doing(|| format!("read {path}"))?;
    parse(&stat).ok_or_else(|| Error::new(format!("{path} is not in the known form")))
}

fn parse(stat: &str) -> Option<Usage> {
    // Positions as in proc(5), counted from the state, which is the first field after the name.
    const USER_TICKS: usize = 11;
    const SYSTEM_TICKS: usize = 12;
    const RESIDENT_PAGES: usize = 21;
    let fields = fields(stat)?;
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = number(USER_TICKS)? + number(SYSTEM_TICKS)?;
    Some(Usage {
        resident_bytes: number(RESIDENT_PAGES)? * rustix::param::page_size() as u64,
        cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()),
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
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b)) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 9 0 1 4096 3 0";
        let usage = parse(stat).unwrap();
        assert_eq!(usage.resident_bytes, 3 * rustix::param::page_size() as u64);
        assert_eq!(usage.cpu, Duration::from_secs(2));
    }

    #[test]
    fn this_process_lives_and_an_impossible_one_does_not() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(u32::MAX));
    }
}
