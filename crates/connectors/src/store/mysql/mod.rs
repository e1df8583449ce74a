//! A store in MySQL or MariaDB, which several machines can share. It has two tables:
//!
//! | table | a row is |
//! |---|---|
//! | `milvus_cdc_store` | a store, by its root path: its layout and the last version given out |
//! | `milvus_cdc_records` | a record, by root path and key |
//!
//! Every transaction first locks the row of its store. So there is one writer at a time, and a read
//! under this lock sees the newest values: READ COMMITTED is as good as SERIALIZABLE then, and
//! deadlocks can't happen. Never touches another table.

mod dsn;

pub use dsn::Dsn;

use super::holder::Holder;
use crate::{TlsFiles, key_range};
use async_trait::async_trait;
use replication::error::{Error, Kind, Result};
use replication::ports::{Committed, Store, Stored, Transaction, VALUE_BYTES_MAX, holds};
use sqlx::mysql::{MySqlConnection, MySqlPool, MySqlPoolOptions, MySqlRow};
use sqlx::{Connection as _, Executor as _, QueryBuilder, Row};
use std::path::Path;
use std::time::Duration;

/// The layout of the tables. A higher one means that a newer program wrote them.
const LAYOUT: u32 = 1;

/// The most connections: one writes while the others read.
const CONNECTIONS_MAX: u32 = 4;

/// How long connecting may take; a healthy server needs milliseconds.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The most rows and bytes of one statement: far below any server's `max_allowed_packet`.
const PUTS_AT_ONCE: usize = 200;
const PUT_BYTES_AT_ONCE: usize = 2 << 20;

/// The longest root path and key together: an index takes no more than 3072 bytes.
const KEY_BYTES_MAX: usize = 1024;

/// The isolation of the next transaction, whatever the server's default is.
const ISOLATION: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS milvus_cdc_store (
        root VARBINARY(512) PRIMARY KEY, layout INT UNSIGNED NOT NULL,
        last_version BIGINT UNSIGNED NOT NULL
    ) ENGINE = InnoDB",
    "CREATE TABLE IF NOT EXISTS milvus_cdc_records (
        record_key VARBINARY(1024) PRIMARY KEY, value LONGBLOB NOT NULL,
        version BIGINT UNSIGNED NOT NULL
    ) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
];

/// How to reach a database, and which store in it.
#[derive(Clone, Debug, Default)]
pub struct MysqlOptions {
    /// The address and our login.
    pub dsn: Dsn,
    /// The root path, by which stores in one database differ.
    pub root_path: String,
    /// Certificates for TLS.
    pub tls: TlsFiles,
}

impl MysqlOptions {
    /// A pool of connections; none is made yet.
    pub(crate) fn pool(&self) -> Result<MySqlPool> {
        let options = self.dsn.connect_options(&self.tls)?;
        Ok(MySqlPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(CONNECT_WITHIN)
            .connect_lazy_with(options))
    }

    /// The database, for messages.
    pub(crate) fn place(&self) -> String {
        format!("the database {}", self.dsn)
    }
}

/// Records in a database.
pub struct MysqlStore {
    pool: MySqlPool,
    place: String,
    root: String,
    holder: Holder,
}

impl MysqlStore {
    /// Opens the store; creates the tables if they do not exist. The name of this machine is kept
    /// in the folder `state`.
    pub async fn open(options: MysqlOptions, state: &Path) -> Result<Self> {
        let root = options.root_path.trim_end_matches('/').to_owned();
        let place = options.place();
        let holder = Holder::claim(state, &format!("mysql {}/{root}", options.dsn));
        let store = Self { pool: options.pool()?, place, root, holder };
        let layout = store.prepare().await.map_err(|error| failed(&store.place, error))?;
        if layout > LAYOUT {
            return Err(Error::permanent(format!(
                "the store {} in {} was written by a newer milvus-cdc (layout {layout}, this one \
                 knows {LAYOUT}): run that version, or give this one another \
                 metaStoreConfig.rootPath",
                store.root, store.place
            )));
        }
        Ok(store)
    }

