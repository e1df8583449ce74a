//! Files that Milvus writes to fixed places outside its folder, and leaves there. Only those of
//! the lab are removed, never those of another Milvus on this machine.

use crate::processes::procfs;
use std::fs;
use std::path::{Path, PathBuf};

/// The second is where the first one's files go when Milvus may not write there.
const FOLDERS: [&str; 2] = ["/run/milvus", "/tmp/milvus"];

const PREFIX: &str = "standalone-lab-";

/// What keeps several instances apart; `number` is unique on this machine.
pub(crate) fn alias(number: u16) -> String {
    format!("lab-{number}")
}

/// What the Milvus of this process id and alias leaves behind.
pub(crate) fn left_by(pid: u32, alias: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(format!("standalone-{alias}.pid")))
        .collect();
    files.push(server_id(pid));
    files
}

/// Removes what was left by labs that were killed and could not do so themselves.
pub(crate) fn sweep() {
    for folder in FOLDERS.map(Path::new) {
        sweep_folder(folder);
    }
}

fn sweep_folder(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else {
        return;
    };
    for file in files.filter_map(std::result::Result::ok) {
        if !file.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // One that is just being written holds no number yet, and is left alone.
        let pid = fs::read_to_string(file.path()).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid.filter(|pid| !procfs::is_alive(*pid)) {
            // Another lab may be sweeping too.
            let _ = fs::remove_file(server_id(pid));
            let _ = fs::remove_file(file.path());
        }
    }
}

fn server_id(pid: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/milvus/server_id_{pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_dead_labs_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, pid: u32| {
            fs::write(folder.path().join(name), format!("{pid}\n")).unwrap();
        };
        let dead = u32::MAX;
        write("standalone-lab-1.pid", dead);
        write("standalone-lab-2.pid", std::process::id());
        write("standalone.pid", dead);
        fs::write(folder.path().join("standalone-lab-3.pid"), "").unwrap();
        sweep_folder(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["standalone-lab-2.pid", "standalone-lab-3.pid", "standalone.pid"]);
    }
}
