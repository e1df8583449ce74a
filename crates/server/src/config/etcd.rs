//! The connection to an etcd, the source's or a store's: the same keys in two sections.
//! Never opens a connection; opens files only to see that they can be read.

use super::reader::{Reader, is_host_and_port};
use crate::secret::Secret;
use connectors::TlsFiles;

/// The keys of one section.
pub(super) struct EtcdKeys {
    pub(super) address: &'static str,
    pub(super) enable_auth: &'static str,
    pub(super) username: &'static str,
    pub(super) password: &'static str,
    pub(super) enable_tls: &'static str,
    pub(super) cert: &'static str,
    pub(super) key: &'static str,
    pub(super) ca: &'static str,
    pub(super) min_version: &'static str,
}

/// The keys of the source's etcd.
pub(super) const SOURCE: EtcdKeys = EtcdKeys {
    address: "sourceConfig.etcd.address",
    enable_auth: "sourceConfig.etcd.enableAuth",
    username: "sourceConfig.etcd.username",
    password: "sourceConfig.etcd.password",
    enable_tls: "sourceConfig.etcd.enableTLS",
    cert: "sourceConfig.etcd.tlsCertPath",
    key: "sourceConfig.etcd.tlsKeyPath",
    ca: "sourceConfig.etcd.tlsCACertPath",
    min_version: "sourceConfig.etcd.tlsMinVersion",
};

/// The keys of the store's etcd.
pub(super) const STORE: EtcdKeys = EtcdKeys {
    address: "metaStoreConfig.etcd.address",
    enable_auth: "metaStoreConfig.etcd.enableAuth",
    username: "metaStoreConfig.etcd.username",
    password: "metaStoreConfig.etcd.password",
    enable_tls: "metaStoreConfig.etcd.enableTLS",
    cert: "metaStoreConfig.etcd.tlsCertPath",
    key: "metaStoreConfig.etcd.tlsKeyPath",
    ca: "metaStoreConfig.etcd.tlsCACertPath",
    min_version: "metaStoreConfig.etcd.tlsMinVersion",
};

impl EtcdKeys {
    /// Checks the endpoints.
    pub(super) fn check_endpoints(&self, reader: &mut Reader<'_>, endpoints: &[String]) {
        if endpoints.iter().any(|e| !is_host_and_port(strip_scheme(e))) {
            reader.wrong(
                self.address,
                "not a list of endpoints",
                "write host:port, for example 127.0.0.1:2379",
            );
        }
    }

    /// User and password.
    pub(super) fn login(&self, reader: &mut Reader<'_>) -> Option<(String, Secret)> {
        let enabled = reader.flag(self.enable_auth);
        let username = reader.text(self.username);
        let password = reader.verbatim(self.password);
        if !enabled {
            if !username.is_empty() || !password.is_empty() {
                let what = format!("is not used while {} is false", self.enable_auth);
                reader.faults.warn(self.username, &what);
            }
            return None;
        }
        if username.is_empty() || password.is_empty() {
            reader.wrong(
                self.username,
                "enableAuth is true, but username or password is missing",
                "set both, or enableAuth: false",
            );
        }
        Some((username, Secret::new(password)))
    }

    /// TLS and its files.
    pub(super) fn tls(&self, reader: &mut Reader<'_>) -> Option<TlsFiles> {
        let version = reader.word(self.min_version, &["1.0", "1.1", "1.2", "1.3"]);
        if !reader.flag(self.enable_tls) {
            return None;
        }
        // The client speaks 1.2 and 1.3, and takes the better one if the server has it.
        match version.as_str() {
            "1.0" | "1.1" => reader.faults.warn(self.min_version, "TLS below 1.2 is never spoken"),
            "1.3" => reader.faults.warn(
                self.min_version,
                "1.3 is preferred but can't be demanded; forbid 1.2 on the server",
            ),
            _ => {}
        }
        Some(tls_files(reader, self.ca, self.cert, self.key))
    }
}

/// The files of TLS. A certificate of our own needs its key.
pub(super) fn tls_files(
    reader: &mut Reader<'_>,
    ca: &'static str,
    cert: &'static str,
    key: &'static str,
) -> TlsFiles {
    let files = TlsFiles {
        server_name: String::new(),
        cert: reader.file(cert),
        key: reader.file(key),
        ca: reader.file(ca),
    };
    if files.cert.as_os_str().is_empty() != files.key.as_os_str().is_empty() {
        reader.wrong(cert, "only one of tlsCertPath and tlsKeyPath is set", "set both or none");
    }
    files
}

fn strip_scheme(endpoint: &str) -> &str {
    let rest = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
    rest.unwrap_or(endpoint).trim_end_matches('/')
}
