//! A store in one SQLite file, the default: nothing else has to run. Never shared by two processes:
//! a lock file beside it prevents that.
//!
//! After a fault the connection is opened anew. SQLite ends a transaction by itself if the disk is
//! full or fails, and what is left of the connection then refuses every later one.

use async_trait::async_trait;
use replication::error::{Error, Result};
use replication::ports::{Committed, Store, Stored, Transaction, holds};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Row};
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// The layout of the file. A higher one in a file means that a newer program wrote it.
const SCHEMA: i64 = 1;

/// Records in one statement: each has three parameters, and SQLite takes 32,766.
const PUTS_AT_ONCE: usize = 1000;

/// How long to wait for another program that has locked the file, such as a backup.
const BUSY_WITHIN: Duration = Duration::from_secs(10);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS records (
        key TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Records in a file.
pub struct SqliteStore {
    /// A single one, so that reading a record sees every earlier commit.
    connection: Arc<Mutex<Link>>,
    holder: String,
    /// Locked as long as the store lives.
    _lock: File,
}

/// The connection to the file.
struct Link {
    options: SqliteConnectOptions,
    file: PathBuf,
    /// The file that was opened, whatever has its name now.
    opened: FileId,
    /// `None` after a fault.
    open: Option<SqliteConnection>,
}

impl SqliteStore {
    /// Opens the file; creates it and its folder if absent.
    pub async fn open(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref().to_owned();
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(|error| {
                let what = format!("can't create the folder {} of the store", folder.display());
                Error::permanent(what).because(error)
            })?;
        }
        let lock = lock(&file)?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit that was reported must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_WITHIN);
        let mut connection = options.connect().await.map_err(|error| unusable(&file, error))?;
        let holder = prepare(&mut connection, &file).await?;
        let opened = FileId::of(&file).map_err(|error| gone(&file).because(error))?;
        let (options, open) = (options.create_if_missing(false), Some(connection));
        let link = Link { options, file, opened, open };
        Ok(Self { connection: Arc::new(Mutex::new(link)), holder, _lock: lock })
    }
}

impl Link {
    /// The connection, opened anew if it has to be.
    async fn connection(&mut self) -> Result<&mut SqliteConnection> {
        // SQLite goes on with a file that has been removed, and what it writes there is lost.
        match FileId::of(&self.file) {
            Ok(found) if found == self.opened => {}
            Ok(_) => return Err(gone(&self.file)),
            Err(error) => return Err(gone(&self.file).because(error)),
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => self.options.connect().await.map_err(|error| self.failed(error))?,
        };
        Ok(self.open.insert(open))
    }

    /// Closes the connection after a fault, and says what it was.
    fn broken(&mut self, error: sqlx::Error) -> Error {
        self.open = None;
        self.failed(error)
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        let file = self.file.display();
        let code = error.as_database_error().and_then(|e| e.code()?.parse::<u32>().ok());
        // The lowest byte is the code, the others are details of it.
        let why = match code.map(|code| code & 0xff) {
            Some(8) => "it may not be written",
            Some(10) => "its disk reports a fault",
            Some(11 | 26) => "it is damaged: restore it from a backup",
            Some(13) => "its disk is full",
            Some(14) => "it can't be opened",
            Some(5 | 6) => "another program has locked it",
            _ => "see the log for the cause",
        };
        let what = format!("the store {file} can't be read or written now: {why}");
        Error::transient(what).because(error)
    }
}

/// What tells a file from another one that gets its name.
#[derive(PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(file: &Path) -> std::io::Result<Self> {
        let found = fs::metadata(file)?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }
}

fn gone(file: &Path) -> Error {
    Error::transient(format!(
        "the store {} was removed or replaced while it was in use, and nothing is written any \
         more; stop milvus-cdc, put the right file there, and start it again",
        file.display()
    ))
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, key: &str) -> Result<Option<Stored>> {
        let mut link = self.connection.lock().await;
        let row = sqlx::query("SELECT value, version FROM records WHERE key = ?")
            .bind(key)
            .fetch_optional(link.connection().await?)
            .await
            .map_err(|error| link.broken(error))?;
        Ok(row.map(|row| Stored { value: row.get(0), version: row.get::<i64, _>(1) as u64 }))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>> {
        let mut link = self.connection.lock().await;
        // A range instead of LIKE: keys may contain wildcards, and a range uses the index.
        let rows = sqlx::query(
            "SELECT value, version, key FROM records
             WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) ORDER BY key",
        )
        .bind(prefix)
        .bind(behind(prefix))
        .fetch_all(link.connection().await?)
        .await
        .map_err(|error| link.broken(error))?;
        let stored = |row: &sqlx::sqlite::SqliteRow| Stored {
            value: row.get(0),
            version: row.get::<i64, _>(1) as u64,
        };
        Ok(rows.iter().map(|row| (row.get(2), stored(row))).collect())
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        let mut link = Arc::clone(&self.connection).lock_owned().await;
        // The caller may be cancelled. A commit that has begun continues to its end, and the next
        // one waits: no caller reads records that are about to change, and nothing stays locked.
        let commit = tokio::spawn(async move {
            let committed = commit(link.connection().await?, &transaction).await;
            committed.map_err(|error| link.broken(error))
        });
        match commit.await {
            Ok(committed) => committed,
            Err(cut_off) => Err(Error::transient("a commit was cut off").because(cut_off)),
        }
    }

    fn holder(&self) -> &str {
        &self.holder
    }
}

