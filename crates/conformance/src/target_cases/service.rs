//! Cases about what belongs to no collection: databases, users, roles, the clock and requests of
//! the op channel. Never about rows.

use super::requests::{
    DATABASE, INDEX, access, apply, create_index, drop_collection, drop_database, make, now, op,
    tick_all,
};
use super::world::TargetUnderTest;
use crate::cases::{done, soon};
use milvus_wire::ids::CollectionName;
use milvus_wire::op::OpRequest;
use milvus_wire::proto::milvus as pb;
use milvus_wire::rbac::RbacRequest;
use milvus_wire::roles::{Grant, Role};
use milvus_wire::timestamp::Timestamp;
use milvus_wire::version::Version;
use replication::error::Kind;
use replication::ports::Ddl;
use std::collections::BTreeSet;
use std::time::Duration;

/// As a source does.
const TICK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn databases_come_and_go(world: &impl TargetUnderTest) {
    let target = world.target();
    let databases = async || done(soon("the databases", target.databases()).await);
    let name = "suite_database".to_owned();
    assert!(databases().await.contains(&DATABASE.to_owned()));
    assert!(!databases().await.contains(&name));
    apply(&*target, &Ddl::CreateDatabase(name.clone())).await;
    assert!(databases().await.contains(&name));
    apply(&*target, &drop_database(&name)).await;
    assert!(!databases().await.contains(&name));
}

pub(crate) async fn the_collections_of_a_database_are_listed(world: &impl TargetUnderTest) {
    let target = world.target();
    let listed = async |database: &str| done(target.collections(database).await);
    assert!(listed("suite_no_database").await.is_empty());
    let name = CollectionName::new(DATABASE, "suite_listed");
    assert!(!listed(DATABASE).await.contains(&name));
    make(&*target, &name, 1).await;
    assert!(listed(DATABASE).await.contains(&name));
    apply(&*target, &drop_collection(&name)).await;
    assert!(!listed(DATABASE).await.contains(&name));
}

pub(crate) async fn users_are_listed(world: &impl TargetUnderTest) {
    let target = world.target();
    let users = async || done(soon("the users", target.users()).await);
    assert!(!users().await.contains("suite_ann"));
    world.make_user("suite_ann").await;
    assert!(users().await.contains("suite_ann"));
}

pub(crate) async fn a_role_is_read_as_it_was_made(world: &impl TargetUnderTest) {
    let target = world.target();
    world.make_user("suite_bob").await;
    let databases = BTreeSet::from(["*", DATABASE]);
    let role = async || done(soon("a role", target.role("suite_reader", &databases)).await);
    assert_eq!(role().await, None);
    let entity = || Some(pb::RoleEntity { name: "suite_reader".into(), ..Default::default() });
    let create = pb::CreateRoleRequest { entity: entity(), ..Default::default() };
    apply(&*target, &access(RbacRequest::CreateRole(create))).await;
    assert_eq!(role().await, Some(Role::default()));

    let member = |kind: pb::OperateUserRoleType| pb::OperateUserRoleRequest {
        username: "suite_bob".into(),
        role_name: "suite_reader".into(),
        r#type: kind.into(),
        ..Default::default()
    };
    let named = |name: &str| pb::PrivilegeEntity { name: name.to_owned() };
    let grant = |kind: pb::OperatePrivilegeType| pb::OperatePrivilegeRequest {
        entity: Some(pb::GrantEntity {
            role: entity(),
            object: Some(pb::ObjectEntity { name: "Collection".into() }),
            object_name: "c".into(),
            grantor: Some(pb::GrantorEntity { user: None, privilege: Some(named("Search")) }),
            db_name: DATABASE.into(),
        }),
        r#type: kind.into(),
        ..Default::default()
    };
    let add = member(pb::OperateUserRoleType::AddUserToRole);
    apply(&*target, &access(RbacRequest::OperateUserRole(add))).await;
    let granted = grant(pb::OperatePrivilegeType::Grant);
    apply(&*target, &access(RbacRequest::OperatePrivilege(granted))).await;
    let search = Grant {
        object_type: "Collection".into(),
        database: DATABASE.into(),
        object: "c".into(),
        privilege: "Search".into(),
    };
    let expected = Role {
        grants: BTreeSet::from([search]),
        members: BTreeSet::from(["suite_bob".to_owned()]),
    };
    assert_eq!(role().await, Some(expected));

    let revoked = grant(pb::OperatePrivilegeType::Revoke);
    apply(&*target, &access(RbacRequest::OperatePrivilege(revoked))).await;
    let remove = member(pb::OperateUserRoleType::RemoveUserFromRole);
    apply(&*target, &access(RbacRequest::OperateUserRole(remove))).await;
    assert_eq!(role().await, Some(Role::default()));
    let drop = pb::DropRoleRequest { role_name: "suite_reader".into(), ..Default::default() };
    apply(&*target, &access(RbacRequest::DropRole(drop))).await;
    assert_eq!(role().await, None);
}

