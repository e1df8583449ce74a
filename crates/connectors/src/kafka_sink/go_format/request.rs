//! Requests on the metadata as the Go tool tells them: a kind, and the parameters as its JSON has
//! them. Never decides whether a request is told.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use milvus_wire::access::AccessRequest;
use milvus_wire::catalog::Collection;
use milvus_wire::op::OpRequest;
use milvus_wire::proto::common::{KeyValuePair, MsgBase};
use milvus_wire::proto::milvus as pb;
use milvus_wire::proto::schema::value_field::Data;
use milvus_wire::proto::schema::{FieldSchema, FunctionSchema, ValueField};
use milvus_wire::timestamp::Timestamp;
use replication::ports::Ddl;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// A message of Milvus as Go's JSON has it: what is zero or empty is left out, save for messages.
#[derive(Default)]
pub(in crate::kafka_sink) struct Message(Map<String, Value>);

impl Message {
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
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

/// The kind of a request and its parameters.
pub(super) fn of(ddl: &Ddl, at: Timestamp) -> (&'static str, Value) {
    let base = Value::from(base(None, at));
    match ddl {
        Ddl::CreateDatabase(name) => {
            ("create database", json!({"Database": "", "base": base, "db_name": name}))
        }
        Ddl::CreateCollection { database, name, collection } => {
            let schema = schema(name, collection);
            let properties = pairs(&collection.properties);
            let parameters = json!({
                "Base": base,
                "Database": database,
                "Schema": schema,
                "ShardsNum": collection.vchannels.len(),
                "ConsistencyLevel": collection.consistency_level,
                "Properties": if properties.is_empty() { Value::Null } else { properties.into() },
            });
            ("create collection", parameters)
        }
        Ddl::DropCollection { database, name } => {
            ("drop collection", json!({"Base": base, "Database": database, "CollectionName": name}))
        }
        Ddl::CreatePartition { database, collection, partition } => {
            ("create partition", of_a_partition(base, [database, collection, partition]))
        }
        Ddl::DropPartition { database, collection, partition } => {
            ("drop partition", of_a_partition(base, [database, collection, partition]))
        }
        Ddl::RenameCollection { database, name, to_database, to_name, .. } => {
            let names = json!({"oldName": name, "newName": to_name, "newDBName": to_database});
            ("rename collection", in_database(base, database, names))
        }
        Ddl::AlterCollection { database, name, set, removed } => {
            let pair = |(key, value): &(String, String)| json!({"key": key, "value": value});
            let set: Vec<_> = set.iter().map(pair).collect();
            let change =
                json!({"collection_name": name, "properties": set, "delete_keys": removed});
            ("alter collection", in_database(base, database, change))
        }
        Ddl::GiveAlias { database, collection, alias } => {
            let change = json!({"collection_name": collection, "alias": alias});
            ("alter alias", in_database(base, database, change))
        }
        Ddl::DropAlias { database, alias } => {
            ("drop alias", in_database(base, database, json!({"alias": alias})))
        }
        Ddl::Op(request) => of_the_op_channel(request, at),
    }
}

/// Most requests the Go tool passes on as the source logged them, some it makes anew: then the
/// header says only when it happened, and `Database` alone says where.
fn of_the_op_channel(request: &OpRequest, at: Timestamp) -> (&'static str, Value) {
    let (kind, Message(mut parameters), header) = op(request);
    let (database, header) = match request {
        OpRequest::CreateDatabase(_) | OpRequest::DropDatabase(_) => ("", None),
        OpRequest::AlterDatabase(_) => ("", header),
        OpRequest::DropIndex(_)
        | OpRequest::ReleaseCollection(_)
        | OpRequest::LoadPartitions(_)
        | OpRequest::ReleasePartitions(_)
        | OpRequest::Flush(_) => {
            parameters.remove("db_name");
            (request.database(), None)
        }
        // Deliberately also for an altered index, whose `Database` the Go tool forgets: who takes
        // it from there, as for any other index, would alter one of the default database.
        _ => (request.database(), header),
    };
    parameters.insert("Database".into(), database.into());
    parameters.insert("base".into(), base(header, at).into());
    (kind, parameters.into())
}

/// What the Go tool knows nothing of, with the names that Milvus's messages have in Go's JSON.
fn in_database(base: Value, database: &str, mut message: Value) -> Value {
    message["base"] = base;
    message["db_name"] = database.into();
    message["Database"] = database.into();
    message
}

fn of_a_partition(base: Value, [database, collection, partition]: [&str; 3]) -> Value {
    json!({
        "Base": base,
        "Database": database,
        "CollectionName": collection,
        "PartitionName": partition,
    })
}

/// The header of a request, which says when it happened on the source. What it said before of
/// being replicated is of another replication.
fn base(old: Option<&MsgBase>, at: Timestamp) -> Message {
    let old = old.cloned().unwrap_or_default();
    let info = Message::default().with("isReplicate", true).with("msgTimestamp", at.0);
    Message::default()
        .with("msg_type", old.msg_type)
        .with("msgID", old.msg_id)
        .with("timestamp", old.timestamp)
        .with("sourceID", old.source_id)
        .with("targetID", old.target_id)
        .with("properties", texts(&old.properties))
        .with("replicateInfo", info)
}

/// A map of texts; nothing if it is empty.
fn texts(map: &HashMap<String, String>) -> Option<Map<String, Value>> {
    let texts = map.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
    (!map.is_empty()).then(|| texts.collect())
}

fn pairs(pairs: &[KeyValuePair]) -> Vec<Value> {
    let pair = |pair: &KeyValuePair| {
        Message::default().with("key", &*pair.key).with("value", &*pair.value).into()
    };
    pairs.iter().map(pair).collect()
}

/// Pairs as the members of an object.
pub(in crate::kafka_sink) fn members(pairs: &[KeyValuePair]) -> Map<String, Value> {
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.as_str().into())).collect()
}

