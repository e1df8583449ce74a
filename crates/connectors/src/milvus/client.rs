//! The connections to a target, and how a request on its metadata is sent. Never repeats a request.

#![allow(deprecated)] // `replicate_info` is deprecated since 3.0; 2.3 to 2.5 have nothing else.

use super::answer::Answer;
use super::fault::{Asked, Fault};
use super::options::MilvusOptions;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use milvus_wire::ids::DEFAULT_DATABASE;
use milvus_wire::proto::common::{MsgBase, ReplicateInfo};
use milvus_wire::proto::milvus::milvus_service_client::MilvusServiceClient;
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response};

/// How long an answer about metadata may take; a healthy target needs seconds at most.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The largest answer: a target may have many collections, and a schema is not small.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// With TLS 1.3 the server checks a client's certificate after the connection is established, and
/// its refusal is often lost with the connection.
const CUT_OFF: &str = "a connection also ends like this if the target requires a certificate or \
                       does not accept ours: check client_pem_path and client_key_path of its \
                       dial_config";

/// Milvus's generated client.
pub(super) type Stub = MilvusServiceClient<Channel>;

/// The connections. They are made when first needed, and again when lost.
pub(super) struct Client {
    uri: String,
    metadata: Stub,
    rows: Vec<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Client {
    pub(super) fn new(options: &MilvusOptions) -> Result<Self> {
        let endpoint = options.endpoint()?;
        let authorization = match options.token.expose() {
            // The Go tool makes ":" of an empty user and password.
            "" | ":" => None,
            token => STANDARD.encode(token).parse().ok().map(|mut value: MetadataValue<Ascii>| {
                value.set_sensitive(true);
                value
            }),
        };
        let connect = |_| endpoint.connect_lazy();
        Ok(Self {
            uri: options.uri.clone(),
            metadata: Stub::new(connect(0)).max_decoding_message_size(ANSWER_BYTES_MAX),
            rows: (0..options.connections.max(1)).map(connect).collect(),
            authorization,
        })
    }

    /// The connection of a physical channel: always the same one. Different channels have different
    /// connections as far as there are enough.
    pub(super) fn connection(&self, pchannel: &str) -> Channel {
        let number = pchannel.rsplit_once('_').and_then(|(_, number)| number.parse().ok());
        let number: usize = number.unwrap_or_else(|| {
            let mut hasher = DefaultHasher::new();
            pchannel.hash(&mut hasher);
            hasher.finish() as usize
        });
        self.rows[number % self.rows.len()].clone()
    }

    /// Makes a request with our login.
    pub(super) fn sign<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }

    /// Every connection.
    pub(super) fn connections(&self) -> impl Iterator<Item = Stub> {
        let rows = self.rows.iter().cloned();
        std::iter::once(self.metadata.clone())
            .chain(rows.map(|rows| Stub::new(rows).max_decoding_message_size(ANSWER_BYTES_MAX)))
    }

    /// Sends one request in a database; an empty name means the default database.
    pub(super) async fn ask<Q, A: Answer>(
        &self,
        database: &str,
        message: Q,
        call: impl AsyncFnOnce(Stub, Request<Q>) -> std::result::Result<Response<A>, tonic::Status>,
    ) -> std::result::Result<A, Fault> {
        self.ask_over(self.metadata.clone(), database, message, call).await
    }

    /// Sends one request over one connection.
    pub(super) async fn ask_over<Q, A: Answer>(
        &self,
        connection: Stub,
        database: &str,
        message: Q,
        call: impl AsyncFnOnce(Stub, Request<Q>) -> std::result::Result<Response<A>, tonic::Status>,
    ) -> std::result::Result<A, Fault> {
        let mut request = self.sign(message);
        // The server has the same deadline, so that requests do not pile up there.
        request.set_timeout(ANSWER_WITHIN);
        let database = if database.is_empty() { DEFAULT_DATABASE } else { database };
        // A name that can't be in a header can't be the name of a database.
        let database = database.parse().map_err(|_| Fault::Name)?;
        request.metadata_mut().insert("dbname", database);
        let answer = tokio::time::timeout(ANSWER_WITHIN, call(connection, request))
            .await
            .map_err(|_| Fault::Deadline)??
            .into_inner();
        match answer.status() {
            Some(status) => Fault::of(status).map_or(Ok(answer), Err),
            None => Ok(answer),
        }
    }

    /// The outcome of a request. A fault that means the target is already as requested is a
    /// success.
    pub(super) fn outcome<A>(
        &self,
        tried: &str,
        asked: std::result::Result<A, Fault>,
        is_so_already: impl FnOnce(&Fault) -> bool,
    ) -> Result<()> {
        match asked {
            Ok(_) => Ok(()),
            Err(fault) if is_so_already(&fault) => Ok(()),
            Err(fault) => Err(self.not_changed(tried, fault)),
        }
    }

    /// The sentence for a request that changes the metadata.
    pub(super) fn not_changed(&self, tried: &str, fault: Fault) -> Error {
        self.refused(tried, fault, Asked::ToChange)
    }

    /// The sentence for any other request.
    pub(super) fn error(&self, tried: &str, fault: Fault) -> Error {
        self.refused(tried, fault, Asked::AsEver)
    }

    /// The sentence for a user: what was tried, at which target, and what it means.
    fn refused(&self, tried: &str, fault: Fault, asked: Asked) -> Error {
        let is_doubtful = fault.is_cut_off() && self.uri.starts_with("https://");
        let error = fault.error(&format!("can't {tried} at the target {}", self.uri), asked);
        match is_doubtful {
            true => Error { what: format!("{}; {CUT_OFF}", error.what), ..error },
            false => error,
        }
    }
}

/// Marks a request as replicated: the target then uses the source's timestamp, and leaves the
/// clean-up of channels to the messages in the stream.
pub(super) fn replicated(base: Option<MsgBase>, at: Timestamp) -> Option<MsgBase> {
    let replicate_info =
        ReplicateInfo { is_replicate: true, msg_timestamp: at.0, ..Default::default() };
    Some(MsgBase { replicate_info: Some(replicate_info), ..base.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[tokio::test]
    async fn a_token_becomes_base64_in_a_sensitive_header() {
        let options =
            MilvusOptions { token: Secret::new("root:Milvus"), ..MilvusOptions::new("h:1") };
        let request = Client::new(&options).unwrap().sign(());
        let header = request.metadata().get("authorization").unwrap();
        assert_eq!(header, "cm9vdDpNaWx2dXM=");
        assert!(header.is_sensitive());
        let nobody = MilvusOptions { token: Secret::new(":"), ..MilvusOptions::new("h:1") };
        assert!(Client::new(&nobody).unwrap().sign(()).metadata().is_empty());
    }

    #[tokio::test]
    async fn unreachable_is_transient() {
        let client = Client::new(&MilvusOptions::new("127.0.0.1:1")).unwrap();
        let request = milvus_wire::proto::milvus::ListDatabasesRequest::default();
        let asked = client.ask("", request, async |mut c, r| c.list_databases(r).await).await;
        let error = client.error("list databases", asked.unwrap_err());
        assert_eq!(error.kind, replication::error::Kind::Transient, "{error:?}");
        assert!(error.what.contains("127.0.0.1:1"), "{error}");
    }
}