pub(crate) async fn requests_of_the_op_channel_are_carried_out(world: &impl TargetUnderTest) {
    let target = world.target();
    let (database, name) = ("suite_op", &CollectionName::new("suite_op", "suite_op"));
    apply(&*target, &Ddl::CreateDatabase(database.into())).await;
    make(&*target, name, 1).await;
    apply(&*target, &create_index(name)).await;
    let (db_name, collection_name) = (name.database.clone(), name.name.clone());
    let flush = pb::FlushRequest {
        db_name: db_name.clone(),
        collection_names: vec![collection_name.clone()],
        ..Default::default()
    };
    apply(&*target, &op(OpRequest::Flush(flush))).await;
    let release = pb::ReleaseCollectionRequest {
        db_name: db_name.clone(),
        collection_name: collection_name.clone(),
        ..Default::default()
    };
    apply(&*target, &op(OpRequest::ReleaseCollection(release))).await;
    let drop_index = pb::DropIndexRequest {
        db_name,
        collection_name,
        index_name: INDEX.into(),
        ..Default::default()
    };
    apply(&*target, &op(OpRequest::DropIndex(drop_index))).await;

    let at = now(&*target).await;
    let too_early = soon("a request", target.apply(&drop_database(database), at)).await;
    let too_early = too_early.map_err(|error| error.kind);
    assert_eq!(too_early, Err(Kind::Transient), "a collection is still in it");
    apply(&*target, &drop_collection(name)).await;
    apply(&*target, &drop_database(database)).await;
    let databases = done(soon("the databases", target.databases()).await);
    assert!(!databases.contains(&database.to_owned()));
}

/// A data node may not know the channel yet.
pub(crate) async fn a_flush_ends(world: &impl TargetUnderTest) {
    let target = world.target();
    let name = CollectionName::new(DATABASE, "suite_flushed");
    let made = make(&*target, &name, 2).await;
    let ended = async {
        loop {
            if let Ok(flush) = target.flush(&name).await {
                assert!(flush.at >= made && flush.collection == name, "{flush:?}");
                break flush;
            }
            tick_all(&*target).await;
            tokio::time::sleep(TICK_EVERY).await;
        }
    };
    let flush = soon("a flush", ended).await;
    let ended = async {
        while !done(target.is_flushed(&flush).await) {
            tick_all(&*target).await;
            tokio::time::sleep(TICK_EVERY).await;
        }
    };
    soon("the end of a flush", ended).await;
    apply(&*target, &drop_collection(&name)).await;
}

pub(crate) async fn a_proxy_answers(world: &impl TargetUnderTest) {
    let target = world.target();
    let proxies = done(target.proxies().await);
    assert!(!proxies.is_empty());
    assert_eq!(done(target.proxies().await), proxies, "the ids stay while nobody restarts");
}

pub(crate) async fn the_data_nodes_are_listed(world: &impl TargetUnderTest) {
    let target = world.target();
    let nodes = done(target.data_nodes().await);
    assert!(!nodes.is_empty());
    assert_eq!(done(target.data_nodes().await), nodes, "the ids stay while nobody restarts");
}

pub(crate) async fn the_version_is_named(world: &impl TargetUnderTest) {
    let version = done(world.target().version().await);
    let is_read = version.is_empty() || Version::parse(&version).is_some();
    assert!(is_read, "{version:?}");
}

pub(crate) async fn the_clock_goes_on(world: &impl TargetUnderTest) {
    let target = world.target();
    let mut before = Timestamp::ZERO;
    for _ in 0..10 {
        let now = now(&*target).await;
        assert!(now > Timestamp::ZERO && now >= before, "{now} after {before}");
        before = now;
    }
}
