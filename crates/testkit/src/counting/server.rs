//! Which call of Milvus gets which answer. Whatever is not named here succeeds with an empty
//! answer, which in Milvus's protocol is success.

use super::book::Book;
use super::ledger::{Counts, Ledger};
use super::wire::{Replicate, answer, receive};
use bytes::Bytes;
use futures::future::BoxFuture;
use milvus_wire::ids::DEFAULT_DATABASE;
use milvus_wire::proto::common::Status;
use milvus_wire::proto::milvus::*;
use milvus_wire::timestamp::Timestamp;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;
use tonic::body::Body;
use tonic::server::NamedService;

/// The name of the call that tells the counts; no Milvus has it.
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

    async fn replicate(&self, body: Body) -> Result<Response, tonic::Status> {
        let (call, bytes) = receive::<Replicate>(body).await?;
        self.ledger.enter(&call, bytes);
        Ok(answer(&ReplicateMessageResponse { status: success(), position: String::new() }))
    }

    async fn counts(&self, body: Body) -> Result<Response, tonic::Status> {
        receive::<Counts>(body).await?;
        Ok(answer(&self.ledger.counts()))
    }

    async fn database_call(&self, call: &str, body: Body) -> Result<Response, tonic::Status> {
        match call {
            "ListDatabases" => {
                let db_names = self.book.databases();
                return Ok(answer(&ListDatabasesResponse {
                    status: success(),
                    created_timestamp: vec![0; db_names.len()],
                    db_names,
                    ..Default::default()
                }));
            }
            "CreateDatabase" => {
                self.book.create_database(receive::<CreateDatabaseRequest>(body).await?.0.db_name);
            }
            _ => self.book.drop_database(&receive::<DropDatabaseRequest>(body).await?.0.db_name),
        }
        Ok(answer(&Status::default()))
    }

    async fn collection_call(
        &self,
        call: &str,
        database: String,
        body: Body,
    ) -> Result<Response, tonic::Status> {
        let database = |named: String| if named.is_empty() { database } else { named };
        Ok(match call {
            "CreateCollection" => {
                let (request, _) = receive::<CreateCollectionRequest>(body).await?;
                self.book.create_collection(database(request.db_name.clone()), &request);
                answer(&Status::default())
            }
            "DropCollection" => {
                let (request, _) = receive::<DropCollectionRequest>(body).await?;
                self.book.drop_collection(database(request.db_name), request.collection_name);
                answer(&Status::default())
            }
            "HasCollection" => {
                let (request, _) = receive::<HasCollectionRequest>(body).await?;
                let place = database(request.db_name);
                let value = self.book.has_collection(place, request.collection_name);
                answer(&BoolResponse { status: success(), value })
            }
            "DescribeCollection" => {
                let (request, _) = receive::<DescribeCollectionRequest>(body).await?;
                answer(&self.book.describe(database(request.db_name), request.collection_name))
            }
            _ => {
                let (request, _) = receive::<ShowCollectionsRequest>(body).await?;
                answer(&self.book.collections(&database(request.db_name)))
            }
        })
    }

    async fn partition_call(
        &self,
        call: &str,
        database: String,
        body: Body,
    ) -> Result<Response, tonic::Status> {
        let database = |named: String| if named.is_empty() { database } else { named };
        Ok(match call {
            "ShowPartitions" => {
                let (request, _) = receive::<ShowPartitionsRequest>(body).await?;
                answer(&self.book.partitions(database(request.db_name), request.collection_name))
            }
            "HasPartition" => {
                let (request, _) = receive::<HasPartitionRequest>(body).await?;
                let place = database(request.db_name);
                let there = self.book.partitions(place, request.collection_name);
                let value = there.partition_names.contains(&request.partition_name);
                answer(&BoolResponse { status: success(), value })
            }
            "CreatePartition" => {
                let (request, _) = receive::<CreatePartitionRequest>(body).await?;
                let place = database(request.db_name);
                self.book.create_partition(place, request.collection_name, request.partition_name);
                answer(&Status::default())
            }
            _ => {
                let (request, _) = receive::<DropPartitionRequest>(body).await?;
                let place = database(request.db_name);
                self.book.drop_partition(place, request.collection_name, &request.partition_name);
                answer(&Status::default())
            }
        })
    }

    /// Ahead of all that it has said before, and of the wall clock by nothing.
    fn now(&self) -> Timestamp {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_ms(wall.as_millis() as u64).0;
        let last = self.clock.fetch_max(wall, Ordering::Relaxed);
        Timestamp(if last < wall { wall } else { self.clock.fetch_add(1, Ordering::Relaxed) + 1 })
    }

    async fn answer(self, request: http::Request<Body>) -> Result<Response, tonic::Status> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let call = path.rsplit('/').next().unwrap_or(path);
        let database = || {
            let named = parts.headers.get("dbname").and_then(|name| name.to_str().ok());
            named.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_DATABASE).to_owned()
        };
        match call {
            "ReplicateMessage" => self.replicate(body).await,
            "AllocTimestamp" => {
                receive::<AllocTimestampRequest>(body).await?;
                let timestamp = self.now().0;
                Ok(answer(&AllocTimestampResponse { status: success(), timestamp }))
            }
            "ListDatabases" | "CreateDatabase" | "DropDatabase" => {
                self.database_call(call, body).await
            }
            "CreateCollection" | "DropCollection" | "HasCollection" | "DescribeCollection"
            | "ShowCollections" => self.collection_call(call, database(), body).await,
            "ShowPartitions" | "HasPartition" | "CreatePartition" | "DropPartition" => {
                self.partition_call(call, database(), body).await
            }
            "GetVersion" => {
                let version = "v2.3.5-counting".to_owned();
                Ok(answer(&GetVersionResponse { status: success(), version }))
            }
            "CheckHealth" => {
                let health = CheckHealthResponse { is_healthy: true, ..Default::default() };
                Ok(answer(&health))
            }
            _ if path == COUNTS_CALL => self.counts(body).await,
            _ => Ok(answer(&Bytes::new())),
        }
    }
}

fn success() -> Option<Status> {
    Some(Status::default())
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