/// As Go's SDK has it: no member is left out.
fn schema(name: &str, collection: &Collection) -> Value {
    let schema = &collection.schema;
    json!({
        "CollectionName": name,
        "Description": schema.description,
        "AutoID": schema.fields.iter().any(|field| field.auto_id),
        "Fields": schema.fields.iter().map(field).collect::<Vec<_>>(),
        "EnableDynamicField": schema.enable_dynamic_field,
        "Functions": schema.functions.iter().map(function).collect::<Vec<_>>(),
    })
}

fn field(field: &FieldSchema) -> Value {
    json!({
        "ID": field.field_id,
        "Name": field.name,
        "PrimaryKey": field.is_primary_key,
        "AutoID": field.auto_id,
        "Description": field.description,
        "DataType": field.data_type,
        "TypeParams": members(&field.type_params),
        "IndexParams": members(&field.index_params),
        "IsDynamic": field.is_dynamic,
        "IsPartitionKey": field.is_partition_key,
        "IsClusteringKey": field.is_clustering_key,
        "ElementType": field.element_type,
        "DefaultValue": field.default_value.as_ref().map(default_value),
        "Nullable": field.nullable,
    })
}

fn function(function: &FunctionSchema) -> Value {
    json!({
        "Name": function.name,
        "Description": function.description,
        "Type": function.r#type,
        "InputFieldNames": function.input_field_names,
        "OutputFieldNames": function.output_field_names,
        "Params": members(&function.params),
    })
}

fn default_value(value: &ValueField) -> Value {
    let data = value.data.as_ref().map(|data| match data {
        Data::BoolData(value) => json!({"BoolData": value}),
        Data::IntData(value) => json!({"IntData": value}),
        Data::LongData(value) => json!({"LongData": value}),
        Data::FloatData(value) => json!({"FloatData": value}),
        Data::DoubleData(value) => json!({"DoubleData": value}),
        Data::StringData(value) => json!({"StringData": value}),
        Data::BytesData(value) => json!({"BytesData": STANDARD.encode(value)}),
        Data::TimestamptzData(value) => json!({"TimestamptzData": value}),
        Data::DateData(value) => json!({"DateData": value}),
        Data::TimeData(value) => json!({"TimeData": value}),
    });
    json!({"Data": data})
}

