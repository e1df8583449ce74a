//! Tests what is particular to the Milvus target on a real Milvus in replica mode, and on one that
//! is not. `conformance` has what every target must pass. Never covers requests that this version
//! does not have: see `scripted_target`.

use crate::support::{
    User, keyed_schema, logged, make_certificates, own_etcd, schema, shared_kafka, shared_pair,
    soon,
};
use connectors::TlsFiles;
use connectors::milvus::{Milvus, MilvusOptions};
use lab::Server as _;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, CollectionName, DatabaseId};
use milvus_wire::proto::schema::CollectionSchema;
use milvus_wire::replicate::{ReplicateCall, tick};
use milvus_wire::timestamp::Timestamp;
use milvus_wire::version::Version;
use replication::destination::milvus::one_clock::{Seen, compare};
use replication::error::Kind;
use replication::ports::{CallError, Ddl, Target};
use std::collections::BTreeMap;
use std::path::Path;

fn target() -> Milvus {
    Milvus::new(&MilvusOptions::new(shared_pair().target.address())).unwrap()
}

/// As the catalog would tell it.
fn collection(schema: CollectionSchema, shards: usize) -> Collection {
    let pchannels = (0..shards).map(|shard| format!("src-rootcoord-dml_{shard}"));
    Collection {
        id: CollectionId(7),
        database_id: DatabaseId(1),
        database: "default".into(),
        state: State::Created,
        schema,
        created: Timestamp::ZERO,
        vchannels: (0..shards).map(|s| format!("src-rootcoord-dml_{s}_7v{s}")).collect(),
        pchannels: pchannels.collect(),
        start_positions: BTreeMap::new(),
        consistency_level: 2,
        properties: vec![crate::support::pair("collection.ttl.seconds", "86400")],
        partition_count: None,
    }
}

fn create(name: &str, collection: Collection) -> Ddl {
    Ddl::CreateCollection {
        name: CollectionName::new("default", name),
        collection: Box::new(collection),
    }
}

/// Applying twice is the same as once.
async fn apply(target: &Milvus, ddl: &Ddl, at: Timestamp) {
    for _ in 0..2 {
        soon(target.apply(ddl, at)).await.unwrap();
    }
}