    /// Creates the tables and the store's row; returns its layout.
    async fn prepare(&self) -> sqlx::Result<u32> {
        for table in TABLES {
            sqlx::query(table).execute(&self.pool).await?;
        }
        sqlx::query("INSERT IGNORE INTO milvus_cdc_store VALUES (?, ?, 0)")
            .bind(self.root.as_bytes())
            .bind(LAYOUT)
            .execute(&self.pool)
            .await?;
        sqlx::query_scalar("SELECT layout FROM milvus_cdc_store WHERE root = ?")
            .bind(self.root.as_bytes())
            .fetch_one(&self.pool)
            .await
    }

    fn record_key(&self, key: &str) -> Vec<u8> {
        format!("{}/{key}", self.root).into_bytes()
    }

    async fn try_commit(&self, transaction: Transaction) -> sqlx::Result<Committed> {
        let mut connection = self.pool.acquire().await?;
        connection.execute(ISOLATION).await?;
        let mut open = connection.begin().await?;
        let last: u64 = sqlx::query_scalar(
            "SELECT last_version FROM milvus_cdc_store WHERE root = ? FOR UPDATE",
        )
        .bind(self.root.as_bytes())
        .fetch_one(&mut *open)
        .await?;
        for (key, expected) in &transaction.conditions {
            if !holds(self.version_of(&mut open, key).await?, *expected) {
                open.rollback().await?;
                return Ok(Committed::Conflict);
            }
        }
        self.delete(&mut open, &transaction.deletes).await?;
        // Every transaction has a version of its own, and so has every write of a record.
        sqlx::query("UPDATE milvus_cdc_store SET last_version = ? WHERE root = ?")
            .bind(last + 1)
            .bind(self.root.as_bytes())
            .execute(&mut *open)
            .await?;
        for puts in batches(&transaction.puts) {
            self.put(&mut open, puts, last + 1).await?;
        }
        open.commit().await?;
        Ok(Committed::Yes)
    }

    async fn version_of(&self, connection: &mut MySqlConnection, key: &str) -> sqlx::Result<u64> {
        let version: Option<u64> =
            sqlx::query_scalar("SELECT version FROM milvus_cdc_records WHERE record_key = ?")
                .bind(self.record_key(key))
                .fetch_optional(connection)
                .await?;
        Ok(version.unwrap_or(0))
    }

    async fn delete(&self, connection: &mut MySqlConnection, keys: &[String]) -> sqlx::Result<()> {
        for keys in keys.chunks(PUTS_AT_ONCE) {
            let mut query =
                QueryBuilder::new("DELETE FROM milvus_cdc_records WHERE record_key IN (");
            let mut separated = query.separated(", ");
            keys.iter().for_each(|key| {
                separated.push_bind(self.record_key(key));
            });
            query.push(")").build().execute(&mut *connection).await?;
        }
        Ok(())
    }

    async fn put(
        &self,
        connection: &mut MySqlConnection,
        puts: &[(String, Vec<u8>)],
        version: u64,
    ) -> sqlx::Result<()> {
        let mut query =
            QueryBuilder::new("INSERT INTO milvus_cdc_records (record_key, value, version) ");
        query.push_values(puts, |mut row, (key, value)| {
            row.push_bind(self.record_key(key)).push_bind(value).push_bind(version);
        });
        query.push(" ON DUPLICATE KEY UPDATE value = VALUES(value), version = VALUES(version)");
        query.build().execute(connection).await.map(drop)
    }

