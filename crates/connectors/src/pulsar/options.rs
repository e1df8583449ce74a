//! How to reach a Pulsar. Never shows a secret, and never connects.

use crate::tls::{TlsFiles, unreadable};
use crate::{Secret, prefetch_share};
use replication::error::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How we log in to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PulsarLogin {
    /// Without a login.
    #[default]
    None,
    /// With a JSON web token.
    Token(Secret),
    /// With a user name and a password.
    Basic(String, Secret),
}

/// How to reach the Pulsar of a source Milvus.
#[derive(Clone, Debug)]
pub struct PulsarOptions {
    /// `host:port` of brokers or a proxy, any of which leads to the others.
    pub brokers: Vec<String>,
    /// The tenant of the source's topics.
    pub tenant: String,
    /// Their namespace.
    pub namespace: String,
    /// How we log in to the broker.
    pub login: PulsarLogin,
    /// The files for TLS; `None`: without TLS.
    pub tls: Option<TlsFiles>,
    /// How many channels are expected to be open at a time; they share the memory for prefetching.
    pub channels: usize,
}

impl PulsarOptions {
    /// Without login and TLS, under `public/default`.
    pub fn new(broker: impl Into<String>) -> Self {
        Self {
            brokers: vec![broker.into()],
            tenant: "public".into(),
            namespace: "default".into(),
            login: PulsarLogin::default(),
            tls: None,
            channels: prefetch_share::CHANNELS,
        }
    }

    /// The full name of a channel's topic.
    pub(super) fn topic(&self, channel: &str) -> String {
        format!("persistent://{}/{}/{channel}", self.tenant, self.namespace)
    }

    /// Reads the files of a TLS connection.
    pub(super) fn connector(&self) -> Result<Option<TlsConnector>> {
        let Some(files) = &self.tls else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for root in roots_of(files)? {
            // A root of the system that can't be read is skipped: nobody relies on it.
            let _ = roots.add(root);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::permanent("TLS can't be set up").because(error))?
            .with_root_certificates(roots);
        let config = match files.identity()? {
            None => config.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = certificates(cert)?;
                let key =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, error))?;
                config.with_client_auth_cert(chain, key).map_err(|error| unreadable(cert, error))?
            }
        };
        Ok(Some(Arc::new(config).into()))
    }
}

/// The name of the login method, and the proof that it asks for.
pub(super) fn proof(login: &PulsarLogin) -> Option<(&'static str, Vec<u8>)> {
    match login {
        PulsarLogin::None => None,
        PulsarLogin::Token(token) => Some(("token", token.expose().into())),
        PulsarLogin::Basic(user, password) => {
            Some(("basic", format!("{user}:{}", password.expose()).into()))
        }
    }
}

fn roots_of(files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>> {
    if files.ca.as_os_str().is_empty() {
        return Ok(rustls_native_certs::load_native_certs().certs);
    }
    certificates(&files.ca)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let read: Vec<_> = read.map_err(|error| unreadable(file, error))?;
    if read.is_empty() {
        return Err(unreadable(file, "it contains no certificate"));
    }
    Ok(read)
}
