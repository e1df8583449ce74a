//! The errors that the client that reads from a Kafka and the client that writes to one have in
//! common. Never shows a value that may be a secret.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use replication::error::Error;
use tokio::task::JoinError;

/// The error for settings that librdkafka does not accept.
pub(crate) fn refused_options(error: &KafkaError) -> Error {
    let what = match error {
        // librdkafka's description of a value that is not a number contains the value, which may be
        // a secret.
        KafkaError::ClientConfig(res, description, key, value) => {
            let is_shown =
                *res == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN || value.parse::<i64>().is_ok();
            let why = if is_shown { description } else { "it can't have this value" };
            format!("the Kafka setting {key} is not valid: {why}")
        }
        other => format!("the Kafka settings are not valid: {other}"),
    };
    Error::permanent(what)
}

/// The error for a login or a TLS handshake that the broker refuses.
pub(crate) fn refused_login(reason: &str) -> Error {
    Error::permanent(format!(
        "Kafka refuses the connection: {reason}. Check user name, password, mechanism, security \
         protocol and certificates"
    ))
}

/// The error for a call of librdkafka whose thread ended without a result.
pub(crate) fn aborted(error: JoinError) -> Error {
    Error::transient("a call of the Kafka client was aborted").because(error)
}
