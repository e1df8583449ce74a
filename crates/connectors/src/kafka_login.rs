//! How a Kafka lets us in, for the client that reads and the one that writes. Never connects and
//! never shows a secret.

use crate::Secret;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use replication::error::Error;

/// User name, password and protocol as the options have them.
pub(crate) struct Login<'a> {
    pub(crate) username: &'a str,
    pub(crate) password: &'a Secret,
    pub(crate) mechanisms: &'a str,
    pub(crate) protocol: &'a str,
}

impl Login<'_> {
    /// What every client of these brokers is told.
    pub(crate) fn client(&self, brokers: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", brokers)
            .set("client.id", "milvus-cdc")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000");
        self.set(&mut config);
        config
    }

    /// Tells librdkafka. What is empty has a default that depends on whether there is a user name.
    fn set(&self, config: &mut ClientConfig) {
        let user = !self.username.is_empty();
        if user {
            config.set("sasl.username", self.username).set("sasl.password", self.password.expose());
        }
        let or = |given: &str, default: &'static str| match (given, user) {
            ("", true) => Some(default.to_owned()),
            ("", false) => None,
            (given, _) => Some(given.to_owned()),
        };
        if let Some(mechanisms) = or(self.mechanisms, "PLAIN") {
            config.set("sasl.mechanisms", mechanisms);
        }
        if let Some(protocol) = or(self.protocol, "SASL_PLAINTEXT") {
            if protocol.to_ascii_uppercase().ends_with("SSL") {
                // An OpenSSL that is linked statically knows no place of its own to look at.
                config.set("ssl.ca.location", "probe");
            }
            config.set("security.protocol", protocol);
        }
    }
}

/// What the options are to blame for.
pub(crate) fn refused_options(error: &KafkaError) -> Error {
    let what = match error {
        // The words for a value that is no number have it in them, and it may be a secret.
        KafkaError::ClientConfig(res, description, key, value) => {
            let is_told =
                *res == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN || value.parse::<i64>().is_ok();
            let why = if is_told { description } else { "it can't have this value" };
            format!("the Kafka setting {key} is not valid: {why}")
        }
        other => format!("the Kafka settings are not valid: {other}"),
    };
    Error::permanent(what)
}

/// The sentence about a refusal.
pub(crate) fn refused(reason: &str) -> Error {
    Error::permanent(format!(
        "Kafka refuses the connection: {reason}. Check user name, password, mechanism, security \
         protocol and certificates"
    ))
}
