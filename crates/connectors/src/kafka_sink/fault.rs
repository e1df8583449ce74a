//! What Kafka's errors mean for a task. Never retries.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use replication::error::Error;
use std::error::Error as StdError;

/// An error of the client as one of ours: permanent if an operator has to do something first.
pub(super) fn fault(
    what: &str,
    code: Option<Code>,
    cause: impl Into<Box<dyn StdError + Send + Sync>>,
) -> Error {
    let error = match code.and_then(remedy) {
        Some(remedy) => Error::permanent(format!("{what}: {remedy}")),
        None => Error::transient(what),
    };
    error.because(cause)
}

/// The error for a step of a transaction that failed.
pub(super) fn transaction_failed(what: &str, error: KafkaError) -> Error {
    fault(&format!("Kafka did not {what}"), code(&error), error)
}

/// The error code, wherever the client keeps it.
pub(super) fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// What to do about an error that does not go away by itself.
fn remedy(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => {
            "a record is larger than the broker takes; raise message.max.bytes of the broker or \
             max.message.bytes of the topic"
        }
        Code::TopicAuthorizationFailed => {
            "the user may not use the topic; allow Describe and Write, Create if the topic is not \
             there, and Read on the events topic of an exactly_once task"
        }
        Code::ClusterAuthorizationFailed => {
            "the user may not do that on the cluster; allow IdempotentWrite, and Create if a topic \
             is not there"
        }
        Code::GroupAuthorizationFailed => {
            "the user may not keep marks; allow Read on the group milvus-cdc-<task>"
        }
        Code::TransactionalIdAuthorizationFailed => {
            "the user may not use transactions; allow Describe and Write on the transactional id \
             milvus-cdc-<task>"
        }
        Code::SaslAuthenticationFailed
        | Code::Authentication
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => "the login is refused; check user name, password and mechanism",
        Code::UnsupportedVersion | Code::UnsupportedFeature | Code::UnsupportedForMessageFormat => {
            "the broker is too old; use Kafka 2.5 or later"
        }
        Code::InvalidTopic => "the topic's name is not allowed; change the option topic",
        Code::InvalidPartitions | Code::InvalidReplicationFactor => {
            "the topic can't be created like this; change the options partitions and replication, \
             or create it"
        }
        Code::PolicyViolation | Code::InvalidConfig => {
            "the broker's policy does not allow to create the topic like this; create it"
        }
        Code::InvalidTransactionTimeout => {
            "the broker allows no transaction that long; raise transaction.max.timeout.ms to 300000"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use replication::error::Kind;

    #[test]
    fn what_does_not_heal_says_what_to_do() {
        let error = fault("can't write", Some(Code::MessageSizeTooLarge), "cause");
        assert_eq!(error.kind, Kind::Permanent);
        assert!(error.what.contains("message.max.bytes"), "{error}");
        for code in [None, Some(Code::Fatal), Some(Code::Fenced), Some(Code::MessageTimedOut)] {
            assert_eq!(fault("can't write", code, "cause").kind, Kind::Transient, "{code:?}");
        }
    }
}
