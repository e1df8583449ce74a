//! The connection to etcd: made when first needed, and made anew when it is no longer accepted.
//! Never shows the values that are read.

use super::options::EtcdOptions;
use etcd_client::{Client, ConnectOptions};
use replication::error::{Error, Kind, Result};
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::Code;
use tracing::debug;

/// A healthy etcd answers in milliseconds, one that elects a leader in seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A login token ends with the member that issued it: then one new login is tried.
const ATTEMPTS: u32 = 2;

/// The connection of one catalog or store.
pub(crate) struct Connection {
    endpoints: Vec<String>,
    options: ConnectOptions,
    current: Mutex<Option<Client>>,
}

impl Connection {
    pub(crate) fn new(options: EtcdOptions) -> Result<Self> {
        if options.endpoints.is_empty() {
            return Err(Error::permanent("no address of an etcd is given"));
        }
        Ok(Self {
            options: options.connect_options()?,
            endpoints: options.endpoints,
            current: Mutex::default(),
        })
    }

    /// Sends a request, with a new login if the old one is no longer accepted.
    pub(crate) async fn ask<T, F>(&self, tried: &str, ask: impl Fn(Client) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, etcd_client::Error>>,
    {
        let mut attempt = 1;
        loop {
            let asked = async { ask(self.client().await?).await };
            match timeout(ANSWER_WITHIN, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if attempt < ATTEMPTS && is_login_lost(&error) => {
                    debug!(error = %Cause(error), "logging in to etcd again");
                    self.discard().await;
                }
                Ok(Err(error)) => return Err(self.error(tried, error)),
                Err(_) => {
                    let what = format!("can't {tried}: {} did not answer in time", self.place());
                    return Err(Error::transient(what));
                }
            }
            attempt += 1;
        }
    }

    /// The client, connected if there is none yet.
    async fn client(&self) -> std::result::Result<Client, etcd_client::Error> {
        let mut current = self.current.lock().await;
        if let Some(client) = &*current {
            return Ok(client.clone());
        }
        let client = Client::connect(&self.endpoints, Some(self.options.clone())).await?;
        Ok(current.insert(client).clone())
    }

    /// Discards the connection; the next request makes a new one.
    pub(super) async fn discard(&self) {
        *self.current.lock().await = None;
    }

    pub(super) fn place(&self) -> String {
        format!("etcd {}", self.endpoints.join(","))
    }

    fn error(&self, tried: &str, error: etcd_client::Error) -> Error {
        let (kind, why) = judge(&error);
        let what = format!("can't {tried}: {} {why}", self.place());
        Error { kind, what, source: None }.because(Cause(error))
    }
}

/// The error of etcd or of the connection, in few words: of a status only the code and the message,
/// without the headers of the answer.
#[derive(Debug)]
pub(super) struct Cause(pub(super) etcd_client::Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match status(&self.0) {
            Some((code, "")) => write!(f, "{code:?}"),
            Some((code, message)) => write!(f, "{code:?}: {message}"),
            None => self.0.fmt(f),
        }
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            etcd_client::Error::GRpcStatus(status) => status.source(),
            other => other.source(),
        }
    }
}

fn status(error: &etcd_client::Error) -> Option<(Code, &str)> {
    match error {
        etcd_client::Error::GRpcStatus(status) => Some((status.code(), status.message())),
        _ => None,
    }
}

fn is_login_lost(error: &etcd_client::Error) -> bool {
    status(error).is_some_and(|(code, message)| {
        code == Code::Unauthenticated
            || message.contains("invalid auth token")
            || message.contains("auth store is old")
    })
}

/// Whether an error goes away by itself, and its text.
fn judge(error: &etcd_client::Error) -> (Kind, &'static str) {
    const LOGIN: &str = "refuses the login: check user name and password";
    match error {
        etcd_client::Error::InvalidArgs(_)
        | etcd_client::Error::InvalidUri(_)
        | etcd_client::Error::InvalidHeaderValue(_) => {
            return (Kind::Permanent, "is not an address: give host:port");
        }
        _ => {}
    }
    match status(error) {
        Some((_, message)) if message.contains("authentication failed") => (Kind::Permanent, LOGIN),
        Some((_, message)) if message.contains("user name is empty") => (Kind::Permanent, LOGIN),
        Some((Code::PermissionDenied, _)) => (
            Kind::Permanent,
            "forbids it: the user needs to read Milvus's root path, and to write that of the store",
        ),
        Some((Code::Unavailable, _)) => (Kind::Transient, "can't be reached"),
        _ => (Kind::Transient, "has failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: Code, message: &str) -> Kind {
        judge(&etcd_client::Error::GRpcStatus(tonic::Status::new(code, message))).0
    }

    #[test]
    fn a_wrong_password_is_permanent_and_a_lost_member_is_not() {
        let wrong = "etcdserver: authentication failed, invalid user ID or password";
        assert_eq!(kind(Code::InvalidArgument, wrong), Kind::Permanent);
        assert_eq!(kind(Code::PermissionDenied, "etcdserver: permission denied"), Kind::Permanent);
        assert_eq!(kind(Code::Unavailable, "etcdserver: no leader"), Kind::Transient);
        assert_eq!(kind(Code::Unknown, "h2 protocol error"), Kind::Transient);
    }

    #[test]
    fn a_cause_is_shown_without_the_headers_of_the_answer() {
        let mut status = tonic::Status::new(Code::Unavailable, "etcdserver: no leader");
        status.metadata_mut().insert("content-type", "application/grpc".parse().unwrap());
        let connection = Connection::new(EtcdOptions::default()).unwrap();
        let error = connection.error("read", etcd_client::Error::GRpcStatus(status));
        let told = format!("{error:?}");
        assert!(told.ends_with("can't be reached: Unavailable: etcdserver: no leader"), "{told}");
    }

    #[tokio::test]
    async fn unreachable_is_transient_and_names_the_address() {
        let options =
            EtcdOptions { endpoints: vec!["127.0.0.1:1".into()], ..EtcdOptions::default() };
        let connection = Connection::new(options).unwrap();
        let asked = connection
            .ask("read", |client| async move { client.kv_client().get("k", None).await })
            .await;
        let error = asked.unwrap_err();
        assert_eq!(error.kind, Kind::Transient, "{error:?}");
        assert!(error.what.contains("127.0.0.1:1"), "{error}");
        let told = format!("{error:?}");
        assert!(told.contains("refused") && !told.contains("metadata"), "{told}");
    }
}
