//! The files of a TLS connection, and what its errors mean. Never decides whether TLS is used.

use replication::error::{Error, Result};
use std::io;
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::{self, CertificateError};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Files of a TLS connection, in PEM; an empty path means no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The name in the server's certificate; empty: the host of its address.
    pub server_name: String,
    /// The authorities that may sign the server's certificate; empty: those of the operating
    /// system.
    pub ca: PathBuf,
    /// Our certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// Our certificate and its key, if both are given; one alone is an error.
    pub(crate) fn identity(&self) -> Result<Option<(&Path, &Path)>> {
        match (self.cert.as_os_str().is_empty(), self.key.as_os_str().is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some((&self.cert, &self.key))),
            _ => Err(Error::permanent("our certificate for TLS is of no use without its key")),
        }
    }

    /// The configuration of a client that is built on tonic; reads the files.
    pub(crate) fn config(&self) -> Result<ClientTlsConfig> {
        let mut config = ClientTlsConfig::new();
        if !self.server_name.is_empty() {
            config = config.domain_name(&self.server_name);
        }
        config = match self.ca.as_os_str().is_empty() {
            true => config.with_native_roots(),
            false => config.ca_certificate(Certificate::from_pem(read(&self.ca)?)),
        };
        Ok(match self.identity()? {
            Some((cert, key)) => config.identity(Identity::from_pem(read(cert)?, read(key)?)),
            None => config,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| unreadable(path, error))
}

/// The error for a file of a TLS connection that can't be used.
pub(crate) fn unreadable(
    file: &Path,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::permanent(format!("can't read the certificate file {}", file.display())).because(cause)
}

/// Why TLS failed: a sentence without its subject, which is the server. `None` if something else
/// failed.
pub(crate) fn objection(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(of_rustls(error));
        }
        // The error inside of an I/O error is not among its sources.
        let made_of = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = made_of.map(|inner| inner as &(dyn std::error::Error + 'static)).or(error.source());
    }
    None
}

fn of_rustls(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    match error {
        // The latter if the given authority has the name of the one that signed it, but another
        // key.
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
