//! A target that is a Milvus, as a task's record has it: the Go tool's keys.
//! Never shown as it is: it contains secrets in clear text.

use crate::secret::{self, Secret};
use connectors::InvalidOption;
use connectors::TlsFiles;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How to reach a target Milvus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MilvusParam {
    /// Deprecated; see [`Self::uri`].
    pub host: String,
    /// Deprecated.
    pub port: i64,
    /// Deprecated.
    pub enable_tls: bool,
    /// `http(s)://host:port`.
    pub uri: String,
    /// `user:password`.
    #[serde(with = "secret::stored", skip_serializing_if = "Secret::is_empty")]
    pub token: Secret,
    /// Deprecated.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Deprecated.
    #[serde(with = "secret::stored", skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    /// Files for TLS.
    pub dial_config: DialConfig,
    /// The target's `rootCoord.dmlChannelNum`; not needed, the target is asked.
    pub channel_num: i64,
    /// Creating and dropping partitions is left out.
    pub ignore_partition: bool,
    /// Seconds; zero: the default.
    pub connect_timeout: i64,
}

impl MilvusParam {
    /// The address, from whichever form was given; empty if none was.
    pub fn uri(&self) -> String {
        if !self.uri.is_empty() {
            self.uri.clone()
        } else if self.host.contains("http://") || self.host.contains("https://") {
            self.host.clone()
        } else if !self.host.is_empty() && self.port > 0 {
            let scheme = if self.enable_tls { "https" } else { "http" };
            format!("{scheme}://{}:{}", self.host, self.port)
        } else {
            String::new()
        }
    }

    /// `user:password`, from whichever form was given; empty if none was.
    pub fn login(&self) -> Secret {
        if !self.token.is_empty() {
            self.token.clone()
        } else if self.username.is_empty() {
            Secret::default()
        } else {
            Secret::new(format!("{}:{}", self.username, self.password.expose()))
        }
    }
}

/// Files for TLS to the target, on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DialConfig {
    /// The name in the target's certificate, if it is not the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_name: String,
    /// Root certificate; one-way TLS.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_pem_path: String,
    /// Root certificate; two-way TLS.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ca_pem_path: String,
    /// Our certificate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_pem_path: String,
    /// Its key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_key_path: String,
}

impl DialConfig {
    /// The files as the client takes them; refuses two-way TLS without all of its three files.
    pub fn files(&self) -> Result<TlsFiles, InvalidOption> {
        let two_way = [&self.ca_pem_path, &self.client_pem_path, &self.client_key_path];
        let (ca, cert, key) = match two_way.map(|path| path.is_empty()) {
            [true, true, true] => (&self.server_pem_path, "", ""),
            [false, false, false] => {
                (&self.ca_pem_path, &*self.client_pem_path, &*self.client_key_path)
            }
            _ => {
                return Err(InvalidOption::new(
                    "milvus_connect_param.dial_config",
                    "two-way TLS to the target needs ca_pem_path, client_pem_path and \
                     client_key_path",
                    "give all three, or only server_pem_path for one-way TLS",
                ));
            }
        };
        let server_name = self.server_name.clone();
        Ok(TlsFiles { server_name, ca: ca.into(), cert: cert.into(), key: key.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_two_way_tls_is_refused() {
        let one_way = DialConfig { server_pem_path: "/s".into(), ..DialConfig::default() };
        let files = one_way.files().unwrap();
        assert_eq!((files.ca, files.cert), ("/s".into(), "".into()));
        let half = DialConfig { ca_pem_path: "/ca".into(), ..one_way };
        assert!(half.files().unwrap_err().problem.contains("client_key_path"));
        let (client_pem_path, client_key_path) = ("/c".to_owned(), "/k".to_owned());
        let files = DialConfig { client_pem_path, client_key_path, ..half }.files().unwrap();
        assert_eq!((files.ca, files.cert, files.key), ("/ca".into(), "/c".into(), "/k".into()));
    }
}
