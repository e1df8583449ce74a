//! Tests what is particular to the etcd catalog on real servers: the records that a source Milvus
//! writes, and what etcd does to a watch. `conformance` has what every catalog must pass. Never
//! fakes a record.

use crate::support::{
    User, done, etcd_with_tls, keyed_schema, make_certificates, own_etcd, pair, shared_pair, soon,
};
use connectors::etcd::{Etcd, EtcdOptions};
use connectors::{Secret, TlsFiles};
use lab::{EtcdClient, Server};
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::CollectionId;
use milvus_wire::proto::milvus as pb;
use milvus_wire::roles::{Grant, Role};
use milvus_wire::serving::{Load, Serving};
use replication::error::Kind;
use replication::ports::{Catalog, CatalogEvent, Snapshot};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;

fn source() -> Etcd {
    let pair = shared_pair();
    Etcd::new(EtcdOptions {
        endpoints: vec![pair.source_etcd.endpoint()],
        root_path: pair.source.options.name.clone(),
        ..EtcdOptions::default()
    })
    .unwrap()
}

fn named<'a>(snapshot: &'a Snapshot, database: &str, name: &str) -> Option<&'a Collection> {
    let wanted = |c: &&Collection| c.database == database && c.name() == name;
    snapshot.collections.iter().filter(|c| c.state == State::Created).find(wanted)
}

