//! The requests of the op channel as JSON, with the member names that Go's JSON has for Milvus's
//! messages. Both formats contain them. Never decides whether a request is written.

use milvus_wire::op::OpRequest;
use milvus_wire::proto::common::{KeyValuePair, MsgBase};
use milvus_wire::proto::milvus as pb;
use milvus_wire::rbac::RbacRequest;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// A message of Milvus as Go's JSON has it: members that are zero or empty are left out, unless
/// they are messages.
#[derive(Default)]
pub(super) struct Message(pub(super) Map<String, Value>);

impl Message {
    /// Adds a member, unless it is zero or empty.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let is_there = match &value {
            Value::Null | Value::Bool(false) => false,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(values) => !values.is_empty(),
            Value::Object(_) | Value::Bool(true) => true,
        };
        if is_there {
            self.0.insert(name.to_owned(), value);
        }
        self
    }
}

impl From<Message> for Value {
    fn from(message: Message) -> Self {
        Self::Object(message.0)
    }
}

/// A request of the op channel: the Go tool's name for it, its members without the header, and the
/// header.
pub(super) fn op(request: &OpRequest) -> (&'static str, Message, Option<&MsgBase>) {
    let on = |database: &str| Message::default().with("db_name", database);
    let of = |database: &str, collection: &str| on(database).with("collection_name", collection);
    match request {
        OpRequest::CreateDatabase(r) => {
            let message = on(&r.db_name).with("properties", pairs(&r.properties));
            ("create database", message, r.base.as_ref())
        }
        OpRequest::DropDatabase(r) => ("drop database", on(&r.db_name), r.base.as_ref()),
        OpRequest::AlterDatabase(r) => {
            let message = on(&r.db_name)
                .with("db_id", &*r.db_id)
                .with("properties", pairs(&r.properties))
                .with("delete_keys", r.delete_keys.clone());
            ("alter database", message, r.base.as_ref())
        }
        OpRequest::CreateIndex(r) => {
            let message = of(&r.db_name, &r.collection_name)
                .with("field_name", &*r.field_name)
                .with("extra_params", pairs(&r.extra_params))
                .with("index_name", &*r.index_name);
            ("create index", message, r.base.as_ref())
        }
        OpRequest::DropIndex(r) => {
            let message = of(&r.db_name, &r.collection_name)
                .with("field_name", &*r.field_name)
                .with("index_name", &*r.index_name);
            ("drop index", message, r.base.as_ref())
        }
        OpRequest::AlterIndex(r) => {
            let message = of(&r.db_name, &r.collection_name)
                .with("index_name", &*r.index_name)
                .with("extra_params", pairs(&r.extra_params))
                .with("delete_keys", r.delete_keys.clone());
            ("alter index", message, r.base.as_ref())
        }
        OpRequest::LoadCollection(r) => ("load collection", load(r), r.base.as_ref()),
        OpRequest::ReleaseCollection(r) => {
            ("release collection", of(&r.db_name, &r.collection_name), r.base.as_ref())
        }
        OpRequest::LoadPartitions(r) => ("load partitions", load_partitions(r), r.base.as_ref()),
        OpRequest::ReleasePartitions(r) => {
            let message = of(&r.db_name, &r.collection_name)
                .with("partition_names", r.partition_names.clone());
            ("release partitions", message, r.base.as_ref())
        }
        OpRequest::Flush(r) => {
            let message = on(&r.db_name).with("collection_names", r.collection_names.clone());
            ("flush", message, r.base.as_ref())
        }
        OpRequest::Rbac(request) => access(request),
    }
}

fn load(r: &pb::LoadCollectionRequest) -> Message {
    Message::default()
        .with("db_name", &*r.db_name)
        .with("collection_name", &*r.collection_name)
        .with("replica_number", r.replica_number)
        .with("resource_groups", r.resource_groups.clone())
        .with("refresh", r.refresh)
        .with("load_fields", r.load_fields.clone())
        .with("skip_load_dynamic_field", r.skip_load_dynamic_field)
        .with("load_params", texts(&r.load_params))
}

fn load_partitions(r: &pb::LoadPartitionsRequest) -> Message {
    Message::default()
        .with("db_name", &*r.db_name)
        .with("collection_name", &*r.collection_name)
        .with("partition_names", r.partition_names.clone())
        .with("replica_number", r.replica_number)
        .with("resource_groups", r.resource_groups.clone())
        .with("refresh", r.refresh)
        .with("load_fields", r.load_fields.clone())
        .with("skip_load_dynamic_field", r.skip_load_dynamic_field)
        .with("load_params", texts(&r.load_params))
}

