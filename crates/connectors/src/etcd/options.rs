//! How to reach an etcd. Never shows the password.

use super::members::EtcdMembers;
use crate::{Secret, TlsFiles};
use etcd_client::ConnectOptions;
use replication::error::Result;
use std::time::Duration;

/// The Go tool's default.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// etcd allows a ping every five seconds.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How long a ping may go unanswered.
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// How to reach the etcd of a source Milvus or of a store, and where the records are.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// `host:port` each, with or without a scheme.
    pub endpoints: Vec<String>,
    /// Milvus's `etcd.rootPath`; a store's `metaStoreConfig.rootPath`.
    pub root_path: String,
    /// Milvus's `etcd.metaSubPath`; a store has none.
    pub meta_sub_path: String,
    /// Empty: without a login.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// The files for TLS; `None`: TLS without files, if an endpoint begins with `https`.
    pub tls: Option<TlsFiles>,
    /// Where it is noted which members answer.
    pub members: EtcdMembers,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            endpoints: vec!["127.0.0.1:2379".to_owned()],
            root_path: "by-dev".to_owned(),
            meta_sub_path: "meta".to_owned(),
            username: String::new(),
            password: Secret::default(),
            tls: None,
            members: EtcdMembers::default(),
        }
    }
}

impl EtcdOptions {
    /// The options of the client; reads the certificates.
    pub(super) fn connect_options(&self) -> Result<ConnectOptions> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_WITHIN)
            .with_keep_alive(PING_EVERY, PONG_WITHIN)
            .with_keep_alive_while_idle(true)
            // A member that is cut off from the others returns an error instead of stalling.
            .with_require_leader(true);
        if !self.username.is_empty() {
            options = options.with_user(&self.username, self.password.expose());
        }
        let secure = |endpoint: &String| endpoint.starts_with("https://");
        if self.tls.is_some() || self.endpoints.iter().any(secure) {
            options = options.with_tls(self.tls.clone().unwrap_or_default().config()?);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let options = EtcdOptions { password: Secret::new("hunter2"), ..EtcdOptions::default() };
        assert!(!format!("{options:?}").contains("hunter"), "{options:?}");
    }
}
