//! Requests on the metadata as events with a `type`, for consumers of rows. Never contains a
//! password.

use crate::kafka_sink::request_json::{self, members};
use milvus_wire::catalog::Collection;
use milvus_wire::ids::CollectionName;
use milvus_wire::op::OpRequest;
use milvus_wire::proto::schema::{DataType, FieldSchema, FunctionSchema};
use milvus_wire::timestamp::Timestamp;
use replication::ports::Ddl;
use serde_json::{Map, Value, json};

/// The event of a request.
pub(super) fn of(ddl: &Ddl, at: Timestamp) -> Value {
    let (kind, about) = match ddl {
        Ddl::CreateDatabase(name) => ("create_database".to_owned(), json!({"database": name})),
        Ddl::CreateCollection { name: CollectionName { database, name }, collection } => {
            ("create_collection".to_owned(), created(database, name, collection))
        }
        Ddl::DropCollection(CollectionName { database, name }) => {
            ("drop_collection".to_owned(), json!({"database": database, "collection": name}))
        }
        Ddl::CreatePartition { collection: CollectionName { database, name }, partition } => (
            "create_partition".to_owned(),
            json!({"database": database, "collection": name, "partition": partition}),
        ),
        Ddl::DropPartition { collection: CollectionName { database, name }, partition } => (
            "drop_partition".to_owned(),
            json!({"database": database, "collection": name, "partition": partition}),
        ),
        Ddl::RenameCollection { from: CollectionName { database, name }, to, .. } => (
            "rename_collection".to_owned(),
            json!({
                "database": database, "collection": name,
                "new_database": to.database, "new_collection": to.name,
            }),
        ),
        Ddl::AlterCollection { name: CollectionName { database, name }, set, removed } => {
            let set: Map<_, _> = set.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
            let about =
                json!({"database": database, "collection": name, "set": set, "removed": removed});
            ("alter_collection".to_owned(), about)
        }
        Ddl::GiveAlias { collection: CollectionName { database, name }, alias } => (
            "alter_alias".to_owned(),
            json!({"database": database, "collection": name, "alias": alias}),
        ),
        Ddl::DropAlias { database, alias } => {
            ("drop_alias".to_owned(), json!({"database": database, "alias": alias}))
        }
        Ddl::Op(request) => (snake(request.name()), asked(request)),
    };
    let mut event = Map::new();
    event.insert("type".into(), kind.into());
    event.insert("tt".into(), at.0.into());
    event.insert("ts_ms".into(), at.ms().into());
    if let Value::Object(about) = about {
        event.extend(about);
    }
    event.into()
}

fn asked(request: &OpRequest) -> Value {
    let (_, message, _) = request_json::op(request);
    let mut message = Value::from(message);
    if let Value::Object(members) = &mut message {
        for secret in ["password", "oldPassword", "newPassword"] {
            members.remove(secret);
        }
    }
    let collections = request.collections();
    let mut about = Map::new();
    if !request.database().is_empty() {
        about.insert("database".into(), request.database().into());
    }
    match (request, collections.as_slice()) {
        (OpRequest::Flush(_), names) => {
            about.insert("collections".into(), json!(names));
        }
        (_, [name]) => {
            about.insert("collection".into(), (*name).into());
        }
        _ => {}
    }
    about.insert("request".into(), message);
    about.into()
}

fn created(database: &str, name: &str, collection: &Collection) -> Value {
    let schema = &collection.schema;
    json!({
        "database": database,
        "collection": name,
        "collection_id": collection.id.0,
        "description": schema.description,
        "shards": collection.vchannels.len(),
        "partitions": collection.partition_count,
        "consistency_level": collection.consistency_level,
        "dynamic": schema.enable_dynamic_field,
        "properties": members(&collection.properties),
        "fields": schema.fields.iter().map(field).collect::<Vec<_>>(),
        "functions": schema.functions.iter().map(function).collect::<Vec<_>>(),
    })
}

fn field(field: &FieldSchema) -> Value {
    let is_array = field.data_type == DataType::Array as i32;
    json!({
        "id": field.field_id,
        "name": field.name,
        "type": type_name(field.data_type),
        "element_type": is_array.then(|| type_name(field.element_type)),
        "primary_key": field.is_primary_key,
        "auto_id": field.auto_id,
        "partition_key": field.is_partition_key,
        "clustering_key": field.is_clustering_key,
        "nullable": field.nullable,
        "description": field.description,
        "params": members(&field.type_params),
    })
}

fn function(function: &FunctionSchema) -> Value {
    json!({
        "name": function.name,
        "inputs": function.input_field_names,
        "outputs": function.output_field_names,
        "params": members(&function.params),
    })
}

fn type_name(kind: i32) -> String {
    DataType::try_from(kind).map_or_else(|_| kind.to_string(), |kind| kind.as_str_name().to_owned())
}

/// `CreateIndex` as `create_index`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use milvus_wire::proto::milvus as pb;
    use milvus_wire::rbac::RbacRequest;

    fn event(request: OpRequest) -> Value {
        of(&Ddl::Op(Box::new(request)), Timestamp(1000 << 18))
    }

    #[test]
    fn a_request_has_its_name_from_the_api() {
        let request = pb::ReleaseCollectionRequest {
            db_name: "shop".into(),
            collection_name: "titles".into(),
            ..Default::default()
        };
        let expected = json!({
            "type": "release_collection", "tt": 262_144_000, "ts_ms": 1000, "database": "shop",
            "collection": "titles",
            "request": {"db_name": "shop", "collection_name": "titles"},
        });
        assert_eq!(event(OpRequest::ReleaseCollection(request)), expected);
        let flush = pb::FlushRequest {
            db_name: "shop".into(),
            collection_names: vec!["a".into(), "b".into()],
            ..Default::default()
        };
        assert_eq!(event(OpRequest::Flush(flush))["collections"], json!(["a", "b"]));
    }

    #[test]
    fn a_password_is_not_written() {
        let create = pb::CreateCredentialRequest {
            username: "ann".into(),
            password: "hunter2".into(),
            ..Default::default()
        };
        let update = pb::UpdateCredentialRequest {
            username: "ann".into(),
            old_password: "hunter2".into(),
            new_password: "hunter3".into(),
            ..Default::default()
        };
        for request in
            [RbacRequest::CreateCredential(create), RbacRequest::UpdateCredential(update)]
        {
            let event = event(OpRequest::Rbac(request)).to_string();
            assert!(event.contains("ann") && !event.contains("hunter"), "{event}");
        }
    }
}
