//! Answers the calls of Milvus. A call that is not known here succeeds with an empty answer, which
//! means success in Milvus's protocol. Never refuses rows.

use super::book::Book;
use super::ledger::{Counts, Ledger};
use super::wire::{Replicate, answer, receive};
use bytes::Bytes;
use futures::future::BoxFuture;
use milvus_wire::ids::DEFAULT_DATABASE;
use milvus_wire::proto::common::Status;
use milvus_wire::proto::milvus::*;
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;
use tonic::body::Body;
use tonic::server::NamedService;

/// The name of the call that returns the counts; Milvus does not have it.
pub(super) const COUNTS_CALL: &str = "/milvus.proto.milvus.MilvusService/Counts";

/// Answers calls.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    book: Arc<Book>,
    ledger: Arc<Ledger>,
    clock: Arc<AtomicU64>,
}

type Response = http::Response<Body>;

impl Calls {
    pub(super) fn new(book: Arc<Book>, ledger: Arc<Ledger>) -> Self {
        Self { book, ledger, clock: Arc::default() }
    }

    async fn answer(self, request: http::Request<Body>) -> Result<Response, tonic::Status> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        Ok(match path.rsplit('/').next().unwrap_or(path) {
            "ReplicateMessage" => {
                let (call, bytes) = receive::<Replicate>(body).await?;
                self.ledger.enter(&call, bytes);
                answer(&ReplicateMessageResponse { status: success(), position: String::new() })
            }
            "AllocTimestamp" => {
                let _: AllocTimestampRequest = question(body).await?;
                answer(&AllocTimestampResponse { status: success(), timestamp: self.now().0 })
            }
            "GetVersion" => {
                let version = "v2.3.5-counting".to_owned();
                answer(&GetVersionResponse { status: success(), version })
            }
            "CheckHealth" => {
                answer(&CheckHealthResponse { is_healthy: true, ..Default::default() })
            }
            _ if path == COUNTS_CALL => {
                let _: Counts = question(body).await?;
                answer(&self.ledger.counts())
            }
            call => {
                let named = parts.headers.get("dbname").and_then(|name| name.to_str().ok());
                let named = named.filter(|name| !name.is_empty());
                self.look_up(call, named.unwrap_or(DEFAULT_DATABASE), body).await?
            }
        })
    }

    /// Reads or changes the metadata. A request without a database means that of its connection.
    async fn look_up(
        &self,
        call: &str,
        database: &str,
        body: Body,
    ) -> Result<Response, tonic::Status> {
        let book = &*self.book;
        let place = |named: String| if named.is_empty() { database.to_owned() } else { named };
        Ok(match call {
            "ListDatabases" => answer(&names(book.databases())),
            "CreateDatabase" => {
                let asked: CreateDatabaseRequest = question(body).await?;
                book.create_database(asked.db_name);
                done()
            }
            "DropDatabase" => {
                let asked: DropDatabaseRequest = question(body).await?;
                book.drop_database(&asked.db_name);
                done()
            }
            "CreateCollection" => {
                let asked: CreateCollectionRequest = question(body).await?;
                book.create_collection(place(asked.db_name.clone()), &asked);
                done()
            }
            "DropCollection" => {
                let asked: DropCollectionRequest = question(body).await?;
                book.drop_collection(place(asked.db_name), asked.collection_name);
                done()
            }
            "HasCollection" => {
                let asked: HasCollectionRequest = question(body).await?;
                truth(book.has_collection(place(asked.db_name), asked.collection_name))
            }
            "DescribeCollection" => {
                let asked: DescribeCollectionRequest = question(body).await?;
                answer(&book.describe(place(asked.db_name), asked.collection_name))
            }
            "ShowCollections" => {
                let asked: ShowCollectionsRequest = question(body).await?;
                answer(&book.collections(&place(asked.db_name)))
            }
            "ShowPartitions" => {
                let asked: ShowPartitionsRequest = question(body).await?;
                answer(&book.partitions(place(asked.db_name), asked.collection_name))
            }
            "HasPartition" => {
                let asked: HasPartitionRequest = question(body).await?;
                let there = book.partitions(place(asked.db_name), asked.collection_name);
                truth(there.partition_names.contains(&asked.partition_name))
            }
            "CreatePartition" => {
                let asked: CreatePartitionRequest = question(body).await?;
                let place = place(asked.db_name);
                book.create_partition(place, asked.collection_name, asked.partition_name);
                done()
            }
            "DropPartition" => {
                let asked: DropPartitionRequest = question(body).await?;
                let place = place(asked.db_name);
                book.drop_partition(place, asked.collection_name, &asked.partition_name);
                done()
            }
            _ => answer(&Bytes::new()),
        })
    }

    /// A clock that never repeats a timestamp and never runs ahead of the wall clock.
    fn now(&self) -> Timestamp {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_ms(wall.as_millis() as u64).0;
        let last = self.clock.fetch_max(wall, Ordering::Relaxed);
        Timestamp(if last < wall { wall } else { self.clock.fetch_add(1, Ordering::Relaxed) + 1 })
    }
}

/// The message of a call.
async fn question<M: Message + Default>(body: Body) -> Result<M, tonic::Status> {
    receive(body).await.map(|(message, _)| message)
}

fn success() -> Option<Status> {
    Some(Status::default())
}

/// The answer to what always succeeds.
fn done() -> Response {
    answer(&Status::default())
}

fn truth(value: bool) -> Response {
    answer(&BoolResponse { status: success(), value })
}

fn names(db_names: Vec<String>) -> ListDatabasesResponse {
    let created_timestamp = vec![0; db_names.len()];
    ListDatabasesResponse { status: success(), created_timestamp, db_names, ..Default::default() }
}

impl NamedService for Calls {
    const NAME: &'static str = "milvus.proto.milvus.MilvusService";
}

impl tower_service::Service<http::Request<Body>> for Calls {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let calls = self.clone();
        Box::pin(async move {
            Ok(calls.answer(request).await.unwrap_or_else(|status| status.into_http()))
        })
    }
}