/// The lowest text after all that begin with `prefix`; `None` if there is no such text.
fn behind(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The range of chars skips the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

async fn commit(
    connection: &mut SqliteConnection,
    transaction: &Transaction,
) -> sqlx::Result<Committed> {
    // A transaction that begins as a reader can't become a writer while another program writes.
    let mut open = connection.begin_with("BEGIN IMMEDIATE").await?;
    for (key, expected) in &transaction.conditions {
        if !holds(version_of(&mut open, key).await?, *expected) {
            open.rollback().await?;
            return Ok(Committed::Conflict);
        }
    }
    for key in &transaction.deletes {
        sqlx::query("DELETE FROM records WHERE key = ?").bind(key).execute(&mut *open).await?;
    }
    for puts in transaction.puts.chunks(PUTS_AT_ONCE) {
        put(&mut open, puts).await?;
    }
    open.commit().await?;
    Ok(Committed::Yes)
}

/// Writes all records in two statements: each statement is a round trip to SQLite's thread.
async fn put(connection: &mut SqliteConnection, puts: &[(String, Vec<u8>)]) -> sqlx::Result<()> {
    let count = puts.len() as i64;
    let last: i64 = sqlx::query_scalar(
        "UPDATE meta SET value = value + ? WHERE name = 'last_version'
         RETURNING CAST(value AS INTEGER)",
    )
    .bind(count)
    .fetch_one(&mut *connection)
    .await?;
    let versions = last - count + 1..;
    let mut insert = QueryBuilder::new("INSERT OR REPLACE INTO records (key, value, version) ");
    insert.push_values(puts.iter().zip(versions), |mut row, ((key, value), version)| {
        row.push_bind(key).push_bind(value).push_bind(version);
    });
    insert.build().execute(connection).await?;
    Ok(())
}

async fn version_of(connection: &mut SqliteConnection, key: &str) -> sqlx::Result<u64> {
    let version: Option<i64> = sqlx::query_scalar("SELECT version FROM records WHERE key = ?")
        .bind(key)
        .fetch_optional(connection)
        .await?;
    Ok(version.unwrap_or(0) as u64)
}

fn lock(file: &Path) -> Result<File> {
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(|error| {
        Error::permanent(format!("can't write the lock file {}", path.display())).because(error)
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::permanent(format!(
            "the store {} is in use by another process: stop it, or give this one a store of its \
             own",
            file.display()
        ))),
        Err(TryLockError::Error(error)) => {
            let what = format!("can't lock {}", path.display());
            Err(Error::permanent(what).because(error))
        }
    }
}

/// Creates the tables, checks the layout and returns the holder.
async fn prepare(connection: &mut SqliteConnection, file: &Path) -> Result<String> {
    let failed = |error| unusable(file, error);
    let mut open = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    sqlx::raw_sql(TABLES).execute(&mut *open).await.map_err(failed)?;
    sqlx::query(
        "INSERT OR IGNORE INTO meta (name, value)
         VALUES ('schema', ?), ('last_version', 0), ('holder', ?)",
    )
    .bind(SCHEMA)
    .bind(uuid::Uuid::new_v4().to_string())
    .execute(&mut *open)
    .await
    .map_err(failed)?;
    let schema: i64 = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'schema'")
        .fetch_one(&mut *open)
        .await
        .map_err(failed)?;
    if schema > SCHEMA {
        return Err(Error::permanent(format!(
            "the store {} was written by a newer milvus-cdc (layout {schema}, this one knows \
             {SCHEMA}): run that version, or give this one another file",
            file.display()
        )));
    }
    let holder = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'holder'")
        .fetch_one(&mut *open)
        .await
        .map_err(failed)?;
    open.commit().await.map_err(failed)?;
    Ok(holder)
}

fn unusable(file: &Path, error: sqlx::Error) -> Error {
    let what = format!("the file {} can't be used as a store", file.display());
    Error::permanent(what).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_sqlite_store_is_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("made/on/demand/cdc.db");
        conformance::store::suite(Arc::new(SqliteStore::open(&file).await.unwrap())).await;
    }

    #[tokio::test]
    async fn the_sqlite_store_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cdc.db");
        conformance::store::durability(async || SqliteStore::open(&file).await).await;
    }

    /// A task that starts again reads its records right after its last run was cancelled.
    #[tokio::test]
    async fn a_commit_that_is_given_up_has_happened_or_never_will() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("cdc.db")).await.unwrap();
        let key = || "given-up".to_owned();
        let mut cut_off = 0;
        for round in 0..1000_u64 {
            let puts = vec![(key(), Vec::new())];
            let commit = store.commit(Transaction { puts, ..Default::default() });
            let within = Duration::from_micros(round * 5);
            cut_off += u64::from(tokio::time::timeout(within, commit).await.is_err());
            let found = store.get(&key()).await.unwrap();
            let conditions = vec![(key(), found.map_or(0, |stored| stored.version))];
            let deletes = vec![key()];
            let next = store.commit(Transaction { conditions, deletes, ..Default::default() });
            assert_eq!(next.await.unwrap(), Committed::Yes, "round {round}");
        }
        assert!(cut_off > 0, "none was given up");
    }

    /// One put of this size.
    fn of_bytes(bytes: usize) -> Transaction {
        let puts = vec![("key".to_owned(), vec![7; bytes])];
        Transaction { puts, ..Default::default() }
    }

    #[tokio::test]
    async fn a_disk_that_was_full_for_a_moment_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("cdc.db")).await.unwrap();
        assert_eq!(store.commit(of_bytes(10)).await.unwrap(), Committed::Yes);
        let full = "PRAGMA max_page_count = 1";
        let mut link = store.connection.lock().await;
        sqlx::raw_sql(full).execute(link.connection().await.unwrap()).await.unwrap();
        drop(link);
        let error = store.commit(of_bytes(1 << 20)).await.unwrap_err();
        assert_eq!(error.kind, replication::error::Kind::Transient);
        assert!(error.what.contains("its disk is full"), "{error:?}");
        // The limit was one of the old connection.
        assert_eq!(store.commit(of_bytes(1 << 20)).await.unwrap(), Committed::Yes);
        assert_eq!(store.get("key").await.unwrap().unwrap().value.len(), 1 << 20);
    }

    #[tokio::test]
    async fn a_file_that_was_removed_or_replaced_is_written_no_more_until_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let (file, aside) = (folder.path().join("cdc.db"), folder.path().join("aside"));
        let store = SqliteStore::open(&file).await.unwrap();
        fs::rename(&file, &aside).unwrap();
        for replaced in [false, true] {
            if replaced {
                fs::write(&file, "").unwrap();
            }
            let error = store.commit(of_bytes(10)).await.unwrap_err();
            assert!(error.what.contains("cdc.db was removed or replaced"), "{error:?}");
            assert!(store.get("key").await.is_err() && store.list("").await.is_err());
        }
        fs::rename(&aside, &file).unwrap();
        assert_eq!(store.commit(of_bytes(10)).await.unwrap(), Committed::Yes);
    }

    #[tokio::test]
    async fn a_second_user_is_refused_by_the_name_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cdc.db");
        let _first = SqliteStore::open(&file).await.unwrap();
        let error = SqliteStore::open(&file).await.err().unwrap();
        assert!(error.what.contains("cdc.db is in use by another process"), "{error}");
    }

    #[tokio::test]
    async fn a_file_of_a_newer_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cdc.db");
        let store = SqliteStore::open(&file).await.unwrap();
        let newer = "UPDATE meta SET value = 99 WHERE name = 'schema'";
        let mut link = store.connection.lock().await;
        sqlx::query(newer).execute(link.connection().await.unwrap()).await.unwrap();
        drop(link);
        drop(store);
        let error = SqliteStore::open(&file).await.err().unwrap();
        assert!(error.what.contains("newer milvus-cdc (layout 99"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_store_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cdc.db");
        fs::write(&file, "this is certainly not a database file of SQLite").unwrap();
        let error = SqliteStore::open(&file).await.err().unwrap();
        assert!(error.what.contains("can't be used as a store"), "{error:?}");
    }

    #[test]
    fn the_text_behind_a_prefix_is_the_next_one() {
        assert_eq!(behind("a/"), Some("a0".into()));
        assert_eq!(behind("a\u{10FFFF}"), Some("b".into()));
        assert_eq!(behind("\u{D7FF}"), Some("\u{E000}".into()));
        assert_eq!(behind(""), None);
    }
}
