//! How to reach an etcd. Never shows the password.

use crate::Secret;
use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};
use replication::error::{Error, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As the Go tool has it.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// etcd allows a ping every five seconds.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Then a connection without an answer is dead.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// How to reach the etcd of a source Milvus, and where its records are.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct EtcdOptions {
    /// `host:port` each, with or without a scheme.
    pub endpoints: Vec<String>,
    /// Milvus's `etcd.rootPath`.
    pub root_path: String,
    /// Milvus's `etcd.metaSubPath`.
    pub meta_sub_path: String,
    /// Empty: without a login.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Whether to use TLS where an endpoint has no scheme.
    pub tls: bool,
    /// The authority to trust, PEM; empty: those of the operating system.
    pub tls_ca_path: PathBuf,
    /// Our certificate, PEM; empty: none.
    pub tls_cert_path: PathBuf,
    /// Its key, PEM.
    pub tls_key_path: PathBuf,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            endpoints: vec!["127.0.0.1:2379".to_owned()],
            root_path: "by-dev".to_owned(),
            meta_sub_path: "meta".to_owned(),
            username: String::new(),
            password: Secret::default(),
            tls: false,
            tls_ca_path: PathBuf::new(),
            tls_cert_path: PathBuf::new(),
            tls_key_path: PathBuf::new(),
        }
    }
}

impl EtcdOptions {
    /// For the client; reads the certificates.
    pub(super) fn connect_options(&self) -> Result<ConnectOptions> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_WITHIN)
            .with_keep_alive(PING_EVERY, PONG_WITHIN)
            .with_keep_alive_while_idle(true)
            // A member that is cut off from the others says so instead of standing still.
            .with_require_leader(true);
        if !self.username.is_empty() {
            options = options.with_user(&self.username, self.password.expose());
        }
        let secure = |endpoint: &String| endpoint.starts_with("https://");
        if self.tls || self.endpoints.iter().any(secure) {
            options = options.with_tls(self.tls_options()?);
        }
        Ok(options)
    }

    fn tls_options(&self) -> Result<TlsOptions> {
        let mut tls = TlsOptions::new();
        if self.tls_ca_path.as_os_str().is_empty() {
            tls = tls.with_native_roots();
        } else {
            tls = tls.ca_certificate(Certificate::from_pem(read(&self.tls_ca_path)?));
        }
        let (cert, key) = (&self.tls_cert_path, &self.tls_key_path);
        match (cert.as_os_str().is_empty(), key.as_os_str().is_empty()) {
            (true, true) => Ok(tls),
            (false, false) => Ok(tls.identity(Identity::from_pem(read(cert)?, read(key)?))),
            _ => Err(Error::permanent("TLS to etcd needs both the certificate and its key")),
        }
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
    fn the_password_is_not_shown() {
        let options = EtcdOptions { password: Secret::new("hunter2"), ..EtcdOptions::default() };
        assert!(!format!("{options:?}").contains("hunter"), "{options:?}");
    }

    #[test]
    fn a_missing_certificate_file_is_named() {
        let options = EtcdOptions {
            tls: true,
            tls_ca_path: "/nowhere/ca.pem".into(),
            ..EtcdOptions::default()
        };
        let error = options.connect_options().unwrap_err();
        assert!(error.what.contains("/nowhere/ca.pem"), "{error}");
    }
}
