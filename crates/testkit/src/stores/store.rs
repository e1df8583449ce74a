//! A store of one kind and the server that it needs. Never has a server that another store uses.

use super::text::{Kind, ROOT, Text};
use super::{etcd, mysql, sqlite};
use crate::service::ServiceConfig;
use anyhow::Result;
use lab::{Etcd, EtcdOptions, Mariadb, MariadbOptions, READY_WITHIN, Server};
use std::path::{Path, PathBuf};

/// Nothing listens there. The texts name targets so, with ports from this one on.
pub const NOBODY: &str = "127.0.0.1:1";

/// A store, and the server that it needs.
#[derive(Debug)]
pub enum Store {
    /// A file.
    Sqlite(PathBuf),
    /// An etcd.
    Etcd(Etcd),
    /// A MariaDB.
    Mysql(Mariadb),
}

impl Store {
    /// An empty one in a folder.
    ///
    /// # Errors
    /// If its server does not start.
    pub fn start(kind: Kind, folder: &Path) -> Result<Self> {
        Ok(match kind {
            Kind::Sqlite => Self::Sqlite(folder.join("stored.db")),
            Kind::Etcd => {
                let mut etcd = Etcd::start(&folder.join("etcd"), EtcdOptions::default())?;
                etcd.wait_ready(READY_WITHIN)?;
                Self::Etcd(etcd)
            }
            Kind::Mysql => {
                let options = MariadbOptions::default();
                let mut mariadb = Mariadb::start(&folder.join("mariadb"), options)?;
                mariadb.wait_ready(READY_WITHIN)?;
                Self::Mysql(mariadb)
            }
        })
    }

    /// Fills an empty one.
    ///
    /// # Errors
    /// If the text is not of such a store.
    pub async fn load(&self, text: &Text) -> Result<()> {
        match self {
            Self::Sqlite(file) => sqlite::load(file, text).await,
            Self::Etcd(server) => etcd::load(server, text),
            Self::Mysql(server) => mysql::load(server, text),
        }
    }

    /// Its text.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn dump(&self) -> Result<Text> {
        match self {
            Self::Sqlite(file) => sqlite::dump(file).await,
            Self::Etcd(server) => etcd::dump(server),
            Self::Mysql(server) => mysql::dump(server),
        }
    }

    /// How a milvus-cdc is configured that uses it, while neither source nor target are there. Its
    /// name in the store is kept in the folder `state`.
    pub fn config(&self, state: &Path) -> ServiceConfig {
        let mut lines =
            vec![("ROOTPATH", ROOT.to_owned()), ("STATEFOLDER", state.display().to_string())];
        match self {
            Self::Sqlite(file) => lines.push(("SQLITE__PATH", file.display().to_string())),
            Self::Etcd(server) => {
                lines.extend([("STORETYPE", "etcd".into()), ("ETCD__ADDRESS", server.endpoint())]);
            }
            Self::Mysql(server) => {
                let (user, password) = (Mariadb::USER, Mariadb::PASSWORD);
                let (address, database) = (server.address(), Mariadb::DATABASE);
                let url = format!("{user}:{password}@tcp({address})/{database}?parseTime=true");
                lines.extend([("STORETYPE", "mysql".into()), ("MYSQLSOURCEURL", url)]);
            }
        }
        let named = |(key, value)| (format!("MILVUS_CDC_METASTORECONFIG__{key}"), value);
        ServiceConfig {
            environment: lines.into_iter().map(named).collect(),
            more: "unsupportedRequests: continue\n".to_owned(),
            ..ServiceConfig::new(NOBODY, "src", NOBODY)
        }
    }
}
