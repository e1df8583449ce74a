//! Tests the target on a real Milvus in replica mode, and on one that is not. Never covers requests
//! that this version does not have: see `scripted_target`.

use crate::support::{User, keyed_schema, make_certificates, schema, shared_pair, soon};
use connectors::TlsFiles;
use connectors::milvus::{Milvus, MilvusOptions};
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, CollectionName, DatabaseId};
use milvus_wire::op::OpRequest;
use milvus_wire::proto::milvus as pb;
use milvus_wire::proto::schema::CollectionSchema;
use milvus_wire::replicate::{ReplicateCall, tick};
use milvus_wire::timestamp::Timestamp;
use replication::error::Kind;
use replication::ports::{CallError, Ddl, Target};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

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
async fn collections_and_partitions_come_and_go_idempotently() {
    let target = target();
    let at = soon(target.clock()).await.unwrap();
    let name = CollectionName::new("default", "made");
    assert_eq!(soon(target.describe(&name)).await.unwrap(), None);
    assert_eq!(
        soon(target.describe(&CollectionName::new("no_such_db", "made"))).await.unwrap(),
        None
    );
    make(&target, &create("made", collection(schema("other_name"), 2)), at).await;

    let made = soon(target.describe(&name)).await.unwrap().unwrap();
    assert_eq!(made.created, at, "the creation time is the source's");
    assert_eq!(made.vchannels.len(), 2);
    assert!(made.vchannels[0].ends_with("v0") && made.vchannels[1].ends_with("v1"));
    let fields = made.fields.unwrap();
    assert_eq!(fields, ["id Int64, primary key", "vec FloatVector(8)"]);
    assert_eq!(fields, milvus_wire::catalog::field_texts(&schema("any")));
    let pchannels = soon(target.pchannels()).await.unwrap();
    assert!(pchannels.is_sorted() && pchannels.len() >= 2, "{pchannels:?}");

    let partition = "p1".to_owned();
    let ddl = Ddl::CreatePartition { collection: name.clone(), partition: partition.clone() };
    apply(&target, &ddl, at.next()).await;
    let partitions = soon(target.partitions(&name)).await.unwrap();
    assert_eq!(partitions.keys().collect::<Vec<_>>(), ["_default", "p1"]);
    let ddl = Ddl::DropPartition { collection: name.clone(), partition };
    apply(&target, &ddl, at.plus_ms(1)).await;
    let partitions = soon(target.partitions(&name)).await.unwrap();
    assert_eq!(partitions.keys().collect::<Vec<_>>(), ["_default"]);

    apply(&target, &Ddl::DropCollection(name.clone()), at.plus_ms(2)).await;
    assert_eq!(soon(target.describe(&name)).await.unwrap(), None);
    // A partition of what is gone is gone.
    apply(&target, &ddl, at.plus_ms(3)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn databases_and_requests_of_the_op_channel_are_carried_out() {
    let target = target();
    let at = soon(target.clock()).await.unwrap();
    apply(&target, &Ddl::CreateDatabase("op_db".into()), at).await;
    assert!(soon(target.databases()).await.unwrap().contains(&"op_db".to_owned()));
    let ddl = Ddl::CreateCollection {
        name: CollectionName::new("op_db", "op"),
        collection: Box::new(collection(schema("op"), 1)),
    };
    make(&target, &ddl, at).await;
    let op = |request| Ddl::Op(Box::new(request));
    let (db_name, collection_name) = ("op_db".to_owned(), "op".to_owned());
    let create_index = op(OpRequest::CreateIndex(pb::CreateIndexRequest {
        db_name: db_name.clone(),
        collection_name: collection_name.clone(),
        field_name: "vec".into(),
        index_name: "vec_index".into(),
        extra_params: vec![
            crate::support::pair("index_type", "FLAT"),
            crate::support::pair("metric_type", "L2"),
        ],
        ..Default::default()
    }));
    apply(&target, &create_index, at).await;
    let flush = pb::FlushRequest {
        db_name: db_name.clone(),
        collection_names: vec![collection_name.clone()],
        ..Default::default()
    };
    let flush = op(OpRequest::Flush(flush));
    apply(&target, &flush, at).await;
    let release = pb::ReleaseCollectionRequest {
        db_name: db_name.clone(),
        collection_name: collection_name.clone(),
        ..Default::default()
    };
    apply(&target, &op(OpRequest::ReleaseCollection(release)), at).await;
    let drop_index = pb::DropIndexRequest {
        db_name: db_name.clone(),
        collection_name: collection_name.clone(),
        index_name: "vec_index".into(),
        ..Default::default()
    };
    apply(&target, &op(OpRequest::DropIndex(drop_index)), at).await;

    let drop_database =
        op(OpRequest::DropDatabase(pb::DropDatabaseRequest { db_name, ..Default::default() }));
    let error = soon(target.apply(&drop_database, at)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Transient, "a collection is still in it: {error:?}");
    let ddl = Ddl::DropCollection(CollectionName::new("op_db", "op"));
    apply(&target, &ddl, at).await;
    apply(&target, &drop_database, at).await;
    assert!(!soon(target.databases()).await.unwrap().contains(&"op_db".to_owned()));
}

fn ticks(pchannel: &str, at: Timestamp) -> ReplicateCall {
    ReplicateCall { pchannel: pchannel.into(), begin: at, end: at, messages: vec![tick(at)] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_is_replicated_and_a_loaded_partition_can_be_dropped() {
    let target = target();
    let at = soon(target.clock()).await.unwrap();
    make(&target, &create("ticked", collection(schema("ticked"), 1)), at).await;
    let ticked =
        soon(target.describe(&CollectionName::new("default", "ticked"))).await.unwrap().unwrap();
    let (pchannel, _) = ticked.vchannels[0].rsplit_once('_').unwrap();
    for _ in 0..3 {
        let at = soon(target.clock()).await.unwrap();
        soon(target.replicate(&ticks(pchannel, at))).await.unwrap();
    }

    let op = |request| Ddl::Op(Box::new(request));
    let (collection, partition) = (CollectionName::new("default", "ticked"), "loaded".to_owned());
    let ddl = Ddl::CreatePartition { collection: collection.clone(), partition: partition.clone() };
    apply(&target, &ddl, at).await;
    let create_index = op(OpRequest::CreateIndex(pb::CreateIndexRequest {
        collection_name: "ticked".into(),
        field_name: "vec".into(),
        extra_params: vec![
            crate::support::pair("index_type", "FLAT"),
            crate::support::pair("metric_type", "L2"),
        ],
        ..Default::default()
    }));
    apply(&target, &create_index, at).await;
    let load = pb::LoadCollectionRequest {
        collection_name: "ticked".into(),
        replica_number: 1,
        ..Default::default()
    };
    apply(&target, &op(OpRequest::LoadCollection(load)), at).await;
    let ddl = Ddl::DropPartition { collection: collection.clone(), partition };
    apply(&target, &ddl, at.plus_ms(1)).await;
    assert_eq!(soon(target.partitions(&collection)).await.unwrap().len(), 1);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_is_transient_and_took_nothing() {
    let away = Milvus::new(&MilvusOptions::new("127.0.0.1:1")).unwrap();
    let error = soon(away.databases()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Transient, "{error:?}");
    match soon(away.replicate(&ticks("c_0", Timestamp::from_ms(1)))).await {
        Err(CallError::Refused(error)) => assert_eq!(error.kind, Kind::Transient, "{error:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_freezes_a_minute_answers_afterwards_and_a_killed_one_leaves_it_open() {
    use lab::Server as _;
    crate::support::logged();
    let installed = lab::install_servers().unwrap();
    let (etcd, run) = crate::support::own_etcd(lab::EtcdOptions::default());
    let options = lab::MilvusOptions {
        tt_msg_enabled: false,
        ..lab::MilvusOptions::new("own", etcd.client(), lab::Queue::Rocksmq)
    };
    let mut server = lab::Milvus::start(&installed, &run.path().join("own"), options).unwrap();
    server.wait_ready(lab::READY_WITHIN).unwrap();
    let target = Milvus::new(&MilvusOptions::new(server.address())).unwrap();
    let at = soon(target.clock()).await.unwrap();
    apply(&target, &create("frozen", collection(schema("frozen"), 1)), at).await;
    let pchannel = soon(target.pchannels()).await.unwrap().remove(0);
    soon(target.replicate(&ticks(&pchannel, at))).await.unwrap();

    server.freeze().unwrap();
    let call = ticks(&pchannel, at.plus_ms(1));
    let sent = target.replicate(&call);
    tokio::pin!(sent);
    assert!(tokio::time::timeout(Duration::from_secs(62), &mut sent).await.is_err());
    server.thaw().unwrap();
    soon(sent).await.unwrap();

    server.freeze().unwrap();
    let call = ticks(&pchannel, at.plus_ms(2));
    let sent = target.replicate(&call);
    tokio::pin!(sent);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut sent).await.is_err());
    server.kill().unwrap();
    match soon(sent).await {
        Err(CallError::Unanswered(error)) => assert_eq!(error.kind, Kind::Transient, "{error:?}"),
        other => panic!("{other:?}"),
    }
    // And from then on nothing is sent.
    assert!(matches!(soon(target.replicate(&call)).await, Err(CallError::Refused(_))));
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
    assert!(what.contains("not accept our certificate"), "{what}");
    let what = told(&address, with_certificate(trusting(&ours, ""), &others)).await;
    assert!(what.contains("not accept our certificate"), "{what}");
    let what = told(&address, with_certificate(trusting(&others, ""), &ours)).await;
    assert!(what.contains("not signed by the authority that was given"), "{what}");
}
