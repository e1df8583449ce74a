//! How we log in to a Kafka, for the client that reads and the client that writes. Never connects,
//! and never shows a secret.

use crate::Secret;
use rdkafka::ClientConfig;

/// Who we are to the brokers, and by which protocol we say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaLogin {
    /// Empty: no SASL.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`; empty: `PLAIN` if there is a user name.
    pub mechanisms: String,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT`, `SASL_SSL`; empty: with SASL if there is a user name.
    pub protocol: String,
}

impl KafkaLogin {
    /// The settings that every client of these brokers has.
    pub(crate) fn client(&self, brokers: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("client.id", "milvus-cdc")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000");
        self.apply_to(&mut config);
        config
    }

    /// Adds librdkafka's settings for this login. The default of an empty field depends on whether
    /// there is a user name.
    fn apply_to(&self, config: &mut ClientConfig) {
        let user = !self.username.is_empty();
        if user {
            config
                .set("sasl.username", &self.username)
                .set("sasl.password", self.password.expose());
        }
        let or = |given: &str, default: &'static str| match (given, user) {
            ("", true) => Some(default.to_owned()),
            ("", false) => None,
            (given, _) => Some(given.to_owned()),
        };
        if let Some(mechanisms) = or(&self.mechanisms, "PLAIN") {
            config.set("sasl.mechanisms", mechanisms);
        }
        if let Some(protocol) = or(&self.protocol, "SASL_PLAINTEXT") {
            if protocol.to_ascii_uppercase().ends_with("SSL") {
                // A statically linked OpenSSL has no default place of certificates.
                config.set("ssl.ca.location", "probe");
            }
            config.set("security.protocol", protocol);
        }
    }
}
