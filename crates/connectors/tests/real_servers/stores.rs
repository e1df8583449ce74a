//! Tests the shared stores on real servers: the conformance suite, logins and TLS, a server that
//! restarts, two processes on one store, and a newer layout. Never tests the store in a file, which
//! needs no server.

use crate::support::{etcd_with_tls, make_certificates, own_etcd, own_mariadb, soon};
use connectors::etcd::EtcdOptions;
use connectors::go_records::{self, GoRecords};
use connectors::store::{Dsn, EtcdStore, MysqlOptions, MysqlStore};
use connectors::{Secret, TlsFiles};
use lab::{Etcd, Mariadb, MariadbOptions, Server};
use prost::Message;
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
    conformance::store::suite(Arc::new(open().await.unwrap())).await;
    conformance::store::durability(open).await;
    let keys = server.client().keys("").unwrap();
    assert!(keys.iter().all(|key| key.starts_with("cdc/milvus-cdc/")), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains("journal")), "no journal is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mysql_store_is_a_store_and_durable() {
    let (server, run) = own_mariadb(MariadbOptions::default());
    let open = async || MysqlStore::open(mysql_options(&server, "cdc", ""), run.path()).await;
    conformance::store::suite(Arc::new(open().await.unwrap())).await;
    conformance::store::durability(open).await;
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
    conformance::store::suite(store.clone()).await;
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
    conformance::store::suite(store.clone()).await;
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
    conformance::store::sharing(&open().await, &open().await).await;
    let open = async || MysqlStore::open(mysql_options(&mariadb, "cdc", ""), state).await.unwrap();
    conformance::store::sharing(&open().await, &open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_program_wrote_is_refused_and_left_alone() {
    let (etcd, run) = own_etcd(lab::EtcdOptions::default());
    let layout = "cdc/milvus-cdc/layout";
    let open = async || EtcdStore::open(etcd_options(&etcd, "cdc"), run.path()).await;
    for newer in ["2", r#"{"layout":2}"#] {
        etcd.client().run(&["put", layout, newer]).unwrap();
        refused(open().await, "newer milvus-cdc (layout 2");
        assert_eq!(etcd.client().keys("").unwrap(), [layout]);
    }
    etcd.client().run(&["put", layout, r#"{"other":1}"#]).unwrap();
    refused(open().await, "is not the layout of a store");
    // As it was written at first.
    etcd.client().run(&["put", layout, "1"]).unwrap();
    open().await.unwrap();

    let (mariadb, run) = own_mariadb(MariadbOptions::default());
    let options = || mysql_options(&mariadb, "cdc", "");
    MysqlStore::open(options(), run.path()).await.unwrap();
    mariadb.run(&[], "UPDATE milvus_cdc_store SET layout = 2").unwrap();
    refused(MysqlStore::open(options(), run.path()).await, "newer milvus-cdc (layout 2");
    let layout = mariadb.run(&[], "SELECT layout FROM milvus_cdc_store").unwrap();
    assert_eq!(layout, "2\n");
}

/// The Go tool reads all keys below `metaStoreConfig.etcd.rootPath` as objects with `base`, `type`
/// and `data`, whoever wrote them.
#[tokio::test(flavor = "multi_thread")]
async fn the_layout_is_an_object_that_means_nothing_to_the_go_tool() {
    let (etcd, run) = own_etcd(lab::EtcdOptions::default());
    let open = async || EtcdStore::open(etcd_options(&etcd, "cdc"), run.path()).await;
    open().await.unwrap();
    let mut client = etcd_client::Client::connect([etcd.endpoint()], None).await.unwrap();
    let found = client.get("cdc/milvus-cdc/layout", None).await.unwrap();
    assert_eq!(found.kvs()[0].value_str().unwrap(), r#"{"layout":1}"#);
    open().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_go_tool_never_was_there_is_nothing_of_it() {
    let (etcd, _run) = own_etcd(lab::EtcdOptions::default());
    let found = go_records::from_etcd(etcd_options(&etcd, "cdc")).await.unwrap();
    assert_eq!(found, GoRecords::default());
    let (mariadb, _run) = own_mariadb(MariadbOptions::default());
    let found = go_records::from_mysql(mysql_options(&mariadb, "cdc", "")).await;
    refused(found, "has no tables of the Go tool");
}

/// A change as the journal has it.
#[derive(Clone, PartialEq, Message)]
struct Change {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

/// A part of a journal.
#[derive(Clone, PartialEq, Message)]
struct Changes {
    #[prost(message, repeated, tag = "1")]
    each: Vec<Change>,
}

/// Leaves a large transaction as its writer does that dies when it has happened, before any of it
/// is carried out.
async fn leave_journal(server: &Etcd, parts: Vec<Changes>) {
    let endpoints = [format!("http://{}", server.endpoint())];
    let mut client = etcd_client::Client::connect(endpoints, None).await.unwrap();
    let head = format!("0/0/{}", parts.len());
    for (number, part) in parts.iter().enumerate() {
        let key = format!("cdc/milvus-cdc/journal/part/{number:03}");
        client.put(key, part.encode_to_vec(), None).await.unwrap();
    }
    client.put("cdc/milvus-cdc/journal/head", head, None).await.unwrap();
}

fn part(keys: impl Iterator<Item = String>, value: &[u8]) -> Changes {
    Changes { each: keys.map(|key| Change { key, value: Some(value.into()) }).collect() }
}

/// Whoever comes next, whatever for, finds it done; and nothing of it is done once more later.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_that_has_happened_is_carried_out_before_anything_else() {
    let (server, run) = own_etcd(lab::EtcdOptions::default());
    let store = EtcdStore::open(etcd_options(&server, "cdc"), run.path()).await.unwrap();
    let value = async |key: &str| store.get(key).await.unwrap().map(|found| found.value);
    let old = || leave_journal(&server, vec![part(["a".to_owned()].into_iter(), b"old")]);

    old().await;
    assert_eq!(value("a").await.as_deref(), Some(&b"old"[..]));
    old().await;
    store.commit(put("a", b"new")).await.unwrap();
    assert_eq!(value("a").await.as_deref(), Some(&b"new"[..]));
    old().await;
    let stale = Transaction { conditions: vec![("a".into(), 1)], ..put("a", b"new") };
    assert_eq!(store.commit(stale).await.unwrap(), Committed::Conflict);
    assert_eq!(value("a").await.as_deref(), Some(&b"old"[..]));
    old().await;
    let mut large = put("a", b"new");
    large.puts.extend((0..300).map(|n| (format!("large/{n:03}"), b"new".to_vec())));
    store.commit(large).await.unwrap();
    assert_eq!(value("a").await.as_deref(), Some(&b"new"[..]));
    old().await;
    assert_eq!(store.list("a").await.unwrap()[0].1.value, b"old");
    let left = server.client().keys("cdc/milvus-cdc/journal").unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// Each of them may be overtaken by the others at any point, and none may put back what the others
/// have written since.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_carry_out_a_large_transaction_at_once_do_it_once() {
    const MANY: usize = 8;
    let (server, run) = own_etcd(lab::EtcdOptions::default());
    let mut stores = Vec::new();
    for _ in 0..MANY {
        let store = EtcdStore::open(etcd_options(&server, "cdc"), run.path()).await.unwrap();
        stores.push(Arc::new(store));
    }
    for round in 0..10_u8 {
        let keys = |part| (0..250).map(move |n| format!("of/{part}/{n:03}"));
        let parts = (0..3).map(|number| part(keys(number), &[round])).collect();
        leave_journal(&server, parts).await;
        let writers = stores.iter().cloned().enumerate().map(|(number, store)| {
            let key = format!("of/0/{number:03}");
            tokio::spawn(async move { store.commit(put(&key, b"since")).await.unwrap() })
        });
        for committed in futures::future::join_all(writers.collect::<Vec<_>>()).await {
            assert_eq!(committed.unwrap(), Committed::Yes);
        }
        let found = stores[0].list("of/").await.unwrap();
        assert_eq!(found.len(), 750);
        for (place, (key, stored)) in found.iter().enumerate() {
            let expected = if place < MANY { &b"since"[..] } else { &[round] };
            assert_eq!(stored.value, expected, "{key} in round {round}");
        }
    }
}

/// They lay down their parts in the same places.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_large_transactions_at_once_each_is_whole_or_nothing() {
    let (server, run) = own_etcd(lab::EtcdOptions::default());
    let open = async || EtcdStore::open(etcd_options(&server, "cdc"), run.path()).await.unwrap();
    let stores = [open().await, open().await];
    let mut disturbed = 0;
    for round in 0..20_u8 {
        let values = [2 * round, 2 * round + 1];
        let all = |value: u8| Transaction {
            // Several parts, each as large as a transaction of etcd may be.
            puts: (0..1500).map(|n| (format!("both/{n:04}"), vec![value; 2000])).collect(),
            ..Transaction::default()
        };
        let [one, other] = values.map(all);
        let (one, other) = tokio::join!(stores[0].commit(one), stores[1].commit(other));
        let mut done = Vec::new();
        for (committed, value) in [one, other].into_iter().zip(values) {
            match committed {
                Ok(committed) => {
                    assert_eq!(committed, Committed::Yes);
                    done.push(value);
                }
                Err(error) => {
                    assert_eq!(error.kind, Kind::Transient, "{error:?}");
                    disturbed += 1;
                }
            }
        }
        let found = stores[0].list("both/").await.unwrap();
        let Some((_, first)) = found.first() else {
            assert!(done.is_empty(), "{done:?} are told to be there");
            continue;
        };
        let winner = first.value[0];
        let is_of_this_round = values.contains(&winner);
        assert_eq!(is_of_this_round, !done.is_empty(), "{winner} is there, told are {done:?}");
        assert!(!is_of_this_round || done.contains(&winner), "{winner} was told of a failure");
        assert_eq!(found.len(), 1500);
        assert!(found.iter().all(|(_, stored)| stored.value[0] == winner), "round {round}");
    }
    println!("{disturbed} of 40 met another one");
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
