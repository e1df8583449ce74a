//! Requests on the metadata as the Go tool writes them: a kind, and the parameters as JSON. Never
//! decides whether a request is written.

use crate::kafka_sink::request_json::{Message, members, op, pairs, texts};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use milvus_wire::catalog::Collection;
use milvus_wire::ids::CollectionName;
use milvus_wire::op::OpRequest;
use milvus_wire::proto::common::MsgBase;
use milvus_wire::proto::schema::value_field::Data;
use milvus_wire::proto::schema::{FieldSchema, FunctionSchema, ValueField};
use milvus_wire::timestamp::Timestamp;
use replication::ports::Ddl;
use serde_json::{Value, json};

/// The kind of a request and its parameters.
pub(super) fn of(ddl: &Ddl, at: Timestamp) -> (&'static str, Value) {
    let base = Value::from(base(None, at));
    match ddl {
        Ddl::CreateDatabase(name) => {
            ("create database", json!({"Database": "", "base": base, "db_name": name}))
        }
        Ddl::CreateCollection { name: CollectionName { database, name }, collection } => {
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
        Ddl::DropCollection(CollectionName { database, name }) => {
            ("drop collection", json!({"Base": base, "Database": database, "CollectionName": name}))
        }
        Ddl::CreatePartition { collection: CollectionName { database, name }, partition } => {
            ("create partition", of_a_partition(base, [database, name, partition]))
        }
        Ddl::DropPartition { collection: CollectionName { database, name }, partition } => {
            ("drop partition", of_a_partition(base, [database, name, partition]))
        }
        Ddl::RenameCollection { from: CollectionName { database, name }, to, .. } => {
            let names = json!({"oldName": name, "newName": to.name, "newDBName": to.database});
            ("rename collection", in_database(base, database, names))
        }
        Ddl::AlterCollection { name: CollectionName { database, name }, set, removed } => {
            let pair = |(key, value): &(String, String)| json!({"key": key, "value": value});
            let set: Vec<_> = set.iter().map(pair).collect();
            let change =
                json!({"collection_name": name, "properties": set, "delete_keys": removed});
            ("alter collection", in_database(base, database, change))
        }
        Ddl::GiveAlias { collection: CollectionName { database, name }, alias } => {
            let change = json!({"collection_name": name, "alias": alias});
            ("alter alias", in_database(base, database, change))
        }
        Ddl::DropAlias { database, alias } => {
            ("drop alias", in_database(base, database, json!({"alias": alias})))
        }
        Ddl::Op(request) => of_the_op_channel(request, at),
    }
}

/// The Go tool passes most requests on as the source logged them. It makes some of them anew: then
/// the header contains only the timestamp, and `Database` alone names the database.
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
        // Deliberately also for an altered index, whose `Database` the Go tool omits: a consumer
        // that takes it from there, as for other requests on indexes, would alter an index of the
        // default database.
        _ => (request.database(), header),
    };
    parameters.insert("Database".into(), database.into());
    parameters.insert("base".into(), base(header, at).into());
    (kind, parameters.into())
}

/// A request that the Go tool does not have, with the names that Milvus's messages have in Go's
/// JSON.
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

/// The header of a request, with the timestamp on the source. If it already contained replication
/// info, that belongs to another replication and is replaced.
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

/// The schema as in Go's SDK, which omits no member.
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

#[cfg(test)]
mod tests {
    use super::*;
    use milvus_wire::catalog::State;
    use milvus_wire::ids::{CollectionId, DatabaseId};
    use milvus_wire::proto::common::{KeyValuePair, MsgType};
    use milvus_wire::proto::milvus as pb;
    use milvus_wire::proto::schema::{CollectionSchema, DataType};
    use milvus_wire::rbac::RbacRequest;

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
            from: CollectionName::new("shop", "titles"),
            to: CollectionName::new("attic", "old_titles"),
        };
        let (kind, told) = of(&ddl, AT);
        assert_eq!(kind, "rename collection");
        assert_eq!((&told["Database"], &told["oldName"]), (&json!("shop"), &json!("titles")));
        let new = (&told["newDBName"], &told["newName"]);
        assert_eq!(new, (&json!("attic"), &json!("old_titles")));
        assert_eq!(told["base"]["replicateInfo"]["msgTimestamp"], AT.0);
    }

    #[test]
    fn a_creation_contains_the_schema_as_in_the_sdk_of_go() {
        let ddl = Ddl::CreateCollection {
            name: CollectionName::new("shop", "titles"),
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
            let request = OpRequest::Rbac(RbacRequest::OperatePrivilege(request));
            let (kind, parameters) = of(&Ddl::Op(Box::new(request)), AT);
            assert_eq!(parameters["entity"], json!({"role": {"name": "admin"}}));
            assert_eq!(parameters["Database"], "");
            kind
        };
        assert_eq!(kind(pb::OperatePrivilegeType::Grant), "grant privilege");
        assert_eq!(kind(pb::OperatePrivilegeType::Revoke), "revoke privilege");
    }
}
