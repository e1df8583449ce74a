//! The stores that are shared, against real servers: the one conformance suite, logins and TLS, a
//! server that restarts, two who share a store, and a form that is newer than ours.

use crate::support::{etcd_with_tls, make_certificates, own_etcd, own_mariadb, soon};
use connectors::etcd::EtcdOptions;
use connectors::go_records::{self, GoRecords};
use connectors::store::{Dsn, EtcdStore, MysqlOptions, MysqlStore, conformance};
use connectors::{Secret, TlsFiles};
use lab::{Etcd, Mariadb, MariadbOptions, Server};
use replication::error::{Error, Kind, Result};
use replication::ports::{Committed, Store, Transaction};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn etcd_options(server: &Etcd, root: &str) -> EtcdOptions {
    EtcdOptions {
        endpoints: vec![server.endpoint()],
        root_path: root.into(),
        ..EtcdOptions::default()
    }
}

fn mysql_options(server: &Mariadb, root: &str, parameters: &str) -> MysqlOptions {
    let (user, password) = (Mariadb::USER, Mariadb::PASSWORD);
    let dsn =
        format!("{user}:{password}@tcp({})/{}?{parameters}", server.address(), Mariadb::DATABASE);
    let dsn = Dsn::parse(&dsn).unwrap();
    MysqlOptions { dsn, root_path: root.into(), ..MysqlOptions::default() }
}

fn certificates(folder: &Path) -> TlsFiles {
    make_certificates(folder);
    let file = |name: &str| folder.join(name);
    TlsFiles {
        ca: file("ca.pem"),
        cert: file("client.pem"),
        key: file("client.key"),
        ..TlsFiles::default()
    }
}

fn put(key: &str, value: &[u8]) -> Transaction {
    Transaction { puts: vec![(key.into(), value.into())], ..Transaction::default() }
}

