//! The lab folder. Each part is a subfolder that is complete or absent, and only one installer of
//! this machine makes it. Never leaves a half-finished part under its final name, and never waits
//! for the installation of another part.

use crate::error::{Result, While};
use crate::wait;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The variable that names another lab folder, such as one shared by several builds.
const FOLDER_VARIABLE: &str = "MILVUS_CDC_LAB_DIR";

/// How long another installer is waited for: a first install on a slow line.
const TURN_WITHIN: std::time::Duration = std::time::Duration::from_secs(1200);

/// A file in each finished part with its version; for another version the part is made anew.
const STAMP: &str = ".complete";

/// A subfolder of the lab folder.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

/// The lab folder.
pub(super) struct Folder {
    root: PathBuf,
}

/// Something that only one installer of this machine does at a time; until dropped it is this one.
pub(super) struct Turn(#[expect(dead_code, reason = "holds the lock")] File);

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).while_doing(|| format!("create {}", root.display()))?;
        let root = root.canonicalize().while_doing(|| format!("find {}", root.display()))?;
        Ok(Self { root })
    }

    /// Waits until no other installer does `what`.
    pub(super) fn turn(&self, what: &str) -> Result<Turn> {
        let path = self.root.join(format!("{what}.lock"));
        let lock = File::create(&path).while_doing(|| format!("open {}", path.display()))?;
        let awaited = format!("another installer to finish {what}");
        wait::until(TURN_WITHIN, &awaited, || match lock.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => {
                Err(error).while_doing(|| format!("lock {}", path.display()))
            }
        })?;
        Ok(Turn(lock))
    }

    /// A folder for downloads; deleting it costs time only.
    pub(super) fn cache(&self, name: &str) -> PathBuf {
        self.root.join("cache").join(name)
    }

    pub(super) fn has(&self, part: &Part) -> bool {
        let stamp = self.root.join(part.name).join(STAMP);
        fs::read_to_string(stamp).is_ok_and(|stamp| stamp == part.version)
    }

    /// The folder of `part`, made by `make` in a temporary folder unless it is there already.
    pub(super) fn install(
        &self,
        part: &Part,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let folder = self.root.join(part.name);
        if self.has(part) {
            return Ok(folder);
        }
        let Part { name, version } = part;
        let _turn = self.turn(name)?;
        // Another one may have made it while we waited.
        if self.has(part) {
            return Ok(folder);
        }
        println!("lab: {name} {version}: installing into {}", folder.display());
        let unfinished = self.root.join(format!("{name}.unfinished"));
        remove(&unfinished)?;
        remove(&folder)?;
        fs::create_dir(&unfinished).while_doing(|| format!("create {}", unfinished.display()))?;
        make(&unfinished)?;
        write(&unfinished.join(STAMP), version)?;
        fs::rename(&unfinished, &folder).while_doing(|| format!("finish {}", folder.display()))?;
        println!("lab: {name} {version}: done");
        Ok(folder)
    }
}

/// The folder of all installations: `MILVUS_CDC_LAB_DIR`, or `lab` in the build folder.
pub fn lab_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
        return PathBuf::from(folder);
    }
    std::env::current_exe()
        .ok()
        .and_then(|program| build_folder(&program))
        .unwrap_or_else(|| PathBuf::from("target"))
        .join("lab")
}

/// Cargo marks its build folder, wherever it is configured to be.
fn build_folder(program: &Path) -> Option<PathBuf> {
    let marked = |folder: &&Path| folder.join("CACHEDIR.TAG").exists();
    program.ancestors().skip(1).find(marked).map(Path::to_owned)
}

/// Writes a file.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).while_doing(|| format!("write {}", path.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.while_doing(|| format!("remove {}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const FIRST: Part = Part { name: "thing", version: "1" };
    const SECOND: Part = Part { name: "thing", version: "2" };

    #[test]
    fn whoever_needs_another_part_does_not_wait() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let other = Part { name: "other", version: "1" };
        folder
            .install(&FIRST, |_| Folder::open(root.path())?.install(&other, |_| Ok(())).map(drop))
            .unwrap();
        assert!(folder.has(&FIRST) && folder.has(&other));
    }

    #[test]
    fn a_part_is_made_once_per_version_and_again_after_a_failure() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let fail = |unfinished: &Path| {
            fs::write(unfinished.join("half"), "").unwrap();
            Err(Error::new("no network"))
        };
        assert!(folder.install(&FIRST, fail).is_err());
        assert!(!folder.has(&FIRST) && !root.path().join("thing").exists());

        let made = folder.install(&FIRST, |_| Ok(())).unwrap();
        assert!(!made.join("half").exists(), "the failed attempt left something");
        folder.install(&FIRST, |_| panic!("made twice")).unwrap();
        assert!(folder.install(&SECOND, |_| Err(Error::new("made anew"))).is_err());
    }

    #[test]
    fn the_build_folder_is_the_marked_one_above_the_program() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("CACHEDIR.TAG"), "").unwrap();
        let program = root.path().join("debug/deps/some-test");
        assert_eq!(build_folder(&program).unwrap(), root.path());
    }
}
