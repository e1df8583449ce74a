//! TLS of the HTTP API: from PEM files to what the listener needs. Never speaks anything older than
//! TLS 1.2.

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// PEM files for TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, with those of the authorities between.
    pub cert: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
    /// Who may sign the certificate that a client has to show; `None`: it shows none.
    pub client_ca: Option<PathBuf>,
}

/// Reads the files; the error names the key of the configuration that is to blame, and what is
/// wrong with its file.
pub fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, (&'static str, String)> {
    let provider = Arc::new(ring::default_provider());
    let certificates = certificates(&files.cert).map_err(|e| ("api.tlsCertPath", e))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| ("api.tlsKeyPath", format!("the file holds no private key in PEM: {e}")))?;
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| ("api.tlsCertPath", e.to_string()))?;
    let config = match &files.client_ca {
        None => config.with_no_client_auth(),
        Some(ca) => {
            let verifier = verifier(ca, provider).map_err(|e| ("api.tlsClientCAPath", e))?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let mut config = config.with_single_cert(certificates, key).map_err(|e| {
        ("api.tlsKeyPath", format!("the key does not belong to the certificate: {e}"))
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Who may sign the certificate that a client has to show.
fn verifier(
    ca: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| e.to_string())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |e: rustls::pki_types::pem::Error| format!("the file is not PEM: {e}");
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(wrong)?.collect();
    let found = found.map_err(wrong)?;
    if found.is_empty() {
        return Err("the file holds no certificate in PEM".into());
    }
    Ok(found)
}
