//! Our name in a store that several machines share. It is in a small file on this machine, locked
//! while we run: after a restart, even after a crash, we have the same name at once, and two
//! processes have two names. Never kept in the store: there a dead owner would look like a slow
//! one.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use tracing::warn;

/// The most processes of one machine on one store.
const HOLDERS_MAX: usize = 64;

/// A name, ours as long as this value lives.
pub(super) struct Holder {
    name: String,
    /// The lock ends with the file, and so with the process, however it ends. Without a lock the
    /// name is used for this run only.
    _lock: Option<File>,
}

impl Holder {
    /// Takes a name that no other process has, for the store at `place`. It is kept in `folder`.
    pub(super) fn claim(folder: &Path, place: &str) -> Self {
        claim_in(folder, place).unwrap_or_else(|error| {
            warn!(
                %error,
                folder = %folder.display(),
                "our name can't be stored there (metaStoreConfig.stateFolder): after a restart a \
                 target is continued only after the lease under the old name has expired"
            );
            Self { name: uuid::Uuid::new_v4().to_string(), _lock: None }
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

fn claim_in(folder: &Path, place: &str) -> io::Result<Holder> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let place: String =
        place.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(160).collect();
    for number in 0..HOLDERS_MAX {
        let path = folder.join(format!("{place}.{number}"));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => continue,
            Err(fs::TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        let name = read_or_write(&mut file)?;
        return Ok(Holder { name, _lock: Some(file) });
    }
    Err(io::Error::other(format!("{HOLDERS_MAX} names for this store are in use")))
}

/// The name in the file; a new one if the file has none or half of one.
fn read_or_write(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    if let Ok(name) = uuid::Uuid::parse_str(text.trim()) {
        return Ok(name.to_string());
    }
    let name = uuid::Uuid::new_v4().to_string();
    file.set_len(0)?;
    io::Seek::rewind(file)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_and_never_shared() {
        let folder = tempfile::tempdir().unwrap();
        let claim = |place: &str| claim_in(folder.path(), place).unwrap();
        let first = claim("etcd 127.0.0.1:2379/cdc");
        let second = claim("etcd 127.0.0.1:2379/cdc");
        assert_ne!(first.name, second.name);
        let (name, other) = (first.name.clone(), claim("mysql").name);
        assert!(other != first.name && other != second.name);
        drop(first);
        assert_eq!(claim("etcd 127.0.0.1:2379/cdc").name, name);
    }

    #[test]
    fn half_a_name_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("place.0"), "6f1").unwrap();
        let name = claim_in(folder.path(), "place").unwrap().name;
        assert_eq!(claim_in(folder.path(), "place").unwrap().name, name);
    }
}