/// Creates a collection and ticks its channels. A target's data node takes up one channel after
/// the other, each only when its first tick comes: until then no flush succeeds on any of them.
async fn make(target: &Milvus, ddl: &Ddl, at: Timestamp) {
    apply(target, ddl, at).await;
    let now = soon(target.clock()).await.unwrap();
    for pchannel in soon(target.pchannels()).await.unwrap() {
        soon(target.replicate(&ticks(&pchannel, now))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_key_collection_gets_as_many_partitions_as_the_source_has() {
    let pair = shared_pair();
    let mut user = User::of(&pair.source).await;
    user.create_with("default", keyed_schema("keyed"), 1, 5).await;
    let catalog = connectors::etcd::Etcd::new(connectors::etcd::EtcdOptions {
        endpoints: vec![pair.source_etcd.endpoint()],
        root_path: pair.source.options.name.clone(),
        ..Default::default()
    })
    .unwrap();
    let snapshot = soon(replication::ports::Catalog::snapshot(&catalog)).await.unwrap();
    let keyed = snapshot.collections.into_iter().find(|c| c.name() == "keyed").unwrap();
    assert_eq!(keyed.partition_count, Some(5));
    let target = target();
    let at = keyed.created;
    make(&target, &create("keyed", keyed), at).await;
    assert_eq!(
        soon(target.partitions(&CollectionName::new("default", "keyed"))).await.unwrap().len(),
        5
    );
}

fn ticks(pchannel: &str, at: Timestamp) -> ReplicateCall {
    ReplicateCall { pchannel: pchannel.into(), begin: at, end: at, messages: vec![tick(at)] }
}

/// The lab's is one of those that lose unflushed rows at their restarts.
#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_a_milvus_says_what_it_loses() {
    let source = Milvus::new(&MilvusOptions::new(shared_pair().source.address())).unwrap();
    let version = soon(source.version()).await.unwrap();
    assert!(Version::parse(&version).unwrap().forgets_at_restarts(), "{version:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_milvus_that_is_no_replica_is_refused_with_advice() {
    let source = Milvus::new(&MilvusOptions::new(shared_pair().source.address())).unwrap();
    let call = ticks("src-rootcoord-dml_0", Timestamp::from_ms(1));
    match soon(source.replicate(&call)).await {
        Err(CallError::Refused(error)) => {
            assert_eq!(error.kind, Kind::Permanent);
            assert!(error.what.contains("common.ttMsgEnabled: false"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// A target at `https`, as these files say.
fn over_tls(address: &str, tls: TlsFiles) -> Milvus {
    let uri = format!("https://{address}");
    Milvus::new(&MilvusOptions { tls, ..MilvusOptions::new(uri) }).unwrap()
}

/// What someone with these files is told, who is not let in.
async fn told(address: &str, tls: TlsFiles) -> String {
    let target = over_tls(address, tls);
    let error = soon(target.databases()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Transient, "{error:?}");
    assert!(error.what.contains(address) && error.what.contains("dial_config"), "{error}");
    match soon(target.replicate(&ticks("c_0", Timestamp::from_ms(1)))).await {
        Err(CallError::Refused(_) | CallError::Unanswered(_)) => {}
        Ok(()) => panic!("rows went there"),
    }
    error.what
}

fn trusting(folder: &Path, server_name: &str) -> TlsFiles {
    let (server_name, ca) = (server_name.to_owned(), folder.join("ca.pem"));
    TlsFiles { server_name, ca, ..TlsFiles::default() }
}

fn with_certificate(files: TlsFiles, folder: &Path) -> TlsFiles {
    TlsFiles { cert: folder.join("client.pem"), key: folder.join("client.key"), ..files }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_one_way_and_two_way_lets_in_who_has_the_files_and_tells_the_others_why_not() {
    use lab::{MilvusTls, Server as _};
    crate::support::logged();
    let installed = lab::install_servers().unwrap();
    let (etcd, run) = crate::support::own_etcd(lab::EtcdOptions::default());
    let [ours, others] = ["ours", "others"].map(|name| run.path().join(name));
    for folder in [&ours, &others] {
        std::fs::create_dir(folder).unwrap();
        make_certificates(folder);
    }
    let options = lab::MilvusOptions {
        tt_msg_enabled: false,
        tls: Some(MilvusTls::one_way(&ours)),
        ..lab::MilvusOptions::new("tls", etcd.client(), lab::Queue::Rocksmq)
    };
    let mut server = lab::Milvus::start(&installed, &run.path().join("tls"), options).unwrap();
    server.wait_ready(lab::READY_WITHIN).unwrap();
    let address = server.address();
    for name in ["", "localhost"] {
        soon(over_tls(&address, trusting(&ours, name)).databases()).await.unwrap();
    }
    let what = told(&address, trusting(&others, "")).await;
    assert!(what.contains("not signed by the authority that was given"), "{what}");
    let what = told(&address, TlsFiles::default()).await;
    assert!(what.contains("not signed by the authority that was given"), "{what}");
    let what = told(&address, trusting(&ours, "elsewhere")).await;
    assert!(what.contains("for another server name"), "{what}");

    server.options.tls = Some(MilvusTls::two_way(&ours));
    server.restart().unwrap();
    server.wait_ready(lab::READY_WITHIN).unwrap();
    let target = over_tls(&address, with_certificate(trusting(&ours, "localhost"), &ours));
    let at = soon(target.clock()).await.unwrap();
    make(&target, &create("secured", collection(schema("secured"), 1)), at).await;
    let what = told(&address, trusting(&ours, "")).await;
    assert!(what.contains("does not accept ours"), "{what}");
    let what = told(&address, with_certificate(trusting(&ours, ""), &others)).await;
    assert!(what.contains("does not accept ours"), "{what}");
    let what = told(&address, with_certificate(trusting(&others, ""), &ours)).await;
    assert!(what.contains("not signed by the authority that was given"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_known_by_its_clock_under_any_address() {
    logged();
    let installed = lab::install_servers().unwrap();
    let (etcd, run) = own_etcd(lab::EtcdOptions::default());
    let queue = lab::Queue::Kafka(shared_kafka().broker());
    let options = lab::MilvusOptions {
        tt_msg_enabled: false,
        ..lab::MilvusOptions::new("known", etcd.client(), queue)
    };
    let mut server = lab::Milvus::start(&installed, &run.path().join("known"), options).unwrap();
    server.wait_ready(lab::READY_WITHIN).unwrap();
    let at = |address: &str| Milvus::new(&MilvusOptions::new(address)).unwrap();
    let here = at(&server.address());
    let elsewhere = at(&server.address().replace("127.0.0.1", "127.0.0.2"));
    let others = [at(&shared_pair().source.address()), at(&shared_pair().target.address())];
    for life in 0..2 {
        for _ in 0..3 {
            let seen = compare(&here, &elsewhere).await;
            assert!(matches!(seen, Seen::One), "life {life}: {seen:?}");
            for other in &others {
                let seen = compare(&here, other).await;
                assert!(matches!(seen, Seen::Two), "life {life}: {seen:?}");
            }
        }
        if life == 0 {
            server.restart().unwrap();
            server.wait_ready(lab::READY_WITHIN).unwrap();
        }
    }
    server.freeze().unwrap();
    assert!(matches!(compare(&here, &others[0]).await, Seen::FirstSilent(_)));
    assert!(matches!(compare(&others[0], &here).await, Seen::SecondSilent(_)));
    server.thaw().unwrap();
}

/// Rows wait for a collection or partition, and the op channel for a database, until the limit is
/// raised; then the same request succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_target_is_named_and_raised() {
    use lab::Server as _;
    crate::support::logged();
    let installed = lab::install_servers().unwrap();
    let (etcd, run) = crate::support::own_etcd(lab::EtcdOptions::default());
    let limits = |most: i32| {
        let limits = [
            "rootCoord.maxDatabaseNum",
            "rootCoord.maxPartitionNum",
            "quotaAndLimits.limits.maxCollectionNum",
            "quotaAndLimits.limits.maxCollectionNumPerDB",
        ];
        limits.map(|limit| (limit.to_owned(), most.into())).to_vec()
    };
    let options = lab::MilvusOptions {
        tt_msg_enabled: false,
        settings: limits(1),
        ..lab::MilvusOptions::new("limited", etcd.client(), lab::Queue::Rocksmq)
    };
    let mut server = lab::Milvus::start(&installed, &run.path().join("limited"), options).unwrap();
    server.wait_ready(lab::READY_WITHIN).unwrap();
    let target = Milvus::new(&MilvusOptions::new(server.address())).unwrap();
    let at = soon(target.clock()).await.unwrap();
    // The default database does not count.
    soon(target.apply(&Ddl::CreateDatabase("one".into()), at)).await.unwrap();
    soon(target.apply(&create("first", collection(schema("first"), 1)), at)).await.unwrap();
    let partition = "p".to_owned();
    let beyond = [
        (Ddl::CreateDatabase("another".into()), "rootCoord.maxDatabaseNum"),
        (create("second", collection(schema("second"), 1)), "maxCollectionNum"),
        (
            Ddl::CreatePartition { collection: CollectionName::new("default", "first"), partition },
            "rootCoord.maxPartitionNum",
        ),
    ];
    for (ddl, setting) in &beyond {
        let error = soon(target.apply(ddl, at)).await.expect_err(setting);
        let is_collection = matches!(ddl, Ddl::CreateCollection { .. });
        let kind = if is_collection { Kind::OneCollection } else { Kind::Transient };
        assert_eq!(error.kind, kind, "{error:?}");
        assert!(error.what.contains(setting), "{error}");
    }
    server.options.settings = limits(9);
    server.restart().unwrap();
    server.wait_ready(lab::READY_WITHIN).unwrap();
    for (ddl, _) in &beyond {
        soon(target.apply(ddl, at)).await.unwrap();
    }
}
