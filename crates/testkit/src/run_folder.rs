//! The folder of servers that last as long as their process: nothing of a process is dropped at its
//! end, so the next one removes what is left. Never removes a folder of a process that lives.

use std::io::Result;
use std::path::Path;
use tempfile::{Builder, TempDir};

const PREFIX: &str = "milvus-cdc-run-";

/// A folder for this process. Removes those of processes that have ended.
///
/// # Errors
/// If it can't be made.
pub fn run_folder() -> Result<TempDir> {
    let all = std::env::temp_dir();
    remove_left(&all);
    Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir_in(all)
}

fn remove_left(all: &Path) {
    for entry in std::fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another process may be removing it, too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_ended_processes_have_left_is_removed_and_nothing_else() {
        let all = TempDir::new().unwrap();
        // No process has this number: Linux has 4,194,304 at most.
        let ended = all.path().join(format!("{PREFIX}4194305-x"));
        let lives = all.path().join(format!("{PREFIX}{}-x", std::process::id()));
        let other = all.path().join("other-4194305-x");
        for folder in [&ended, &lives, &other] {
            std::fs::create_dir(folder).unwrap();
        }
        remove_left(all.path());
        assert_eq!([&ended, &lives, &other].map(|folder| folder.exists()), [false, true, true]);
    }
}
