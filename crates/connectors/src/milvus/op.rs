//! Carries out requests of the op channel at a target. Never waits for what they set off (a load,
//! a flush, an index build): that needs ticks to complete.

use super::client::Client;
use super::ddl::{create_database, has_database, replicated};
use super::fault::{Answer, Fault};
use super::rbac;
use milvus_wire::op::OpRequest;
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;

/// Carries a request out as of the source's timestamp; names are the target's already.
pub(super) async fn apply(client: &Client, request: &OpRequest, at: Timestamp) -> Result<()> {
    match request.clone() {
        OpRequest::CreateDatabase(r) => create_database(client, &r.db_name, at).await,
        OpRequest::DropDatabase(r) => drop_database(client, r, at).await,
        OpRequest::AlterDatabase(r) => alter_database(client, r, at).await,
        OpRequest::CreateIndex(mut r) => {
            r.base = replicated(r.base, at);
            let (db, tried) = (r.db_name.clone(), format!("create index on {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.create_index(r).await).await;
            finish(client, &tried, done, |_| false)
        }
        OpRequest::DropIndex(mut r) => {
            r.base = replicated(None, at);
            let (db, tried) = (r.db_name.clone(), format!("drop index of {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.drop_index(r).await).await;
            finish(client, &tried, done, |f| f.no_index() || f.no_collection())
        }
        OpRequest::AlterIndex(mut r) => {
            r.base = replicated(r.base, at);
            let (db, tried) = (r.db_name.clone(), format!("alter index of {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.alter_index(r).await).await;
            finish(client, &tried, done, |_| false)
        }
        OpRequest::LoadCollection(mut r) => {
            r.base = replicated(r.base, at);
            let (db, tried) = (r.db_name.clone(), format!("load {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.load_collection(r).await).await;
            finish(client, &tried, done, Fault::is_loaded_before_an_index)
        }
        OpRequest::ReleaseCollection(mut r) => {
            r.base = replicated(None, at);
            let (db, tried) = (r.db_name.clone(), format!("release {}", r.collection_name));
            let done = client.ask(&db, r, async |mut c, r| c.release_collection(r).await).await;
            finish(client, &tried, done, Fault::no_collection)
        }
        OpRequest::LoadPartitions(mut r) => {
            r.base = replicated(r.base, at);
            let tried = format!("load partitions of {}", r.collection_name);
            let db = r.db_name.clone();
            let done = client.ask(&db, r, async |mut c, r| c.load_partitions(r).await).await;
            finish(client, &tried, done, Fault::is_loaded_before_an_index)
        }
        OpRequest::ReleasePartitions(mut r) => {
            r.base = replicated(None, at);
            let tried = format!("release partitions of {}", r.collection_name);
            let db = r.db_name.clone();
            let done = client.ask(&db, r, async |mut c, r| c.release_partitions(r).await).await;
            finish(client, &tried, done, |f| f.no_partition() || f.no_collection())
        }
        OpRequest::Flush(mut r) => {
            r.base = replicated(None, at);
            let tried = format!("flush {}", r.collection_names.join(", "));
            let db = r.db_name.clone();
            let done = client.ask(&db, r, async |mut c, r| c.flush(r).await).await;
            finish(client, &tried, done, Fault::no_collection)
        }
        OpRequest::Access(r) => rbac::apply(client, &r, at).await,
    }
}

async fn alter_database(
    client: &Client,
    mut request: pb::AlterDatabaseRequest,
    at: Timestamp,
) -> Result<()> {
    request.base = replicated(request.base, at);
    let tried = format!("alter database {}", request.db_name);
    let done = client.ask("", request, async |mut c, r| c.alter_database(r).await).await;
    finish(client, &tried, done, |_| false)
}

async fn drop_database(
    client: &Client,
    mut request: pb::DropDatabaseRequest,
    at: Timestamp,
) -> Result<()> {
    let name = request.db_name.clone();
    if !has_database(client, &name).await? {
        return Ok(());
    }
    request.base = replicated(None, at);
    let done = client.ask("", request, async |mut c, r| c.drop_database(r).await).await;
    finish(client, &format!("drop database {name}"), done, Fault::no_database)
}

/// Success also if the fault means that it is so already.
pub(super) fn finish<A: Answer>(
    client: &Client,
    tried: &str,
    done: std::result::Result<A, Fault>,
    is_so_already: impl FnOnce(&Fault) -> bool,
) -> Result<()> {
    match done {
        Ok(_) => Ok(()),
        Err(fault) if is_so_already(&fault) => Ok(()),
        Err(fault) => Err(client.error(tried, fault)),
    }
}
