//! Carries out requests of the op channel at a target. Never waits for a load, a flush or an index
//! build to complete: that needs ticks.

use super::client::{Client, replicated};
use super::fault::Fault;
use super::{database, rbac};
use milvus_wire::op::OpRequest;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;

/// Carries out a request as of the source's timestamp; it already has the target's names.
pub(super) async fn apply(client: &Client, request: &OpRequest, at: Timestamp) -> Result<()> {
    match request.clone() {
        OpRequest::CreateDatabase(r) => database::create(client, &r.db_name, at).await,
        OpRequest::DropDatabase(r) => database::drop(client, r, at).await,
        OpRequest::AlterDatabase(r) => database::alter(client, r, at).await,
        OpRequest::CreateIndex(mut r) => {
            r.base = replicated(r.base, at);
            let (db, tried) = (r.db_name.clone(), format!("create index on {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.create_index(r).await).await;
            client.outcome(&tried, done, |_| false)
        }
        OpRequest::DropIndex(mut r) => {
            r.base = replicated(None, at);
            let (db, tried) = (r.db_name.clone(), format!("drop index of {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.drop_index(r).await).await;
            client.outcome(&tried, done, |f| f.no_index() || f.no_collection())
        }
        OpRequest::AlterIndex(mut r) => {
            r.base = replicated(r.base, at);
            let (db, tried) = (r.db_name.clone(), format!("alter index of {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.alter_index(r).await).await;
            client.outcome(&tried, done, |_| false)
        }
        OpRequest::LoadCollection(mut r) => {
            r.base = replicated(r.base, at);
            let (db, tried) = (r.db_name.clone(), format!("load {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.load_collection(r).await).await;
            client.outcome(&tried, done, Fault::is_loaded_before_an_index)
        }
        OpRequest::ReleaseCollection(mut r) => {
            r.base = replicated(None, at);
            let (db, tried) = (r.db_name.clone(), format!("release {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.release_collection(r).await).await;
            client.outcome(&tried, done, Fault::no_collection)
        }
        OpRequest::LoadPartitions(mut r) => {
            r.base = replicated(r.base, at);
            let tried = format!("load partitions of {}", r.collection_name);
            let db = r.db_name.clone();
            let done = client.ask(&db, r, async |mut c, r| c.load_partitions(r).await).await;
            client.outcome(&tried, done, Fault::is_loaded_before_an_index)
        }
        OpRequest::ReleasePartitions(mut r) => {
            r.base = replicated(None, at);
            let tried = format!("release partitions of {}", r.collection_name);
            let db = r.db_name.clone();
            let done = client.ask(&db, r, async |mut c, r| c.release_partitions(r).await).await;
            client.outcome(&tried, done, |f| f.no_partition() || f.no_collection())
        }
        OpRequest::Flush(mut r) => {
            r.base = replicated(None, at);
            let tried = format!("flush {}", r.collection_names.join(", "));
            let db = r.db_name.clone();
            let done = client.ask(&db, r, async |mut c, r| c.flush(r).await).await;
            client.outcome(&tried, done, Fault::no_collection)
        }
        OpRequest::Rbac(r) => rbac::apply(client, &r, at).await,
    }
}