async fn event(changes: &mut Receiver<CatalogEvent>, wanted: CatalogEvent) {
    soon(async { while changes.recv().await.unwrap() != wanted {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_what_was_created_on_the_source() {
    let catalog = source();
    let mut user = User::of(&shared_pair().source).await;
    user.create_database("snap_db").await;
    user.create("default", "snap_a", 2).await;
    user.create("snap_db", "snap_a", 1).await;
    user.create_with("default", keyed_schema("snap_keyed"), 1, 7).await;
    user.create_partition("snap_a", "extra").await;

    let snapshot = soon(catalog.snapshot()).await.unwrap();
    let databases: Vec<_> = snapshot.databases.iter().map(|d| d.name.as_str()).collect();
    assert!(databases.contains(&"default") && databases.contains(&"snap_db"), "{databases:?}");
    let found = named(&snapshot, "default", "snap_a").unwrap();
    let fields: Vec<_> = found.schema.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(fields, ["id", "vec"]);
    assert!(found.schema.enable_dynamic_field);
    assert_eq!(found.vchannels.len(), 2);
    assert_eq!(found.start_positions.len(), 2);
    assert!(found.start_positions.values().all(|id| id.0.len() == 8), "kafka offsets");
    assert_eq!(found.properties[0].key, "collection.ttl.seconds");
    assert_eq!(soon(catalog.collection(found.id)).await.unwrap().as_ref(), Some(found));

    let partitions = soon(catalog.partitions(found.id)).await.unwrap();
    let mut names: Vec<_> = partitions.iter().map(|partition| partition.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["_default", "extra"]);
    assert_eq!(found.partition_count, None);
    let keyed = named(&snapshot, "default", "snap_keyed").unwrap();
    assert_eq!(keyed.partition_count, Some(7));
    assert_eq!(soon(catalog.partitions(keyed.id)).await.unwrap().len(), 7);
    assert_eq!(soon(catalog.collection(keyed.id)).await.unwrap().as_ref(), Some(keyed));
    // A catalog that has seen nothing yet finds it in whichever database.
    let other = named(&snapshot, "snap_db", "snap_a").unwrap();
    assert_eq!(soon(source().collection(other.id)).await.unwrap().as_ref(), Some(other));

    let mut changes = catalog.changes();
    user.drop("default", "snap_a").await;
    event(&mut changes, CatalogEvent::Collection(found.id)).await;
    // Its record stays for a while.
    let gone = soon(catalog.collection(found.id)).await.unwrap();
    assert_ne!(gone.map(|gone| gone.state), Some(State::Created));
    let snapshot = soon(catalog.snapshot()).await.unwrap();
    assert!(named(&snapshot, "default", "snap_a").is_none());
    assert!(soon(catalog.collection(CollectionId(1))).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_collections_are_listed_in_pages_with_their_fields() {
    let catalog = source();
    let mut user = User::of(&shared_pair().source).await;
    for number in 0..12 {
        user.create("default", &format!("many_{number}"), 1).await;
    }
    let snapshot = soon(catalog.snapshot()).await.unwrap();
    for number in 0..12 {
        let found = named(&snapshot, "default", &format!("many_{number}")).unwrap();
        assert_eq!(found.schema.fields.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_and_loads_are_read_and_told_of() {
    let catalog = source();
    let mut changes = catalog.changes();
    event(&mut changes, CatalogEvent::Resync).await;
    let mut user = User::of(&shared_pair().source).await;
    user.create("default", "served", 1).await;
    user.create_partition("served", "p").await;
    let snapshot = soon(catalog.snapshot()).await.unwrap();
    let collection = named(&snapshot, "default", "served").unwrap();
    let id = collection.id;
    assert_eq!(soon(catalog.serving(id)).await.unwrap(), Serving::default());

    let params = vec![pair("index_type", "FLAT"), pair("metric_type", "L2"), pair("params", "{}")];
    let index = pb::CreateIndexRequest {
        collection_name: "served".into(),
        field_name: "vec".into(),
        index_name: "by_vec".into(),
        extra_params: params.clone(),
        ..Default::default()
    };
    done(user.0.create_index(index).await.unwrap().into_inner());
    event(&mut changes, CatalogEvent::Serving(id)).await;
    let serving = soon(catalog.serving(id)).await.unwrap();
    let field = collection.schema.fields.iter().find(|field| field.name == "vec").unwrap();
    let found = &serving.indexes[0];
    assert_eq!((found.name.as_str(), found.field), ("by_vec", field.field_id));
    assert_eq!(found.params, params);
    assert_eq!(serving.load, None);

    let load = pb::LoadPartitionsRequest {
        collection_name: "served".into(),
        partition_names: vec!["p".into()],
        replica_number: 1,
        ..Default::default()
    };
    done(user.0.load_partitions(load).await.unwrap().into_inner());
    event(&mut changes, CatalogEvent::Serving(id)).await;
    let serving = soon(catalog.serving(id)).await.unwrap();
    assert_eq!(serving.load, Some(Load { whole: false, replicas: 1 }));
    let partitions = soon(catalog.partitions(id)).await.unwrap();
    let p = partitions.iter().find(|partition| partition.name == "p").unwrap().id;
    assert_eq!(serving.partitions.into_iter().collect::<Vec<_>>(), [p]);

    let load = pb::LoadCollectionRequest { collection_name: "served".into(), ..Default::default() };
    done(user.0.load_collection(load).await.unwrap().into_inner());
    let serving = soon(catalog.serving(id)).await.unwrap();
    assert_eq!(serving.load, Some(Load { whole: true, replicas: 1 }));
    assert_eq!(serving.partitions.len(), 2);

    // Without any of its partitions a collection is not loaded.
    let release = pb::ReleasePartitionsRequest {
        collection_name: "served".into(),
        partition_names: vec!["_default".into(), "p".into()],
        ..Default::default()
    };
    done(user.0.release_partitions(release).await.unwrap().into_inner());
    let serving = soon(catalog.serving(id)).await.unwrap();
    assert_eq!((serving.load, serving.partitions.len()), (None, 0));

    let dropped = pb::DropIndexRequest {
        collection_name: "served".into(),
        index_name: "by_vec".into(),
        ..Default::default()
    };
    done(user.0.drop_index(dropped).await.unwrap().into_inner());
    assert_eq!(soon(catalog.serving(id)).await.unwrap(), Serving::default());
    user.drop("default", "served").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_read_and_told_of() {
    let catalog = source();
    let mut changes = catalog.changes();
    event(&mut changes, CatalogEvent::Resync).await;
    let mut user = User::of(&shared_pair().source).await;
    let roles = soon(catalog.roles()).await.unwrap();
    assert!(roles.contains_key("admin") && roles.contains_key("public"), "{roles:?}");
    assert!(!roles["public"].grants.is_empty(), "{roles:?}");

    let role = Some(pb::RoleEntity { name: "told".into(), ..Default::default() });
    let request = pb::CreateRoleRequest { entity: role.clone(), ..Default::default() };
    done(user.0.create_role(request).await.unwrap().into_inner());
    event(&mut changes, CatalogEvent::Rbac).await;
    assert_eq!(soon(catalog.roles()).await.unwrap()["told"], Role::default());

    let ann = pb::CreateCredentialRequest {
        username: "told_ann".into(),
        password: "c2VjcmV0".into(),
        ..Default::default()
    };
    done(user.0.create_credential(ann).await.unwrap().into_inner());
    let mut member = pb::OperateUserRoleRequest {
        username: "told_ann".into(),
        role_name: "told".into(),
        ..Default::default()
    };
    member.set_type(pb::OperateUserRoleType::AddUserToRole);
    done(user.0.operate_user_role(member).await.unwrap().into_inner());
    let privilege = pb::PrivilegeEntity { name: "Search".into() };
    let mut grant = pb::OperatePrivilegeRequest {
        entity: Some(pb::GrantEntity {
            role,
            object: Some(pb::ObjectEntity { name: "Collection".into() }),
            object_name: "titles".into(),
            grantor: Some(pb::GrantorEntity { user: None, privilege: Some(privilege) }),
            db_name: "shop".into(),
        }),
        ..Default::default()
    };
    let mut operate = async |kind: pb::OperatePrivilegeType| {
        grant.set_type(kind);
        let mut request = tonic::Request::new(grant.clone());
        // `root:Milvus`: who grants has to say who he is.
        request.metadata_mut().insert("authorization", "cm9vdDpNaWx2dXM=".parse().unwrap());
        done(user.0.operate_privilege(request).await.unwrap().into_inner());
    };
    operate(pb::OperatePrivilegeType::Grant).await;
    let told = soon(catalog.roles()).await.unwrap().remove("told").unwrap();
    let search = Grant {
        object_type: "Collection".into(),
        database: "shop".into(),
        object: "titles".into(),
        privilege: "Search".into(),
    };
    assert_eq!(told.grants.into_iter().collect::<Vec<_>>(), [search]);
    assert_eq!(told.members.into_iter().collect::<Vec<_>>(), ["told_ann"]);
    operate(pb::OperatePrivilegeType::Revoke).await;
    let told = soon(catalog.roles()).await.unwrap().remove("told").unwrap();
    assert!(told.grants.is_empty(), "{told:?}");

    let request = pb::DropRoleRequest { role_name: "told".into(), ..Default::default() };
    done(user.0.drop_role(request).await.unwrap().into_inner());
    assert!(!soon(catalog.roles()).await.unwrap().contains_key("told"));
    let request = pb::DeleteCredentialRequest { username: "told_ann".into(), ..Default::default() };
    done(user.0.delete_credential(request).await.unwrap().into_inner());
}

/// Something like a collection's record: a watch does not look into it.
fn put(etcd: &EtcdClient, id: i64) {
    let key = format!("by-dev/meta/root-coord/database/collection-info/1/{id}");
    etcd.run(&["put", &key, "x"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_survives_a_compaction() {
    let (mut server, _run) = own_etcd(lab::EtcdOptions::default());
    let client = server.client();
    let options = EtcdOptions { endpoints: vec![server.endpoint()], ..EtcdOptions::default() };
    let catalog = Etcd::new(options).unwrap();
    let mut changes = catalog.changes();
    event(&mut changes, CatalogEvent::Resync).await;
    put(&client, 7);
    event(&mut changes, CatalogEvent::Collection(CollectionId(7))).await;

    let (mut etcd, revision) = compaction(&server).await;
    etcd.compact(revision, None).await.unwrap();
    put(&client, 10);
    event(&mut changes, CatalogEvent::Collection(CollectionId(10))).await;
    // Compacted while it was away.
    server.kill().unwrap();
    server.bring_back().unwrap();
    let (mut etcd, revision) = compaction(&server).await;
    etcd.compact(revision, None).await.unwrap();
    event(&mut changes, CatalogEvent::Resync).await;
    put(&client, 11);
    event(&mut changes, CatalogEvent::Collection(CollectionId(11))).await;
}

/// As with a wrong root path: it must not look like a source without collections.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_without_a_milvus_is_named_until_there_is_one() {
    let (server, _run) = own_etcd(lab::EtcdOptions::default());
    let client = server.client();
    // Of another cluster, of one whose name only begins so, and of this one but not its metadata.
    for key in ["other/meta/root-coord/x", "by-device/meta/root-coord/x", "by-dev/kv/gid/x"] {
        client.run(&["put", key, "x"]).unwrap();
    }
    let options = EtcdOptions { endpoints: vec![server.endpoint()], ..EtcdOptions::default() };
    let catalog = Etcd::new(options).unwrap();
    let id = CollectionId(7);
    for error in [
        soon(catalog.snapshot()).await.unwrap_err(),
        soon(catalog.collection(id)).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, Kind::Transient, "{error:?}");
        for part in [
            &server.endpoint(),
            "no key begins with by-dev/meta/root-coord/",
            "check sourceConfig.etcd.rootPath and sourceConfig.etcd.metaSubPath",
        ] {
            assert!(error.what.contains(part), "{error}");
        }
    }
    // A Milvus of before databases is there.
    client.run(&["put", "by-dev/meta/root-coord/credential/users/root", "x"]).unwrap();
    let snapshot = soon(catalog.snapshot()).await.unwrap();
    let names: Vec<_> = snapshot.databases.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["default"]);
    assert_eq!(soon(catalog.collection(id)).await.unwrap(), None);
}

async fn compaction(server: &lab::Etcd) -> (etcd_client::Client, i64) {
    let mut client = etcd_client::Client::connect([server.endpoint()], None).await.unwrap();
    let revision = client.get("none", None).await.unwrap().header().unwrap().revision();
    (client, revision)
}

/// How long the server stands still, in which nothing is to happen that could be seen from here:
/// ten seconds until the next ping, ten for its answer, and some to give up the watch.
const LONGER_THAN_A_PING: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_stands_still_is_noticed() {
    let (mut server, _run) = own_etcd(lab::EtcdOptions::default());
    let options = EtcdOptions { endpoints: vec![server.endpoint()], ..EtcdOptions::default() };
    let catalog = Etcd::new(options).unwrap();
    let mut changes = catalog.changes();
    event(&mut changes, CatalogEvent::Resync).await;
    server.freeze().unwrap();
    tokio::time::sleep(LONGER_THAN_A_PING).await;
    server.thaw().unwrap();
    event(&mut changes, CatalogEvent::Resync).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_certificates_let_in_and_survive_a_restart() {
    let files = tempfile::tempdir().unwrap();
    make_certificates(files.path());
    let (mut server, _run) = own_etcd(etcd_with_tls(files.path()));
    let file = |name: &str| files.path().join(name);
    let client = server.client();
    put(&client, 7);
    for command in ["user add root:right", "user grant-role root root", "auth enable"] {
        client.run(&command.split(' ').collect::<Vec<_>>()).unwrap();
    }
    let with = |password: &str| EtcdOptions {
        endpoints: vec![server.endpoint()],
        username: "root".into(),
        password: Secret::new(password),
        tls: Some(TlsFiles {
            ca: file("ca.pem"),
            cert: file("client.pem"),
            key: file("client.key"),
            ..TlsFiles::default()
        }),
        ..EtcdOptions::default()
    };
    let catalog = Etcd::new(with("right")).unwrap();
    let mut changes = catalog.changes();
    event(&mut changes, CatalogEvent::Resync).await;
    assert!(soon(catalog.partitions(CollectionId(7))).await.unwrap().is_empty());
    let wrong = Etcd::new(with("wrong")).unwrap();
    let error = soon(wrong.snapshot()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    // The login's token ends with the process that gave it.
    server.kill().unwrap();
    server.bring_back().unwrap();
    event(&mut changes, CatalogEvent::Resync).await;
    assert!(soon(catalog.partitions(CollectionId(7))).await.unwrap().is_empty());
}
