//! The text of a store: its settings as its kind has them, and one line for each record. Never a
//! record that contains the end of a line or a tab: all are JSON.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Members that later versions have added to records, by the beginning of their keys.
const ADDED: [(&str, &str); 4] =
    [("collection/", "there"), ("collection/", "flushed"), ("lease/", "lease"), ("next/", "mark")];

/// `metaStoreConfig.rootPath` of every store here.
pub const ROOT: &str = "go-cdc";

/// What a store is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// An etcd.
    Etcd,
    /// A MySQL or MariaDB.
    Mysql,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::Etcd, Self::Mysql];

    /// As `metaStoreConfig.storeType` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Etcd => "etcd",
            Self::Mysql => "mysql",
        }
    }
}

/// A store as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// What is not a record: tables and their settings as SQL, keys of etcd.
    pub settings: String,
    /// In the order of their keys.
    pub records: Vec<Record>,
}

/// A record of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The store's number of the last write.
    pub version: u64,
    /// Its key.
    pub key: String,
    /// JSON.
    pub value: String,
}

impl Text {
    /// The value under a key, if there is one.
    pub fn value(&self, key: &str) -> Option<&str> {
        let found = self.records.iter().find(|record| record.key == key);
        found.map(|record| record.value.as_str())
    }

    /// The same store with something in place of something else, whether in a key or in a value.
    #[must_use]
    pub fn replaced(mut self, from: &str, to: &str) -> Self {
        for record in &mut self.records {
            record.key = record.key.replace(from, to);
            record.value = record.value.replace(from, to);
        }
        self.records.sort_by(|a, b| a.key.cmp(&b.key));
        self
    }

    /// Makes sure that a store has kept all its records: only one whose key begins in one of these
    /// ways may be another now, and has no member that the version which wrote it does not know.
    /// What is [`ADDED`] since counts as not there: that version passes over it.
    ///
    /// # Errors
    /// If it has not; names the record.
    pub fn kept_in(&self, after: &Self, may_change: &[&str]) -> Result<()> {
        let keys: BTreeSet<&str> =
            self.records.iter().chain(&after.records).map(|record| record.key.as_str()).collect();
        for key in keys {
            let (was, is) = (self.value(key), after.value(key));
            let may_change = may_change.iter().any(|prefix| key.starts_with(prefix));
            let (was, is) = (was.map(record).transpose()?, is.map(record).transpose()?);
            let is = is.map(|is| without_added(key, is));
            ensure!(was == is || may_change, "{key} was {was:?} and is {is:?}");
            if let (Some(was), Some(is)) = (was, is) {
                let is_known = |name: &String| was.contains_key(name);
                ensure!(is.keys().all(is_known), "{key} was {was:?} and is {is:?}");
            }
        }
        Ok(())
    }

    /// Writes it into a folder.
    ///
    /// # Errors
    /// If the folder can't be written to.
    pub fn write(&self, folder: &Path, kind: Kind) -> Result<()> {
        let mut lines = String::new();
        for Record { version, key, value } in &self.records {
            ensure!(![key, value].iter().any(|text| text.contains(['\t', '\n'])), "{key}: {value}");
            writeln!(lines, "{version}\t{key}\t{value}")?;
        }
        fs::write(folder.join(settings(kind)), &self.settings)?;
        fs::write(folder.join(records(kind)), lines)?;
        Ok(())
    }
}

fn record(value: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(value).with_context(|| format!("a record is an object: {value}"))
}

fn without_added(key: &str, mut record: Map<String, Value>) -> Map<String, Value> {
    for (_, member) in ADDED.iter().filter(|(prefix, _)| key.starts_with(prefix)) {
        record.remove(*member);
    }
    record
}

fn settings(kind: Kind) -> String {
    let extension = if kind == Kind::Etcd { "txt" } else { "sql" };
    format!("{}.settings.{extension}", kind.name())
}

fn records(kind: Kind) -> String {
    format!("{}.records.txt", kind.name())
}

/// What one version wrote.
#[derive(Clone, Debug)]
pub struct Written {
    folder: PathBuf,
}

impl Written {
    /// What every version wrote of which there is something, in the order of their names.
    ///
    /// # Errors
    /// If that can't be listed.
    pub fn by_all() -> Result<Vec<Self>> {
        let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("stores");
        let listed = fs::read_dir(&all).with_context(|| format!("list {}", all.display()))?;
        let mut folders = Vec::new();
        for entry in listed {
            let folder = entry?.path();
            if folder.is_dir() {
                folders.push(Self { folder });
            }
        }
        ensure!(!folders.is_empty(), "{} is empty", all.display());
        folders.sort_by(|a, b| a.folder.cmp(&b.folder));
        Ok(folders)
    }

    /// The name of the version.
    pub fn version(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Its store of a kind.
    ///
    /// # Errors
    /// If there is none.
    pub fn text(&self, kind: Kind) -> Result<Text> {
        let lines = self.read(&records(kind))?;
        let records = lines.lines().map(|line| {
            let (version, rest) = line.split_once('\t').context("a version")?;
            let (key, value) = rest.split_once('\t').context("a key")?;
            Ok(Record { version: version.parse()?, key: key.into(), value: value.into() })
        });
        Ok(Text { settings: self.read(&settings(kind))?, records: records.collect::<Result<_>>()? })
    }

    /// What it showed of that store: see [`super::shown`].
    ///
    /// # Errors
    /// If that is not there.
    pub fn shown(&self, kind: Kind) -> Result<Value> {
        Ok(serde_json::from_str(&self.read(&format!("{}.shown.json", kind.name()))?)?)
    }

    /// The marks that it had left in the target Kafka.
    ///
    /// # Errors
    /// If they are not there.
    pub fn marks(&self, kind: Kind) -> Result<String> {
        Ok(self.read(&format!("{}.marks.txt", kind.name()))?.trim_end().to_owned())
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }
}
