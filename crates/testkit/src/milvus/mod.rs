//! A client for a real Milvus 2.3. Retries only what Milvus itself asks to try later, and never a
//! call without an answer.
//!
//! In reading order: [`CollectionSpec`] says what a collection is to be, `definition` creates and
//! describes databases, collections and partitions, `naming` changes what does not touch rows,
//! `writing` and `querying` move rows, `serving` is indexes and loading, `rbac` users and roles.

mod definition;
mod fault;
mod key;
mod naming;
mod querying;
mod rbac;
mod serving;
mod spec;
mod writing;

pub use fault::{Fault, Result};
pub use key::Key;
pub use querying::{PAGE_ROWS_MAX, Query, Reading};
pub use spec::{CollectionSpec, FieldKind};
pub use writing::Batch;

use fault::{Answer, Verdict, judge};
use milvus_wire::proto::milvus::milvus_service_client::MilvusServiceClient;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// More than the 64 MiB that Milvus itself allows by default.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// How long a call may take, unless said otherwise.
const CALL_WITHIN: Duration = Duration::from_secs(60);

/// How long "later" is accepted as an answer.
const LATER_WITHIN: Duration = Duration::from_secs(60);

/// The pause between two attempts of a call that Milvus wants later.
const LATER_PAUSE: Duration = Duration::from_millis(200);

/// A connection to a Milvus, for one database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Milvus {
    stub: MilvusServiceClient<Channel>,
    address: String,
    database: String,
    within: Duration,
}

impl Milvus {
    /// For the default database at `127.0.0.1:19530` or the like. Connects at the first call, and
    /// again whenever the connection is lost.
    ///
    /// # Errors
    /// If that is no address.
    pub fn at(address: &str) -> Result<Self> {
        Ok(Self::through(address, endpoint("http", address)?))
    }

    /// The same for one that speaks TLS, with the files of [`lab::make_certificates`]: it trusts
    /// their authority and shows their client's certificate.
    ///
    /// # Errors
    /// If that is no address, or the files can't be read.
    pub fn over_tls(address: &str, certificates: &Path) -> Result<Self> {
        let pem = |name: &str| {
            let path = certificates.join(name);
            let read = std::fs::read(&path);
            read.map_err(|error| Fault::Odd(format!("{}: {error}", path.display())))
        };
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(pem("ca.pem")?))
            .identity(Identity::from_pem(pem("client.pem")?, pem("client.key")?));
        let endpoint = endpoint("https", address)?
            .tls_config(tls)
            .map_err(|error| Fault::Odd(format!("no TLS to {address}: {error}")))?;
        Ok(Self::through(address, endpoint))
    }

    fn through(address: &str, endpoint: Endpoint) -> Self {
        let stub = MilvusServiceClient::new(endpoint.connect_lazy())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Self { stub, address: address.to_owned(), database: String::new(), within: CALL_WITHIN }
    }

    /// The same server, another database.
    #[must_use]
    pub fn database(&self, name: &str) -> Self {
        Self { database: name.to_owned(), ..self.clone() }
    }

    /// The same, with another limit for each call.
    #[must_use]
    pub fn patient_for(&self, within: Duration) -> Self {
        Self { within, ..self.clone() }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The database in use; empty for the default one.
    pub fn database_name(&self) -> &str {
        &self.database
    }

    /// Makes a call, and makes it again while Milvus says "later".
    async fn call<Q, A, Calling>(
        &self,
        call: &'static str,
        question: Q,
        send: impl Fn(MilvusServiceClient<Channel>, tonic::Request<Q>) -> Calling,
    ) -> Result<A>
    where
        Q: Clone,
        A: Answer,
        Calling: Future<Output = std::result::Result<tonic::Response<A>, tonic::Status>>,
    {
        let deadline = Instant::now() + LATER_WITHIN;
        loop {
            let request = self.request(question.clone())?;
            // The server has the same limit, but a frozen server does not keep it.
            let status = match timeout(self.within, send(self.stub.clone(), request)).await {
                Ok(Ok(answer)) => match judge(call, answer.get_ref().status()) {
                    Verdict::Success => return Ok(answer.into_inner()),
                    Verdict::Later(_) if Instant::now() < deadline => {
                        tokio::time::sleep(LATER_PAUSE).await;
                        continue;
                    }
                    Verdict::Later(fault) | Verdict::Refused(fault) => return Err(fault),
                },
                Ok(Err(status)) => status,
                Err(_) => tonic::Status::deadline_exceeded("no answer in time"),
            };
            return Err(Fault::Unanswered { call, status: Box::new(status) });
        }
    }

    fn request<Q>(&self, question: Q) -> Result<tonic::Request<Q>> {
        let mut request = tonic::Request::new(question);
        request.set_timeout(self.within);
        if !self.database.is_empty() {
            let name = MetadataValue::try_from(&self.database)
                .map_err(|_| Fault::Odd(format!("{} is no database name", self.database)))?;
            request.metadata_mut().insert("dbname", name);
        }
        Ok(request)
    }
}

fn endpoint(scheme: &str, address: &str) -> Result<Endpoint> {
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .map_err(|error| Fault::Odd(format!("{address} is no address: {error}")))?
        .connect_timeout(Duration::from_secs(5))
        // A frozen or lost server must be noticed even while nothing is asked.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(30));
    Ok(endpoint)
}
