//! Compares every kind of request with the record that the Go tool writes for it. Go printed the
//! records in `go-requests.jsonl`: the tool's own parameters (`core/api/param.go`), filled in as
//! its writer does (`core/writer/channel_writer.go`). Never covers creations of collections: those
//! are tested in `request`.

use super::request::of;
use milvus_wire::ids::CollectionName;
use milvus_wire::op::OpRequest;
use milvus_wire::proto::common::{KeyValuePair, MsgBase, MsgType};
use milvus_wire::proto::milvus as pb;
use milvus_wire::rbac::RbacRequest;
use milvus_wire::timestamp::Timestamp;
use replication::ports::Ddl;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const AT: Timestamp = Timestamp(450_000_000_000_000_001);

/// One record for each kind, one a line.
const GO: &str = include_str!("go-requests.jsonl");

/// A request, its kind, and where our record deliberately differs.
struct Case {
    kind: &'static str,
    request: Ddl,
    here: Value,
}

fn case(kind: &'static str, request: Ddl) -> Case {
    Case { kind, request, here: json!({}) }
}

fn op(kind: &'static str, request: OpRequest) -> Case {
    case(kind, Ddl::Op(Box::new(request)))
}

fn access(kind: &'static str, request: RbacRequest) -> Case {
    op(kind, OpRequest::Rbac(request))
}

/// A header as a source logs it, every member set.
#[expect(deprecated, reason = "2.3 to 2.5 have nothing else")]
fn header(kind: MsgType) -> Option<MsgBase> {
    let replicate_info = milvus_wire::proto::common::ReplicateInfo {
        replicate_id: "another".into(),
        ..Default::default()
    };
    Some(MsgBase {
        msg_type: kind.into(),
        msg_id: 9,
        timestamp: 5,
        source_id: 3,
        target_id: 4,
        properties: [("k".to_owned(), "v".to_owned())].into(),
        replicate_info: Some(replicate_info),
    })
}

fn pair(key: &str, value: &str) -> KeyValuePair {
    KeyValuePair { key: key.into(), value: value.into() }
}

fn role(name: &str) -> pb::RoleEntity {
    pb::RoleEntity { name: name.into(), ..Default::default() }
}

fn shop() -> String {
    "shop".into()
}

fn titles() -> String {
    "titles".into()
}

fn of_the_catalog() -> Vec<Case> {
    let name = CollectionName::new(shop(), titles());
    let drop = Ddl::DropCollection(name.clone());
    let made = Ddl::CreatePartition { collection: name.clone(), partition: "p1".to_owned() };
    let dropped = Ddl::DropPartition { collection: name, partition: "p1".to_owned() };
    vec![
        case("drop collection", drop),
        case("create partition", made),
        case("drop partition", dropped),
        case("create database", Ddl::CreateDatabase(shop())),
    ]
}

fn of_databases() -> Vec<Case> {
    let create = pb::CreateDatabaseRequest {
        base: header(MsgType::CreateDatabase),
        db_name: shop(),
        properties: vec![pair("mmap.enabled", "true")],
    };
    let drop = pb::DropDatabaseRequest { base: header(MsgType::DropDatabase), db_name: shop() };
    let alter = pb::AlterDatabaseRequest {
        base: header(MsgType::AlterDatabase),
        db_name: shop(),
        db_id: "7".into(),
        properties: vec![pair("database.max.collections", "")],
        delete_keys: vec!["mmap".into()],
    };
    vec![
        Case {
            // The Go tool omits the properties.
            here: json!({"properties": [{"key": "mmap.enabled", "value": "true"}]}),
            ..op("create database", OpRequest::CreateDatabase(create))
        },
        op("drop database", OpRequest::DropDatabase(drop)),
        op("alter database", OpRequest::AlterDatabase(alter)),
    ]
}

fn of_indexes() -> Vec<Case> {
    let create = pb::CreateIndexRequest {
        base: header(MsgType::CreateIndex),
        db_name: shop(),
        collection_name: titles(),
        field_name: "vec".into(),
        extra_params: vec![pair("index_type", "HNSW")],
        index_name: "by_vec".into(),
    };
    let drop = pb::DropIndexRequest {
        base: header(MsgType::DropIndex),
        db_name: shop(),
        collection_name: titles(),
        field_name: "vec".into(),
        index_name: "by_vec".into(),
    };
    let alter = pb::AlterIndexRequest {
        base: header(MsgType::AlterIndex),
        db_name: shop(),
        collection_name: titles(),
        index_name: "by_vec".into(),
        extra_params: vec![pair("mmap.enabled", "true")],
        delete_keys: vec!["cache".into()],
    };
    vec![
        op("create index", OpRequest::CreateIndex(create)),
        op("drop index", OpRequest::DropIndex(drop)),
        Case {
            // The Go tool omits the database, which means the default one.
            here: json!({"Database": "shop"}),
            ..op("alter index", OpRequest::AlterIndex(alter))
        },
    ]
}

