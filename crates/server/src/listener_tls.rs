//! TLS of the HTTP API: from PEM files to the configuration of the listener. Never speaks anything
//! older than TLS 1.2.

use connectors::InvalidOption;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The PEM files of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerFiles {
    /// Its certificate, with those of intermediate authorities.
    pub cert: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
    /// The authorities that may sign the certificates of clients. `None` if clients need none.
    pub client_ca: Option<PathBuf>,
}

const CERT: &str = "api.tlsCertPath";
const KEY: &str = "api.tlsKeyPath";
const CLIENT_CA: &str = "api.tlsClientCAPath";

/// Reads the files. The error names the key of the configuration whose file is wrong.
pub(crate) fn load(files: &ListenerFiles) -> Result<Arc<ServerConfig>, InvalidOption> {
    let provider = Arc::new(ring::default_provider());
    let certificates = certificates(CERT, &files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| invalid(KEY, format!("the file contains no private key in PEM: {e}")))?;
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| invalid(CERT, e.to_string()))?;
    let config = match &files.client_ca {
        None => config.with_no_client_auth(),
        Some(ca) => config.with_client_cert_verifier(verifier(ca, provider)?),
    };
    let mut config = config
        .with_single_cert(certificates, key)
        .map_err(|e| invalid(KEY, format!("the key does not belong to the certificate: {e}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn invalid(key: &'static str, problem: String) -> InvalidOption {
    InvalidOption::new(key, problem, "name a PEM file that contains it")
}

/// Checks the certificates of clients.
fn verifier(
    ca: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, InvalidOption> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_CA, ca)? {
        roots.add(certificate).map_err(|e| invalid(CLIENT_CA, e.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| invalid(CLIENT_CA, e.to_string()))
}

fn certificates(
    key: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, InvalidOption> {
    let not_pem =
        |e: rustls::pki_types::pem::Error| invalid(key, format!("the file is not PEM: {e}"));
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(not_pem)?.collect();
    let found = found.map_err(not_pem)?;
    if found.is_empty() {
        return Err(invalid(key, "the file contains no certificate in PEM".into()));
    }
    Ok(found)
}