    fn check(&self, transaction: &Transaction) -> Result<()> {
        for (key, value) in &transaction.puts {
            if self.root.len() + key.len() >= KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
                return Err(Error::permanent(format!(
                    "the record {key} has {} bytes, a store takes {VALUE_BYTES_MAX}, and keys of \
                     {KEY_BYTES_MAX}; make the task smaller, or its id shorter",
                    value.len()
                )));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Store for MysqlStore {
    async fn get(&self, key: &str) -> Result<Option<Stored>> {
        let row = sqlx::query("SELECT value, version FROM milvus_cdc_records WHERE record_key = ?")
            .bind(self.record_key(key))
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| failed(&self.place, error))?;
        Ok(row.as_ref().map(stored))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>> {
        // A range instead of LIKE: keys may contain wildcards, and a range uses the index.
        let first = self.record_key(prefix);
        let rows = sqlx::query(
            "SELECT value, version, record_key FROM milvus_cdc_records
             WHERE record_key >= ? AND record_key < ? ORDER BY record_key",
        )
        .bind(&first)
        .bind(key_range::behind(&first))
        .fetch_all(&self.pool)
        .await
        .map_err(|error| failed(&self.place, error))?;
        let head = self.root.len() + 1;
        let key = |row: &MySqlRow| {
            String::from_utf8_lossy(&row.get::<Vec<u8>, _>(2)[head..]).into_owned()
        };
        Ok(rows.iter().map(|row| (key(row), stored(row))).collect())
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed> {
        self.check(&transaction)?;
        self.try_commit(transaction).await.map_err(|error| failed(&self.place, error))
    }

    fn holder(&self) -> &str {
        self.holder.name()
    }
}

fn stored(row: &MySqlRow) -> Stored {
    Stored { value: row.get(0), version: row.get(1) }
}

/// Cuts records into statements. The last value of a key counts, and within a statement too, so
/// batches may be cut anywhere.
fn batches(mut puts: &[(String, Vec<u8>)]) -> impl Iterator<Item = &[(String, Vec<u8>)]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let more = |(_, value): &&(String, Vec<u8>)| {
            bytes += value.len();
            bytes <= PUT_BYTES_AT_ONCE
        };
        let count = puts.iter().take(PUTS_AT_ONCE).take_while(more).count();
        let (now, later) = puts.split_at(count.max(1).min(puts.len()));
        puts = later;
        (!now.is_empty()).then_some(now)
    })
}

/// The error of a database: whether it goes away by itself, and its text.
pub(crate) fn failed(place: &str, error: sqlx::Error) -> Error {
    let (kind, why) = judge(&error);
    Error { kind, what: format!("{place} {why}"), source: None }.because(error)
}

fn judge(error: &sqlx::Error) -> (Kind, &'static str) {
    const LOGIN: u16 = 1045;
    const NO_RIGHT: [u16; 4] = [1044, 1142, 1143, 1227];
    const NO_DATABASE: u16 = 1049;
    const TLS_WANTED: u16 = 3159;
    match error {
        sqlx::Error::Configuration(_) => (Kind::Permanent, "can't be reached as configured"),
        sqlx::Error::Tls(_) => (
            Kind::Permanent,
            "has no TLS that we accept: check tls in metaStoreConfig.mysqlSourceUrl and the \
             certificates",
        ),
        sqlx::Error::Database(error) => {
            match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|e| e.number()) {
                Some(LOGIN) => {
                    (Kind::Permanent, "refuses the login: check user name, password and TLS")
                }
                Some(number) if NO_RIGHT.contains(&number) => (
                    Kind::Permanent,
                    "forbids it: the user needs all rights on the tables milvus_cdc_…, and the \
                     right to create them",
                ),
                Some(NO_DATABASE) => (Kind::Permanent, "does not exist on that server: create it"),
                Some(TLS_WANTED) => (
                    Kind::Permanent,
                    "requires TLS: add tls=true to metaStoreConfig.mysqlSourceUrl",
                ),
                _ => (Kind::Transient, "has failed"),
            }
        }
        _ => (Kind::Transient, "can't be reached now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_and_together_the_whole() {
        let puts: Vec<_> = (0..500).map(|n| (n.to_string(), vec![0; n * 100])).collect();
        let cut: Vec<_> = batches(&puts).collect();
        let bytes = |batch: &&[(String, Vec<u8>)]| batch.iter().map(|p| p.1.len()).sum::<usize>();
        assert!(cut.iter().all(|b| b.len() <= PUTS_AT_ONCE && bytes(b) <= PUT_BYTES_AT_ONCE));
        assert_eq!(cut.concat(), puts);
        assert_eq!(batches(&[]).count(), 0);
        let large = [("a".to_owned(), vec![0; PUT_BYTES_AT_ONCE + 1])];
        assert_eq!(batches(&large).count(), 1, "one that is larger goes alone");
    }
}
