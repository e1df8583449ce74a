//! Tests decoding the op channel's requests. Never carries one out.

use milvus_wire::op::{OpRequest, decode};
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use prost::Message;

fn base(kind: MsgType) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind.into(), timestamp: 5, ..Default::default() })
}

macro_rules! request {
    ($kind:ident, $type:ident { $($field:ident: $value:expr),* }) => {{
        let body = pb::$type {
            base: base(MsgType::$kind),
            db_name: "db".into(),
            $($field: $value,)*
            ..Default::default()
        };
        (stringify!($kind), OpRequest::$kind(body.clone()), body.encode_to_vec())
    }};
}

#[test]
#[allow(clippy::needless_update)] // One macro for requests with and without further fields.
fn every_request_is_read_named_and_renamed() {
    let collection_name = || "c".to_owned();
    let requests = [
        request!(CreateDatabase, CreateDatabaseRequest {}),
        request!(DropDatabase, DropDatabaseRequest {}),
        request!(CreateIndex, CreateIndexRequest { collection_name: collection_name() }),
        request!(DropIndex, DropIndexRequest { collection_name: collection_name() }),
        request!(LoadCollection, LoadCollectionRequest { collection_name: collection_name() }),
        request!(
            ReleaseCollection,
            ReleaseCollectionRequest { collection_name: collection_name() }
        ),
        request!(LoadPartitions, LoadPartitionsRequest { collection_name: collection_name() }),
        request!(
            ReleasePartitions,
            ReleasePartitionsRequest { collection_name: collection_name() }
        ),
        request!(Flush, FlushRequest { collection_names: vec!["c".into()] }),
    ];
    for (name, expected, raw) in requests {
        let message = decode(&raw).unwrap();
        assert_eq!(message.timestamp, Timestamp(5));
        let mut request = message.request.unwrap();
        assert_eq!(request, expected);
        assert_eq!((request.name(), request.database()), (name, "db"));
        let names = if name.ends_with("Database") { vec![] } else { vec!["c"] };
        assert_eq!(request.collections(), names);
        request.rename("other", |name| format!("{name}2"));
        assert_eq!(request.database(), "other");
        assert_eq!(request.collections().first().copied().unwrap_or("c2"), "c2");
    }
}

#[test]
fn a_flush_names_several_collections() {
    let collection_names = vec!["a".into(), "b".into()];
    let base = base(MsgType::Flush);
    let raw = pb::FlushRequest { base, collection_names, ..Default::default() }.encode_to_vec();
    let mut request = decode(&raw).unwrap().request.unwrap();
    request.rename("", str::to_uppercase);
    assert_eq!(request.collections(), ["A", "B"]);
}

#[test]
fn what_is_not_replicated_keeps_its_number() {
    for kind in [MsgType::TimeTick, MsgType::CreateAlias] {
        let raw = pb::FlushRequest { base: base(kind), ..Default::default() }.encode_to_vec();
        let message = decode(&raw).unwrap();
        assert_eq!(message.timestamp, Timestamp(5));
        assert_eq!(message.request, Err(kind.into()));
    }
}