/// A request on users, roles or grants. The Go tool has no name for groups of privileges and for
/// grants of the second form; these are named after the requests.
fn access(request: &RbacRequest) -> (&'static str, Message, Option<&MsgBase>) {
    let none = Message::default;
    let name = |name: &str| none().with("name", name);
    match request {
        RbacRequest::CreateCredential(r) => {
            let message = none()
                .with("username", &*r.username)
                .with("password", &*r.password)
                .with("created_utc_timestamps", r.created_utc_timestamps)
                .with("modified_utc_timestamps", r.modified_utc_timestamps);
            ("create user", message, r.base.as_ref())
        }
        RbacRequest::UpdateCredential(r) => {
            let message = none()
                .with("username", &*r.username)
                .with("oldPassword", &*r.old_password)
                .with("newPassword", &*r.new_password)
                .with("created_utc_timestamps", r.created_utc_timestamps)
                .with("modified_utc_timestamps", r.modified_utc_timestamps);
            ("update user", message, r.base.as_ref())
        }
        RbacRequest::DeleteCredential(r) => {
            ("delete user", none().with("username", &*r.username), r.base.as_ref())
        }
        RbacRequest::CreateRole(r) => {
            let entity = r.entity.as_ref().map(|role| name(&role.name));
            ("create role", none().with("entity", entity), r.base.as_ref())
        }
        RbacRequest::DropRole(r) => {
            let message = none().with("role_name", &*r.role_name).with("force_drop", r.force_drop);
            ("drop role", message, r.base.as_ref())
        }
        RbacRequest::OperateUserRole(r) => {
            let adds = r.r#type == pb::OperateUserRoleType::AddUserToRole as i32;
            let message = none()
                .with("username", &*r.username)
                .with("role_name", &*r.role_name)
                .with("type", r.r#type);
            let kind = if adds { "add user to role" } else { "remove user from role" };
            (kind, message, r.base.as_ref())
        }
        RbacRequest::OperatePrivilege(r) => {
            let entity = r.entity.as_ref().map(grant);
            let message =
                none().with("entity", entity).with("type", r.r#type).with("version", &*r.version);
            (grants(r.r#type), message, r.base.as_ref())
        }
        RbacRequest::OperatePrivilegeV2(r) => {
            let message = none()
                .with("role", r.role.as_ref().map(|role| name(&role.name)))
                .with("grantor", r.grantor.as_ref().map(grantor))
                .with("type", r.r#type)
                .with("db_name", &*r.db_name)
                .with("collection_name", &*r.collection_name);
            ("operate privilege v2", message, r.base.as_ref())
        }
        RbacRequest::CreatePrivilegeGroup(r) => {
            let message = none().with("group_name", &*r.group_name);
            ("create privilege group", message, r.base.as_ref())
        }
        RbacRequest::DropPrivilegeGroup(r) => {
            let message = none().with("group_name", &*r.group_name);
            ("drop privilege group", message, r.base.as_ref())
        }
        RbacRequest::OperatePrivilegeGroup(r) => {
            ("operate privilege group", group(r), r.base.as_ref())
        }
    }
}

fn group(r: &pb::OperatePrivilegeGroupRequest) -> Message {
    let name =
        |privilege: &pb::PrivilegeEntity| Message::default().with("name", &*privilege.name).into();
    Message::default()
        .with("group_name", &*r.group_name)
        .with("privileges", r.privileges.iter().map(name).collect::<Vec<Value>>())
        .with("type", r.r#type)
}

fn grants(kind: i32) -> &'static str {
    if kind == pb::OperatePrivilegeType::Grant as i32 {
        "grant privilege"
    } else {
        "revoke privilege"
    }
}

fn grant(entity: &pb::GrantEntity) -> Message {
    let name = |name: &str| Message::default().with("name", name);
    Message::default()
        .with("role", entity.role.as_ref().map(|role| name(&role.name)))
        .with("object", entity.object.as_ref().map(|object| name(&object.name)))
        .with("object_name", &*entity.object_name)
        .with("grantor", entity.grantor.as_ref().map(grantor))
        .with("db_name", &*entity.db_name)
}

fn grantor(grantor: &pb::GrantorEntity) -> Message {
    let name = |name: &str| Message::default().with("name", name);
    Message::default()
        .with("user", grantor.user.as_ref().map(|user| name(&user.name)))
        .with("privilege", grantor.privilege.as_ref().map(|privilege| name(&privilege.name)))
}

/// A map of texts; `None` if it is empty.
pub(super) fn texts(map: &HashMap<String, String>) -> Option<Map<String, Value>> {
    let texts = map.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
    (!map.is_empty()).then(|| texts.collect())
}

/// Pairs as objects with `key` and `value`.
pub(super) fn pairs(pairs: &[KeyValuePair]) -> Vec<Value> {
    let pair = |pair: &KeyValuePair| {
        Message::default().with("key", &*pair.key).with("value", &*pair.value).into()
    };
    pairs.iter().map(pair).collect()
}

/// Pairs as the members of an object.
pub(super) fn members(pairs: &[KeyValuePair]) -> Map<String, Value> {
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.as_str().into())).collect()
}