fn of_loads() -> Vec<Case> {
    let load = pb::LoadCollectionRequest {
        base: header(MsgType::LoadCollection),
        db_name: shop(),
        collection_name: titles(),
        replica_number: 2,
        resource_groups: vec!["rg".into()],
        refresh: true,
        load_fields: vec!["id".into()],
        skip_load_dynamic_field: true,
        load_params: [("a".to_owned(), "b".to_owned())].into(),
    };
    let partitions = pb::LoadPartitionsRequest {
        base: header(MsgType::LoadPartitions),
        db_name: shop(),
        collection_name: titles(),
        partition_names: vec!["p1".into()],
        replica_number: 2,
        resource_groups: vec!["rg".into()],
        ..Default::default()
    };
    let release = pb::ReleaseCollectionRequest {
        base: header(MsgType::ReleaseCollection),
        db_name: shop(),
        collection_name: titles(),
    };
    let release_partitions = pb::ReleasePartitionsRequest {
        base: header(MsgType::ReleasePartitions),
        db_name: shop(),
        collection_name: titles(),
        partition_names: vec!["p1".into()],
    };
    let flush = pb::FlushRequest {
        base: header(MsgType::Flush),
        db_name: shop(),
        collection_names: vec![titles(), "books".into()],
    };
    let release_partitions = OpRequest::ReleasePartitions(release_partitions);
    vec![
        op("load collection", OpRequest::LoadCollection(load)),
        Case {
            // The Go tool omits how they are loaded, except for the number of replicas.
            here: json!({"resource_groups": ["rg"]}),
            ..op("load partitions", OpRequest::LoadPartitions(partitions))
        },
        op("release collection", OpRequest::ReleaseCollection(release)),
        op("release partitions", release_partitions),
        op("flush", OpRequest::Flush(flush)),
    ]
}

fn of_users() -> Vec<Case> {
    let create = pb::CreateCredentialRequest {
        base: header(MsgType::CreateCredential),
        username: "ann".into(),
        password: "b2xk".into(),
        created_utc_timestamps: 11,
        modified_utc_timestamps: 12,
        ..Default::default()
    };
    let update = pb::UpdateCredentialRequest {
        base: header(MsgType::UpdateCredential),
        username: "ann".into(),
        old_password: "b2xk".into(),
        new_password: "bmV3".into(),
        created_utc_timestamps: 11,
        modified_utc_timestamps: 12,
        ..Default::default()
    };
    let delete = pb::DeleteCredentialRequest {
        base: header(MsgType::DeleteCredential),
        username: "ann".into(),
    };
    vec![
        access("create user", RbacRequest::CreateCredential(create)),
        access("update user", RbacRequest::UpdateCredential(update)),
        access("delete user", RbacRequest::DeleteCredential(delete)),
    ]
}

fn of_roles() -> Vec<Case> {
    let create =
        pb::CreateRoleRequest { base: header(MsgType::CreateRole), entity: Some(role("reader")) };
    let drop = pb::DropRoleRequest {
        base: header(MsgType::DropRole),
        role_name: "reader".into(),
        force_drop: true,
    };
    let member = |kind: pb::OperateUserRoleType| {
        RbacRequest::OperateUserRole(pb::OperateUserRoleRequest {
            base: header(MsgType::OperateUserRole),
            username: "ann".into(),
            role_name: "reader".into(),
            r#type: kind.into(),
        })
    };
    let (add, remove) = (
        member(pb::OperateUserRoleType::AddUserToRole),
        member(pb::OperateUserRoleType::RemoveUserFromRole),
    );
    vec![
        access("create role", RbacRequest::CreateRole(create)),
        access("drop role", RbacRequest::DropRole(drop)),
        access("add user to role", add),
        access("remove user from role", remove),
    ]
}

fn of_grants() -> Vec<Case> {
    let grantor = pb::GrantorEntity {
        // Without a name, as a source logs it if the client gave none.
        user: Some(pb::UserEntity::default()),
        privilege: Some(pb::PrivilegeEntity { name: "Search".into() }),
    };
    let entity = pb::GrantEntity {
        role: Some(role("reader")),
        object: Some(pb::ObjectEntity { name: "Collection".into() }),
        object_name: titles(),
        grantor: Some(grantor),
        db_name: shop(),
    };
    let privilege = |kind: pb::OperatePrivilegeType| {
        RbacRequest::OperatePrivilege(pb::OperatePrivilegeRequest {
            base: header(MsgType::OperatePrivilege),
            entity: Some(entity.clone()),
            r#type: kind.into(),
            version: "v2".into(),
        })
    };
    let (grant, revoke) =
        (privilege(pb::OperatePrivilegeType::Grant), privilege(pb::OperatePrivilegeType::Revoke));
    vec![access("grant privilege", grant), access("revoke privilege", revoke)]
}

#[test]
fn every_request_is_told_field_for_field_as_the_go_tool_tells_it() {
    let all = [
        of_the_catalog(),
        of_databases(),
        of_indexes(),
        of_loads(),
        of_users(),
        of_roles(),
        of_grants(),
    ];
    let go = GO.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        let data: Value = serde_json::from_str(record["data"].as_str().unwrap()).unwrap();
        (record["info"].as_str().unwrap().to_owned(), data)
    });
    let go: BTreeMap<String, Value> = go.collect();
    let mut told = BTreeSet::new();
    for Case { kind, request, here } in all.into_iter().flatten() {
        let mut expected = go[kind].clone();
        for (member, value) in here.as_object().unwrap() {
            expected[member] = value.clone();
        }
        assert_eq!(of(&request, AT), (kind, expected));
        told.insert(kind.to_owned());
    }
    assert!(go.keys().eq(&told), "{told:?}");
}