#[track_caller]
fn refused<T>(opened: Result<T>, words: &str) -> Error {
    let error = opened.err().unwrap();
    assert!(error.kind == Kind::Permanent && error.what.contains(words), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn the_etcd_store_is_a_store_and_durable() {
    let (server, run) = own_etcd(lab::EtcdOptions::default());
    let open = async || EtcdStore::open(etcd_options(&server, "cdc"), run.path()).await;
    conformance::suite(Arc::new(open().await.unwrap())).await;
    conformance::durability(open).await;
    let keys = server.client().keys("").unwrap();
    assert!(keys.iter().all(|key| key.starts_with("cdc/milvus-cdc/")), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains("journal")), "no journal is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mysql_store_is_a_store_and_durable() {
    let (server, run) = own_mariadb(MariadbOptions::default());
    let open = async || MysqlStore::open(mysql_options(&server, "cdc", ""), run.path()).await;
    conformance::suite(Arc::new(open().await.unwrap())).await;
    conformance::durability(open).await;
    let other = MysqlStore::open(mysql_options(&server, "cdc2", ""), run.path()).await.unwrap();
    assert_eq!(other.list("").await.unwrap().len(), 0, "another root path is another store");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_etcd_store_speaks_tls_logs_in_and_survives_a_restart() {
    let run = tempfile::tempdir().unwrap();
    let tls = certificates(run.path());
    let (mut server, _run) = own_etcd(etcd_with_tls(run.path()));
    let client = server.client();
    for command in [
        "user add root:right",
        "user grant-role root root",
        "user add cdc:right",
        "role add cdc",
        "role grant-permission cdc readwrite cdc/ --prefix=true",
        "user grant-role cdc cdc",
        "auth enable",
    ] {
        client.run(&command.split(' ').collect::<Vec<_>>()).unwrap();
    }
    let with = |root: &str, password: &str| EtcdOptions {
        username: "cdc".into(),
        password: Secret::new(password),
        tls: Some(tls.clone()),
        ..etcd_options(&server, root)
    };
    let (right, elsewhere, wrong) =
        (with("cdc", "right"), with("other", "right"), with("cdc", "no"));
    let store = Arc::new(EtcdStore::open(right, run.path()).await.unwrap());
    refused(EtcdStore::open(wrong, run.path()).await, "refuses the login");
    refused(EtcdStore::open(elsewhere, run.path()).await, "forbids it");
    conformance::suite(store.clone()).await;
    survives_a_restart(&*store, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mysql_store_speaks_tls_logs_in_and_survives_a_restart() {
    let run = tempfile::tempdir().unwrap();
    let tls = certificates(run.path());
    let file = |name: &str| run.path().join(name).display().to_string();
    let (mut server, _run) = own_mariadb(MariadbOptions {
        server_args: vec![
            format!("--ssl-cert={}", file("server.pem")),
            format!("--ssl-key={}", file("server.key")),
            format!("--ssl-ca={}", file("ca.pem")),
            "--require-secure-transport=ON".into(),
        ],
    });
    let open = async |parameters: &str, tls: &TlsFiles| {
        let options = mysql_options(&server, "cdc", parameters);
        MysqlStore::open(MysqlOptions { tls: tls.clone(), ..options }, run.path()).await
    };
    let store = Arc::new(open("tls=true", &tls).await.unwrap());
    open("tls=skip-verify", &TlsFiles::default()).await.unwrap();
    refused(open("", &tls).await, "TLS");
    let nobody = open("tls=true", &TlsFiles::default()).await;
    assert!(nobody.is_err(), "a certificate of nobody we know");
    let mut wrong = mysql_options(&server, "cdc", "tls=skip-verify");
    wrong.dsn =
        Dsn::parse(&format!("cdc:wrong@tcp({})/cdc?tls=skip-verify", server.address())).unwrap();
    let error = refused(MysqlStore::open(wrong, run.path()).await, "refuses the login");
    assert!(!format!("{error:?}").contains("wrong@"), "{error:?}");
    conformance::suite(store.clone()).await;
    survives_a_restart(&*store, &mut server).await;
}

async fn survives_a_restart(store: &impl Store, server: &mut impl Server) {
    soon(store.commit(put("restart/a", b"1"))).await.unwrap();
    server.kill().unwrap();
    let away = soon(store.get("restart/a")).await.unwrap_err();
    assert_eq!(away.kind, Kind::Transient, "{away:?}");
    server.bring_back().unwrap();
    // The first try may meet a connection that died with the server.
    let found = soon(async {
        loop {
            match store.get("restart/a").await {
                Ok(found) => return found,
                Err(error) => assert_eq!(error.kind, Kind::Transient, "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert_eq!(found.await.unwrap().value, b"1");
    soon(store.commit(put("restart/a", b"2"))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_share_a_store_see_each_others_records_and_have_two_names() {
    let (etcd, run) = own_etcd(lab::EtcdOptions::default());
    let (mariadb, _run) = own_mariadb(MariadbOptions::default());
    let state = run.path();
    let open = async || EtcdStore::open(etcd_options(&etcd, "cdc"), state).await.unwrap();
    share(&open().await, &open().await).await;
    let open = async || MysqlStore::open(mysql_options(&mariadb, "cdc", ""), state).await.unwrap();
    share(&open().await, &open().await).await;
}

async fn share(one: &impl Store, other: &impl Store) {
    assert_ne!(one.holder(), other.holder());
    one.commit(put("shared/a", b"1")).await.unwrap();
    let seen = other.get("shared/a").await.unwrap().unwrap();
    let change = |version| Transaction {
        conditions: vec![("shared/a".into(), version)],
        ..put("shared/a", b"2")
    };
    assert_eq!(other.commit(change(seen.version)).await.unwrap(), Committed::Yes);
    assert_eq!(one.commit(change(seen.version)).await.unwrap(), Committed::Conflict);
    assert_eq!(one.get("shared/a").await.unwrap().unwrap().value, b"2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_program_wrote_is_refused_and_left_alone() {
    let (etcd, run) = own_etcd(lab::EtcdOptions::default());
    etcd.client().run(&["put", "cdc/milvus-cdc/layout", "2"]).unwrap();
    let opened = EtcdStore::open(etcd_options(&etcd, "cdc"), run.path()).await;
    refused(opened, "newer milvus-cdc (layout 2");
    assert_eq!(etcd.client().keys("").unwrap(), ["cdc/milvus-cdc/layout"]);

    let (mariadb, run) = own_mariadb(MariadbOptions::default());
    let options = || mysql_options(&mariadb, "cdc", "");
    MysqlStore::open(options(), run.path()).await.unwrap();
    mariadb.run(&[], "UPDATE milvus_cdc_store SET layout = 2").unwrap();
    refused(MysqlStore::open(options(), run.path()).await, "newer milvus-cdc (layout 2");
    let layout = mariadb.run(&[], "SELECT layout FROM milvus_cdc_store").unwrap();
    assert_eq!(layout, "2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_go_tool_never_was_there_is_nothing_of_it() {
    let (etcd, _run) = own_etcd(lab::EtcdOptions::default());
    let found = go_records::from_etcd(etcd_options(&etcd, "cdc")).await.unwrap();
    assert_eq!(found, GoRecords::default());
    let (mariadb, _run) = own_mariadb(MariadbOptions::default());
    let found = go_records::from_mysql(mysql_options(&mariadb, "cdc", "")).await;
    refused(found, "holds no tables of the Go tool");
}

/// Moments at which a writer of a large transaction dies.
const CRASHES: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_large_transaction_whose_writer_dies_there_is_all_or_nothing() {
    const RECORDS: usize = 1000;
    let (server, run) = own_etcd(lab::EtcdOptions::default());
    let open = async || EtcdStore::open(etcd_options(&server, "cdc"), run.path()).await.unwrap();
    let (writer, reader) = (open().await, open().await);
    for crash in 0..CRASHES {
        let key = |n| format!("crash/{crash}/{n:04}");
        let puts = (0..RECORDS).map(|n| (key(n), vec![b'x'; 2000])).collect();
        let commit = writer.commit(Transaction { puts, ..Transaction::default() });
        let ended = tokio::time::timeout(Duration::from_millis(3 * crash * crash), commit).await;
        let found = reader.list(&format!("crash/{crash}/")).await.unwrap().len();
        assert!(found == 0 || found == RECORDS, "{found} records after {ended:?}");
        assert!(ended.is_err() || found == RECORDS, "reported and not there");
        reader.commit(put("crash/next", b"")).await.unwrap();
    }
}
