//! What a TLS connection needs, for every client that is built on tonic. Never decides whether TLS
//! is spoken.

use replication::error::{Error, Result};
use std::io;
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::{self, CertificateError};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Files of a TLS connection, PEM; an empty path is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The name in the server's certificate; empty: that of its address.
    pub server_name: String,
    /// Who may sign the server's certificate; none: the authorities of the operating system.
    pub ca: PathBuf,
    /// Our certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// For the client; reads the files.
    pub(crate) fn config(&self) -> Result<ClientTlsConfig> {
        let mut config = ClientTlsConfig::new();
        if !self.server_name.is_empty() {
            config = config.domain_name(&self.server_name);
        }
        config = match read(&self.ca)? {
            Some(ca) => config.ca_certificate(Certificate::from_pem(ca)),
            None => config.with_native_roots(),
        };
        match (read(&self.cert)?, read(&self.key)?) {
            (None, None) => Ok(config),
            (Some(cert), Some(key)) => Ok(config.identity(Identity::from_pem(cert, key))),
            _ => Err(Error::permanent("our certificate for TLS is of no use without its key")),
        }
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    std::fs::read(path).map(Some).map_err(|error| {
        Error::permanent(format!("can't read the certificate file {}", path.display()))
            .because(error)
    })
}

/// What TLS has against a connection: a sentence without its subject, which is the server. `None` if
/// it is not TLS that failed.
pub(crate) fn objection(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(of_rustls(error));
        }
        // What an I/O error was made of is not among its sources.
        let made_of = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = made_of.map(|inner| inner as &(dyn std::error::Error + 'static)).or(error.source());
    }
    None
}

fn of_rustls(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    match error {
        // The latter if that authority is only called like the one that signed it.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is not signed by the authority that was given".to_owned()
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another server name".to_owned(),
        InvalidCertificate(wrong) => format!("its certificate can't be accepted: {wrong}"),
        AlertReceived(alert) => format!("it does not accept our certificate: {alert:?}"),
        InvalidMessage(_) => "it does not speak TLS".to_owned(),
        other => format!("TLS failed: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let files = TlsFiles { ca: "/nowhere/ca.pem".into(), ..TlsFiles::default() };
        let error = files.config().unwrap_err();
        assert!(error.what.contains("/nowhere/ca.pem"), "{error}");
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let cert = folder.path().join("cert.pem");
        std::fs::write(&cert, "").unwrap();
        let files = TlsFiles { cert, ..TlsFiles::default() };
        assert!(files.config().unwrap_err().what.contains("key"));
    }
}
