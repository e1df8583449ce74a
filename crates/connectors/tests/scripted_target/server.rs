//! A Milvus that records the requests it gets and gives scripted answers. Never interprets a
//! request.

use http_body_util::{BodyExt as _, Full};
use milvus_wire::proto::common::Status;
use milvus_wire::proto::milvus::{ReplicateMessageRequest, ReplicateMessageResponse};
use prost::Message;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// The call that appends to the log.
const REPLICATE: &str = "ReplicateMessage";

/// A flag for compression and the length.
const PREFIX_BYTES: usize = 5;

/// A call that was made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// The name of the call.
    pub(crate) call: String,
    /// The database that its header names.
    pub(crate) database: String,
    /// Its message.
    pub(crate) message: Bytes,
}

/// A scripted target in this process. Dropped, it ends.
pub(crate) struct ScriptedTarget {
    /// Where it listens.
    pub(crate) address: String,
    calls: Calls,
    /// Ends with all its connections; none once it is dead.
    runtime: Mutex<Option<Runtime>>,
}

impl ScriptedTarget {
    /// Starts one that answers the first calls with these and all others with success.
    pub(crate) fn start(answers: Vec<Status>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let calls = Calls::default();
        calls.answers.lock().unwrap().extend(answers);
        let service = calls.clone();
        let runtime = Runtime::new().unwrap();
        runtime.spawn(async move {
            let listener = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            Server::builder().add_service(service).serve_with_incoming(listener).await.unwrap();
        });
        Self { address, calls, runtime: Mutex::new(Some(runtime)) }
    }

    /// One that refuses all replicate calls.
    pub(crate) fn refusing(refusal: Status) -> Self {
        let target = Self::start(vec![]);
        *target.calls.refusal.lock().unwrap() = Some(refusal);
        target
    }

    /// Whether it stands still: then it neither takes calls nor answers them.
    pub(crate) fn stand_still(&self, still: bool) {
        self.calls.still.send_replace(still);
    }

    /// It ends, and its connections with it.
    pub(crate) fn die(&self) {
        if let Some(runtime) = self.runtime.lock().unwrap().take() {
            runtime.shutdown_background();
        }
    }

    /// The replicate calls that it took, in order.
    pub(crate) fn taken(&self) -> Vec<ReplicateMessageRequest> {
        let asked = self.asked().into_iter().filter(|asked| asked.call == REPLICATE);
        let is_refusing = self.calls.refusal.lock().unwrap().is_some();
        asked
            .filter(|_| !is_refusing)
            .map(|asked| ReplicateMessageRequest::decode(asked.message).unwrap())
            .collect()
    }

    /// What it was asked so far, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.calls.asked.lock().unwrap().clone()
    }
}

impl Drop for ScriptedTarget {
    fn drop(&mut self) {
        self.die();
    }
}

#[derive(Clone, Default)]
struct Calls {
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<VecDeque<Status>>>,
    refusal: Arc<Mutex<Option<Status>>>,
    still: Arc<watch::Sender<bool>>,
}

impl Calls {
    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        self.still.subscribe().wait_for(|still| !still).await.unwrap();
        let (parts, body) = request.into_parts();
        let message = body.collect().await.unwrap().to_bytes().slice(PREFIX_BYTES..);
        let call = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        let database = parts.headers.get("dbname").map_or("", |name| name.to_str().unwrap());
        let database = database.to_owned();
        let is_replicate = call == REPLICATE;
        self.asked.lock().unwrap().push(Asked { call, database, message });
        let refusal = self.refusal.lock().unwrap().clone();
        if let Some(status) = refusal.filter(|_| is_replicate) {
            let status = Some(status);
            return one_message(&ReplicateMessageResponse { status, ..Default::default() });
        }
        one_message(&self.answers.lock().unwrap().pop_front().unwrap_or_default())
    }
}

fn one_message(message: &impl Message) -> http::Response<Body> {
    let mut body = BytesMut::with_capacity(PREFIX_BYTES + message.encoded_len());
    body.put_u8(0);
    body.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut body).unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = Full::new(body.freeze()).with_trailers(async move { Some(Ok(trailers)) });
    let kind = http::HeaderValue::from_static("application/grpc");
    let mut response = http::Response::new(Body::new(body));
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

impl NamedService for Calls {
    const NAME: &'static str = "milvus.proto.milvus.MilvusService";
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let calls = self.clone();
        Box::pin(async move { Ok(calls.answer(request).await) })
    }
}
