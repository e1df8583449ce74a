//! Sends a ReplicateMessage call: its pieces go to the transport without the copy of the rows that
//! the generated client would make. Never sets a deadline and never repeats a call that the target
//! may have begun: without an answer it may still take effect.

#![allow(deprecated)] // ReplicateMessage is deprecated since 3.0; 2.3 to 2.5 have nothing else.

use super::answer::Answer as _;
use super::client::Client;
use super::fault::Fault;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::future::poll_fn;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use milvus_wire::proto::milvus::ReplicateMessageResponse;
use milvus_wire::replicate::ReplicateCall;
use prost::Message as _;
use replication::ports::CallError;
use std::convert::Infallible;
use tonic::body::Body;
use tonic::client::GrpcService as _;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderValue, TE};
use tonic::codegen::http::{HeaderMap, Request, Response, StatusCode};
use tonic::{Code, Status};

const PATH: &str = "/milvus.proto.milvus.MilvusService/ReplicateMessage";

/// The bytes before a message of gRPC: a compression flag and the length.
const PREFIX_BYTES: usize = 5;

/// The largest answer: it is only a status and a position.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How often a call is sent whose connection the other side closes in good order before it looks at
/// the call, as a server or a balancer does with a connection that has become old.
const SENT_MAX: u32 = 3;

/// Sends one call and waits for its answer as long as the connection lives.
pub(super) async fn send(client: &Client, call: &ReplicateCall) -> Result<(), CallError> {
    let mut sent = 1;
    let answer = loop {
        match ask(client, call).await {
            Err(fault) if sent < SENT_MAX && fault.is_of_an_ended_connection() => sent += 1,
            answer => break answer,
        }
    };
    match answer {
        Ok(()) => Ok(()),
        Err(fault) => {
            let proven = fault.proves_nothing_happened();
            let error = client.error(&format!("write to channel {}", call.pchannel), fault);
            Err(if proven { CallError::Refused(error) } else { CallError::Unanswered(error) })
        }
    }
}

async fn ask(client: &Client, call: &ReplicateCall) -> Result<(), Fault> {
    let mut connection = client.connection(&call.pchannel);
    let failed = |error: tonic::transport::Error| Fault::from(Status::from_error(error.into()));
    poll_fn(|context| connection.poll_ready(context)).await.map_err(failed)?;
    let (metadata, ..) = client.sign(()).into_parts();
    let answer = connection.call(request(metadata.into_headers(), call)).await.map_err(failed)?;
    let answer = answer_of(answer).await?;
    answer.status().and_then(Fault::of).map_or(Ok(()), Err)
}

fn request(mut headers: HeaderMap, call: &ReplicateCall) -> Request<Body> {
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let pieces = call.pieces();
    let mut prefix = BytesMut::with_capacity(PREFIX_BYTES);
    prefix.put_u8(0);
    prefix.put_u32(pieces.iter().map(Bytes::len).sum::<usize>() as u32);
    let frames = std::iter::once(prefix.freeze()).chain(pieces);
    let body =
        StreamBody::new(stream::iter(frames.map(|piece| Ok::<_, Infallible>(Frame::data(piece)))));
    let mut request = Request::post(PATH).body(Body::new(body)).unwrap_or_default();
    *request.headers_mut() = headers;
    request
}

/// Reads a gRPC answer: its status is in the trailers, or in the headers if there is nothing else.
async fn answer_of(answer: Response<Body>) -> Result<ReplicateMessageResponse, Fault> {
    let (head, body) = answer.into_parts();
    check(Status::from_header_map(&head.headers))?;
    if head.status != StatusCode::OK {
        let what = format!("the answer has the HTTP status {}", head.status);
        return Err(Status::unknown(what).into());
    }
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(Status::from_error)?;
    check(body.trailers().and_then(Status::from_header_map))?;
    let mut message = body.aggregate();
    if message.remaining() < PREFIX_BYTES || message.get_u8() != 0 {
        return Err(Status::internal("the answer is empty or compressed").into());
    }
    message.get_u32();
    ReplicateMessageResponse::decode(message)
        .map_err(|error| Status::internal(format!("the answer can't be read: {error}")).into())
}

fn check(status: Option<Status>) -> Result<(), Fault> {
    let status = status.filter(|status| status.code() != Code::Ok);
    status.map_or(Ok(()), |status| Err(status.into()))
}
