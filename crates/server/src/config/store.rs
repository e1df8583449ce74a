//! The part of a configuration that names the store of tasks and positions. Never opens a store.

use super::etcd::{STORE, tls_files};
use super::reader::Reader;
use super::resolved::{EtcdConfig, SharedStores, StoreConfig};
use connectors::store::{Dsn, MysqlOptions};

const TYPE: &str = "metaStoreConfig.storeType";
const URL: &str = "metaStoreConfig.mysqlSourceUrl";

/// The default, from the file that the Go tool ships.
const ROOT: &str = "cdc-by-dev";

/// The store in use, and all shared stores that are named: `import` reads from those.
pub(super) fn resolve(reader: &mut Reader<'_>) -> (StoreConfig, SharedStores) {
    let shared = SharedStores { etcd: etcd(reader), mysql: mysql(reader) };
    let path = reader.text("metaStoreConfig.sqlite.path");
    let sqlite =
        StoreConfig::Sqlite(if path.is_empty() { "milvus-cdc.db".into() } else { path.into() });
    let kind = reader.word(TYPE, &["sqlite", "memory", "etcd", "mysql"]);
    let store = match (kind.as_str(), &shared.etcd, &shared.mysql) {
        ("memory", ..) => {
            let what = "memory forgets all tasks and positions when the process ends; it is meant \
                        for tests";
            reader.faults.warn(TYPE, what);
            StoreConfig::Memory
        }
        ("etcd", Some(etcd), _) => StoreConfig::Etcd(etcd.clone()),
        ("etcd", None, _) => {
            reader.wrong(
                STORE.address,
                "is required with storeType etcd and missing",
                "write the endpoints of the etcd, for example 127.0.0.1:2379",
            );
            sqlite
        }
        ("mysql", _, Some(mysql)) => StoreConfig::Mysql(mysql.clone()),
        ("mysql", _, None) => {
            if reader.text(URL).is_empty() {
                reader.wrong(
                    URL,
                    "is required with storeType mysql and missing",
                    "write user:password@tcp(host:port)/database",
                );
            }
            sqlite
        }
        _ => sqlite,
    };
    (store, shared)
}

fn root(reader: &Reader<'_>) -> String {
    let root = reader.text("metaStoreConfig.rootPath");
    if root.is_empty() { ROOT.to_owned() } else { root.trim_end_matches('/').to_owned() }
}

fn etcd(reader: &mut Reader<'_>) -> Option<EtcdConfig> {
    // As in the Go tool, the deprecated key wins.
    let old = reader.list("metaStoreConfig.etcdEndpoints");
    let endpoints = if old.is_empty() { reader.list(STORE.address) } else { old };
    STORE.check_endpoints(reader, &endpoints);
    let (login, tls) = (STORE.login(reader), STORE.tls(reader));
    let root_path = root(reader);
    (!endpoints.is_empty()).then_some(EtcdConfig {
        endpoints,
        root_path,
        meta_sub_path: String::new(),
        login,
        tls,
    })
}

fn mysql(reader: &mut Reader<'_>) -> Option<MysqlOptions> {
    let tls = tls_files(
        reader,
        "metaStoreConfig.mysql.tlsCACertPath",
        "metaStoreConfig.mysql.tlsCertPath",
        "metaStoreConfig.mysql.tlsKeyPath",
    );
    let text = reader.verbatim(URL);
    if text.is_empty() {
        return None;
    }
    match Dsn::parse(text.trim()) {
        Ok(dsn) => {
            let named = [&tls.ca, &tls.cert].into_iter().any(|file| !file.as_os_str().is_empty());
            if named && !dsn.tls() {
                reader.wrong(
                    "metaStoreConfig.mysql.tlsCACertPath",
                    "certificates are given, but TLS is off",
                    "add tls=true to metaStoreConfig.mysqlSourceUrl, or remove them",
                );
            }
            Some(MysqlOptions { dsn, root_path: root(reader), tls })
        }
        Err(what) => {
            reader.wrong(URL, &what, "write user:password@tcp(host:port)/database");
            None
        }
    }
}
