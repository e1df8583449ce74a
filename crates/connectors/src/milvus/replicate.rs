//! Sends a ReplicateMessage call: its parts go straight into the transport's buffer, one copy, no
//! re-encoding. Never sets a deadline and never repeats a call: what was not answered may still
//! appear.

#![allow(deprecated)] // ReplicateMessage is deprecated since 3.0; 2.3 to 2.5 have nothing else.

use super::client::Client;
use super::fault::{Answer as _, Fault};
use milvus_wire::proto::milvus::ReplicateMessageResponse;
use milvus_wire::replicate::ReplicateCall;
use prost::Message as _;
use replication::ports::CallError;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;

const PATH: &str = "/milvus.proto.milvus.MilvusService/ReplicateMessage";

/// Sends one call and waits for its answer as long as the connection lives.
pub(super) async fn send(client: &Client, call: &ReplicateCall) -> Result<(), CallError> {
    match ask(client, call).await {
        Ok(()) => Ok(()),
        Err(fault) => {
            let proven = fault.proves_nothing_happened();
            let error = client.error(&format!("write to channel {}", call.pchannel), fault);
            Err(if proven { CallError::Refused(error) } else { CallError::Unanswered(error) })
        }
    }
}

async fn ask(client: &Client, call: &ReplicateCall) -> Result<(), Fault> {
    let mut grpc = Grpc::new(client.connection(&call.pchannel));
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    // A copy of the call is a copy of references.
    let request = client.sign(call.clone());
    let path = PathAndQuery::from_static(PATH);
    let answer = grpc.unary(request, path, Replicate).await?.into_inner();
    answer.status().and_then(Fault::of).map_or(Ok(()), Err)
}

/// Writes calls, reads their answers.
struct Replicate;

impl Codec for Replicate {
    type Encode = ReplicateCall;
    type Decode = ReplicateMessageResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Replicate {
    type Item = ReplicateCall;
    type Error = Status;

    fn encode(&mut self, call: ReplicateCall, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(call.encoded_len());
        call.encode(buffer);
        Ok(())
    }
}

impl Decoder for Replicate {
    type Item = ReplicateMessageResponse;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let answer = ReplicateMessageResponse::decode(buffer);
        answer.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
