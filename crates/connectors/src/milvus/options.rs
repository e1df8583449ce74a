//! How to reach a target Milvus. Never shows the token.

use crate::{Secret, TlsFiles};
use replication::error::{Error, Result};
use std::time::Duration;
use tonic::transport::Endpoint;

/// The number of connections for rows by default. Calls for different lanes run in parallel, and
/// one HTTP/2 connection is limited by its peer's window and by one core for encryption.
const CONNECTIONS: usize = 4;

/// The Go tool's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Milvus allows a ping every five seconds.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long a ping may go unanswered. A target may stall for a minute (a frozen machine, a long
/// garbage collection) and continue: its calls are not given up before that.
const PONG_WITHIN: Duration = Duration::from_secs(100);

/// How to reach a target Milvus.
#[derive(Clone, Debug)]
pub struct MilvusOptions {
    /// `http://host:port`, or `https://host:port` for TLS; without a scheme `http`.
    pub uri: String,
    /// `user:password`, or an API key; empty: without a login.
    pub token: Secret,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// The files for TLS, if the uri begins with `https`.
    pub tls: TlsFiles,
    /// The number of connections for rows; metadata has one of its own.
    pub connections: usize,
}

impl Default for MilvusOptions {
    fn default() -> Self {
        Self::new("")
    }
}

impl MilvusOptions {
    /// Options without a login.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            token: Secret::default(),
            connect_timeout: CONNECT_TIMEOUT,
            tls: TlsFiles::default(),
            connections: CONNECTIONS,
        }
    }

    pub(super) fn endpoint(&self) -> Result<Endpoint> {
        let uri = match self.uri.contains("://") {
            true => self.uri.clone(),
            false => format!("http://{}", self.uri),
        };
        let bad = |error: tonic::transport::Error| {
            let what = format!("{uri} is not an address of a Milvus: give http://host:port");
            Error::permanent(what).because(error)
        };
        let endpoint = Endpoint::from_shared(uri.clone())
            .map_err(bad)?
            .connect_timeout(self.connect_timeout)
            .tcp_keepalive(Some(PING_EVERY))
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .keep_alive_while_idle(true);
        match uri.starts_with("https://") {
            true => endpoint.tls_config(self.tls.config()?).map_err(bad),
            false => Ok(endpoint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_not_shown() {
        let options =
            MilvusOptions { token: Secret::new("root:Milvus"), ..MilvusOptions::new("h:19530") };
        assert!(!format!("{options:?}").contains("root"), "{options:?}");
    }

    #[test]
    fn an_address_needs_no_scheme_and_must_be_one() {
        assert_eq!(MilvusOptions::new("h:1").endpoint().unwrap().uri().port_u16(), Some(1));
        assert!(MilvusOptions::new("h:1 x").endpoint().is_err());
    }
}
