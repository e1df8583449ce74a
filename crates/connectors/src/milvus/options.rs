//! How to reach a target Milvus. Never shows the token.

use crate::Secret;
use replication::error::{Error, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// Data connections unless configured otherwise: calls for different lanes run in parallel, and
/// one HTTP/2 connection is limited by its peer's window and by one core of encryption.
const CONNECTIONS: usize = 4;

/// As the Go tool has it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Milvus allows a ping every five seconds.
const PING_EVERY: Duration = Duration::from_secs(20);

/// How long a ping may go unanswered. A target may stand still for a minute (a frozen machine, a
/// long collection of garbage) and go on: its calls are not given up before that.
const PONG_WITHIN: Duration = Duration::from_secs(100);

/// How to reach a target Milvus.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct MilvusOptions {
    /// `http://host:port`, or `https://host:port` for TLS; without a scheme `http`.
    pub uri: String,
    /// `user:password`, or an API key; empty: without a login.
    pub token: Secret,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Certificates, if the uri says `https`.
    pub tls: DialTls,
    /// Connections for rows; metadata has one of its own.
    pub connections: usize,
}

/// Certificates, as paths of PEM files. None at all: the authorities of the operating system.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DialTls {
    /// The name in the server's certificate, if it is not that of the uri.
    pub server_name: String,
    /// One-way TLS: the certificate to trust.
    pub server_pem_path: PathBuf,
    /// Two-way TLS: the authority to trust.
    pub ca_pem_path: PathBuf,
    /// Two-way TLS: our certificate.
    pub client_pem_path: PathBuf,
    /// Two-way TLS: its key.
    pub client_key_path: PathBuf,
}

impl Default for MilvusOptions {
    fn default() -> Self {
        Self::new("")
    }
}

impl MilvusOptions {
    /// Without a login.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            token: Secret::default(),
            connect_timeout: CONNECT_TIMEOUT,
            tls: DialTls::default(),
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

impl DialTls {
    fn config(&self) -> Result<ClientTlsConfig> {
        let mut config = ClientTlsConfig::new();
        if !self.server_name.is_empty() {
            config = config.domain_name(&self.server_name);
        }
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        let two_way = [&self.ca_pem_path, &self.client_pem_path, &self.client_key_path];
        if two_way.into_iter().all(is_set) {
            let identity =
                Identity::from_pem(read(&self.client_pem_path)?, read(&self.client_key_path)?);
            let authority = Certificate::from_pem(read(&self.ca_pem_path)?);
            return Ok(config.ca_certificate(authority).identity(identity));
        }
        if two_way.into_iter().any(is_set) {
            return Err(Error::permanent(
                "two-way TLS to the target needs ca_pem_path, client_pem_path and client_key_path",
            ));
        }
        if is_set(&self.server_pem_path) {
            let trusted = Certificate::from_pem(read(&self.server_pem_path)?);
            return Ok(config.ca_certificate(trusted));
        }
        Ok(config.with_native_roots())
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::permanent(format!("can't read the certificate file {}", path.display()))
            .because(error)
    })
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

    #[test]
    fn half_a_two_way_tls_is_refused() {
        let mut options = MilvusOptions::new("https://h:1");
        options.tls.ca_pem_path = "/some/ca.pem".into();
        let error = options.endpoint().unwrap_err();
        assert!(error.what.contains("client_key_path"), "{error}");
    }
}
