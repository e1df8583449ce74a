//! Tests the catalog and the store in an etcd of three members while one of them is killed or
//! stands still: whoever reads, writes or watches notices nothing. Never takes away two at a time.

use crate::support::{logged, soon};
use connectors::etcd::{Etcd as Catalog, EtcdMembers, EtcdOptions};
use connectors::store::EtcdStore;
use lab::{Etcd, READY_WITHIN, Server};
use milvus_wire::ids::CollectionId;
use replication::ports::{Catalog as _, CatalogEvent, Committed, Store, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// How many write at the same time, each its own record.
const WRITERS: usize = 4;

/// How much longer than usual a read or a write may take: until the next member is asked, and until
/// another leader is elected.
const SLOWEST: Duration = Duration::from_secs(9);

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

fn cluster() -> (Vec<Etcd>, TempDir) {
    logged();
    lab::install_servers().unwrap();
    let run = tempfile::tempdir().unwrap();
    let mut members = Etcd::start_cluster(run.path(), 3).unwrap();
    members.iter_mut().for_each(|member| member.wait_ready(READY_WITHIN).unwrap());
    // A Milvus of before databases is there.
    let key = "by-dev/meta/root-coord/credential/users/root";
    members[0].client().run(&["put", key, "x"]).unwrap();
    (members, run)
}

fn options(members: &[Etcd], health: &EtcdMembers) -> EtcdOptions {
    EtcdOptions {
        endpoints: members.iter().map(Etcd::endpoint).collect(),
        members: health.clone(),
        ..EtcdOptions::default()
    }
}

/// The future that opens a store is large.
async fn opened(options: EtcdOptions, run: &TempDir) -> EtcdStore {
    soon(Box::pin(EtcdStore::open(options, run.path()))).await.unwrap()
}

/// Reads and writes without a pause, until it is told to stop. Any error ends the test.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    work: JoinSet<()>,
}

impl Load {
    fn start(store: &Arc<EtcdStore>, catalog: &Arc<Catalog>) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut work = JoinSet::new();
        for number in 0..WRITERS {
            let (store, stop, done) = (store.clone(), stop.clone(), done.clone());
            work.spawn(
                async move { count(&store, &format!("count/{number}"), &stop, &done).await },
            );
        }
        let (catalog, stopped, read) = (catalog.clone(), stop.clone(), done.clone());
        work.spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                catalog.snapshot().await.unwrap();
                assert!(begun.elapsed() < SLOWEST, "{:?}", begun.elapsed());
                read.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, done, work }
    }

    /// Waits until it goes on, every one of it.
    async fn goes_on(&self) {
        let since = self.done.load(Ordering::Relaxed);
        soon(async {
            while self.done.load(Ordering::Relaxed) < since + 500 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        soon(self.work.join_all()).await;
    }
}

/// Counts in a record that nobody else writes: each step is conditional on the one before, so that
/// one which is lost, made twice or made late ends it.
async fn count(store: &EtcdStore, key: &str, stop: &AtomicBool, done: &AtomicU64) {
    let write = |number: u64, conditions| Transaction {
        conditions,
        puts: vec![(key.to_owned(), number.to_string().into_bytes())],
        ..Transaction::default()
    };
    store.commit(write(0, vec![])).await.unwrap();
    for number in 0_u64.. {
        let begun = Instant::now();
        let found = store.get(key).await.unwrap().unwrap();
        assert_eq!(found.value, number.to_string().as_bytes(), "{key}");
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let step = write(number + 1, vec![(key.to_owned(), found.version)]);
        assert_eq!(store.commit(step).await.unwrap(), Committed::Yes, "{key} at {number}");
        assert!(begun.elapsed() < SLOWEST, "{:?}", begun.elapsed());
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_of_three_is_killed_or_stands_still_and_nobody_notices() {
    let (mut members, run) = cluster();
    let health = EtcdMembers::default();
    let options = options(&members, &health);
    let catalog = Arc::new(Catalog::new(options.clone()).unwrap());
    let store = Arc::new(opened(options, &run).await);
    let load = Load::start(&store, &catalog);
    let mut changes = catalog.changes();
    for place in 0..members.len() {
        for freeze in [false, true] {
            load.goes_on().await;
            let member = &mut members[place];
            if freeze { member.freeze() } else { member.kill() }.unwrap();
            load.goes_on().await;
            announces(&mut changes, &members, place).await;
            let member = &mut members[place];
            if freeze { member.thaw() } else { member.restart() }.unwrap();
            member.wait_ready(READY_WITHIN).unwrap();
        }
    }
    load.goes_on().await;
    load.end().await;
    let seen = health.all();
    assert_eq!(seen.len(), 3);
    assert!(seen.values().any(|member| member.unanswered > 0), "it is noted: {seen:?}");
    // Nobody asks one that was passed over, yet it is seen that it is back.
    soon(async {
        while health.all().values().any(|member| !member.answers) {
            store.get("count/0").await.unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}

/// A change of the metadata is announced, whichever member is away.
async fn announces(
    changes: &mut tokio::sync::broadcast::Receiver<CatalogEvent>,
    members: &[Etcd],
    away: usize,
) {
    let there = &members[(away + 1) % members.len()];
    let key = "by-dev/meta/root-coord/partitions/77/1";
    soon(async {
        loop {
            there.client().run(&["put", key, "x"]).unwrap();
            let wanted = CatalogEvent::Partition(CollectionId(77));
            let heard = async { while changes.recv().await.unwrap() != wanted {} };
            if tokio::time::timeout(Duration::from_secs(1), heard).await.is_ok() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_address_may_be_dead_from_the_start() {
    let (mut members, run) = cluster();
    let health = EtcdMembers::default();
    let mut options = options(&members, &health);
    options.endpoints.insert(0, NOBODY.to_owned());
    // The second one does not answer either.
    members[0].freeze().unwrap();
    let catalog = Catalog::new(options.clone()).unwrap();
    let mut changes = catalog.changes();
    soon(catalog.snapshot()).await.unwrap();
    soon(async { while changes.recv().await.unwrap() != CatalogEvent::Resync {} }).await;
    let store = opened(options, &run).await;
    for number in 0..20 {
        let puts = vec![(format!("k{number}"), b"v".to_vec())];
        let committed = store.commit(Transaction { puts, ..Transaction::default() });
        assert_eq!(soon(committed).await.unwrap(), Committed::Yes);
    }
    let seen = health.all();
    assert!(!seen[NOBODY].answers && seen[&members[1].endpoint()].answers, "{seen:?}");
}

/// With two of three away nothing can be read, and that is said in time.
#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_without_a_majority_is_an_error_that_names_it() {
    let (mut members, run) = cluster();
    let health = EtcdMembers::default();
    let store = opened(options(&members, &health), &run).await;
    members[0].kill().unwrap();
    members[1].kill().unwrap();
    let error = soon(store.get("k")).await.unwrap_err();
    assert_eq!(error.kind, replication::error::Kind::Transient, "{error:?}");
    assert!(error.what.contains(&members[2].endpoint()), "{error}");
    members[0].restart().unwrap();
    soon(async {
        while store.get("k").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