/// A request of the op channel: its kind, its members without the header, and the header.
pub(in crate::kafka_sink) fn op(request: &OpRequest) -> (&'static str, Message, Option<&MsgBase>) {
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
        OpRequest::Access(request) => access(request),
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

/// A request on who may do what. The Go tool has no kind for groups of privileges and for grants of
/// the second form; these are named after the requests.
fn access(request: &AccessRequest) -> (&'static str, Message, Option<&MsgBase>) {
    let none = Message::default;
    let name = |name: &str| none().with("name", name);
    match request {
        AccessRequest::CreateCredential(r) => {
            let message = none()
                .with("username", &*r.username)
                .with("password", &*r.password)
                .with("created_utc_timestamps", r.created_utc_timestamps)
                .with("modified_utc_timestamps", r.modified_utc_timestamps);
            ("create user", message, r.base.as_ref())
        }
        AccessRequest::UpdateCredential(r) => {
            let message = none()
                .with("username", &*r.username)
                .with("oldPassword", &*r.old_password)
                .with("newPassword", &*r.new_password)
                .with("created_utc_timestamps", r.created_utc_timestamps)
                .with("modified_utc_timestamps", r.modified_utc_timestamps);
            ("update user", message, r.base.as_ref())
        }
        AccessRequest::DeleteCredential(r) => {
            ("delete user", none().with("username", &*r.username), r.base.as_ref())
        }
        AccessRequest::CreateRole(r) => {
            let entity = r.entity.as_ref().map(|role| name(&role.name));
            ("create role", none().with("entity", entity), r.base.as_ref())
        }
        AccessRequest::DropRole(r) => {
            let message = none().with("role_name", &*r.role_name).with("force_drop", r.force_drop);
            ("drop role", message, r.base.as_ref())
        }
        AccessRequest::OperateUserRole(r) => {
            let adds = r.r#type == pb::OperateUserRoleType::AddUserToRole as i32;
            let message = none()
                .with("username", &*r.username)
                .with("role_name", &*r.role_name)
                .with("type", r.r#type);
            let kind = if adds { "add user to role" } else { "remove user from role" };
            (kind, message, r.base.as_ref())
        }
        AccessRequest::OperatePrivilege(r) => {
            let entity = r.entity.as_ref().map(grant);
            let message =
                none().with("entity", entity).with("type", r.r#type).with("version", &*r.version);
            (grants(r.r#type), message, r.base.as_ref())
        }
        AccessRequest::OperatePrivilegeV2(r) => {
            let message = none()
                .with("role", r.role.as_ref().map(|role| name(&role.name)))
                .with("grantor", r.grantor.as_ref().map(grantor))
                .with("type", r.r#type)
                .with("db_name", &*r.db_name)
                .with("collection_name", &*r.collection_name);
            ("operate privilege v2", message, r.base.as_ref())
        }
        AccessRequest::CreatePrivilegeGroup(r) => {
            let message = none().with("group_name", &*r.group_name);
            ("create privilege group", message, r.base.as_ref())
        }
        AccessRequest::DropPrivilegeGroup(r) => {
            let message = none().with("group_name", &*r.group_name);
            ("drop privilege group", message, r.base.as_ref())
        }
        AccessRequest::OperatePrivilegeGroup(r) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use milvus_wire::catalog::State;
    use milvus_wire::ids::{CollectionId, DatabaseId};
    use milvus_wire::proto::common::MsgType;
    use milvus_wire::proto::schema::{CollectionSchema, DataType};

    const AT: Timestamp = Timestamp(450_000_000_000_000_001);

    /// A collection with a key and a vector.
    fn collection() -> Collection {
        let dim = KeyValuePair { key: "dim".into(), value: "8".into() };
        let key = FieldSchema {
            field_id: 100,
            name: "id".into(),
            is_primary_key: true,
            data_type: DataType::Int64 as i32,
            ..Default::default()
        };
        let vector = FieldSchema {
            field_id: 101,
            name: "vec".into(),
            data_type: DataType::FloatVector as i32,
            type_params: vec![dim],
            default_value: Some(ValueField { data: Some(Data::LongData(3)) }),
            ..Default::default()
        };
        Collection {
            id: CollectionId(7),
            database_id: DatabaseId(1),
            database: "default".into(),
            state: State::Created,
            schema: CollectionSchema {
                name: "books".into(),
                fields: vec![key, vector],
                enable_dynamic_field: true,
                ..Default::default()
            },
            created: AT,
            vchannels: vec!["dml_2_7v0".into(), "dml_3_7v1".into()],
            pchannels: vec!["dml_2".into(), "dml_3".into()],
            start_positions: std::collections::BTreeMap::new(),
            consistency_level: 2,
            properties: vec![],
            partition_count: None,
        }
    }

    #[test]
    fn a_rename_has_both_names() {
        let ddl = Ddl::RenameCollection {
            id: CollectionId(7),
            database: "shop".into(),
            name: "titles".into(),
            to_database: "attic".into(),
            to_name: "old_titles".into(),
        };
        let (kind, told) = of(&ddl, AT);
        assert_eq!(kind, "rename collection");
        assert_eq!((&told["Database"], &told["oldName"]), (&json!("shop"), &json!("titles")));
        let new = (&told["newDBName"], &told["newName"]);
        assert_eq!(new, (&json!("attic"), &json!("old_titles")));
        assert_eq!(told["base"]["replicateInfo"]["msgTimestamp"], AT.0);
    }

    #[test]
    fn a_creation_has_the_schema_of_gos_sdk() {
        let ddl = Ddl::CreateCollection {
            database: "shop".into(),
            name: "titles".into(),
            collection: Box::new(collection()),
        };
        let field = |id: i64, name: &str, key: bool, kind: i32, params: Value, default: Value| {
            json!({
                "ID": id, "Name": name, "PrimaryKey": key, "AutoID": false, "Description": "",
                "DataType": kind, "TypeParams": params, "IndexParams": {}, "IsDynamic": false,
                "IsPartitionKey": false, "IsClusteringKey": false, "ElementType": 0,
                "DefaultValue": default, "Nullable": false,
            })
        };
        let default = json!({"Data": {"LongData": 3}});
        let expected = json!({
            "Base": {"replicateInfo": {"isReplicate": true, "msgTimestamp": AT.0}},
            "Database": "shop",
            "Schema": {
                "CollectionName": "titles", "Description": "", "AutoID": false,
                "Fields": [
                    field(100, "id", true, 5, json!({}), Value::Null),
                    field(101, "vec", false, 101, json!({"dim": "8"}), default),
                ],
                "EnableDynamicField": true, "Functions": [],
            },
            "ShardsNum": 2,
            "ConsistencyLevel": 2,
            "Properties": null,
        });
        assert_eq!(of(&ddl, AT), ("create collection", expected));
    }

    #[test]
    fn a_request_of_the_op_channel_leaves_out_what_is_zero() {
        let base =
            MsgBase { msg_type: MsgType::CreateIndex.into(), msg_id: 9, ..Default::default() };
        let request = OpRequest::CreateIndex(pb::CreateIndexRequest {
            base: Some(base),
            db_name: "shop".into(),
            collection_name: "titles".into(),
            field_name: "vec".into(),
            extra_params: vec![KeyValuePair { key: "index_type".into(), value: "HNSW".into() }],
            index_name: String::new(),
        });
        let expected = json!({
            "Database": "shop",
            "base": {
                "msg_type": 300,
                "msgID": 9,
                "replicateInfo": {"isReplicate": true, "msgTimestamp": AT.0},
            },
            "db_name": "shop",
            "collection_name": "titles",
            "field_name": "vec",
            "extra_params": [{"key": "index_type", "value": "HNSW"}],
        });
        assert_eq!(of(&Ddl::Op(Box::new(request)), AT), ("create index", expected));
    }

    #[test]
    fn a_grant_and_its_opposite_have_kinds_of_their_own() {
        let kind = |kind: pb::OperatePrivilegeType| {
            let name = "admin".to_owned();
            let role = Some(pb::RoleEntity { name, ..Default::default() });
            let entity = Some(pb::GrantEntity { role, ..Default::default() });
            let request =
                pb::OperatePrivilegeRequest { entity, r#type: kind.into(), ..Default::default() };
            let request = OpRequest::Access(AccessRequest::OperatePrivilege(request));
            let (kind, parameters) = of(&Ddl::Op(Box::new(request)), AT);
            assert_eq!(parameters["entity"], json!({"role": {"name": "admin"}}));
            assert_eq!(parameters["Database"], "");
            kind
        };
        assert_eq!(kind(pb::OperatePrivilegeType::Grant), "grant privilege");
        assert_eq!(kind(pb::OperatePrivilegeType::Revoke), "revoke privilege");
    }
}
