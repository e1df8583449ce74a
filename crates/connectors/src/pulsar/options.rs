//! How to reach a Pulsar. Never shows a secret, never speaks to it.

use crate::tls::TlsFiles;
use crate::{Secret, prefetch_share};
use replication::error::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Who we are to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PulsarLogin {
    /// Nobody in particular.
    #[default]
    None,
    /// Who holds this JSON web token.
    Token(Secret),
    /// A user with a password.
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
    /// Who we are to the broker.
    pub login: PulsarLogin,
    /// Speak TLS; with which files.
    pub tls: Option<TlsFiles>,
    /// How many channels are expected to be open at a time: each gets its share of the memory.
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
            // One that can't be read among those of a system is none that anybody relies on.
            let _ = roots.add(root);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::permanent("TLS can't be set up").because(error))?
            .with_root_certificates(roots);
        let has_none = [&files.cert, &files.key].map(|file| file.as_os_str().is_empty());
        let config = match has_none {
            [true, true] => config.with_no_client_auth(),
            [false, false] => {
                let chain = certificates(&files.cert)?;
                let key = PrivateKeyDer::from_pem_file(&files.key)
                    .map_err(|error| unreadable(&files.key, error))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| unreadable(&files.cert, error))?
            }
            _ => {
                let what = "our certificate for TLS is of no use without its key";
                return Err(Error::permanent(what));
            }
        };
        Ok(Some(Arc::new(config).into()))
    }
}

/// The name of the method and what proves that we are who we say.
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
        return Err(unreadable(file, "it holds no certificate"));
    }
    Ok(read)
}

fn unreadable(file: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::permanent(format!("can't read the certificate file {}", file.display())).because(cause)
}
