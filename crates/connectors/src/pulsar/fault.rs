//! Why reading a topic fails, and whether that goes away by itself. Never contains a secret.

use pulsar::error::ConnectionError;
use pulsar::message::proto::ServerError;
use replication::error::{Error, Kind};
use std::fmt;
use std::io;

/// Why reading a topic fails.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The broker is unreachable or not ready; that goes away by itself.
    Away(String),
    /// The broker refuses the login, the TLS handshake or the right to read.
    Refused(String),
    /// There is no such topic.
    Missing,
    /// The messages to read are no longer there; says what is there instead.
    Lost(String),
    /// A message can't be decoded, or the topic can't be read.
    Unreadable(String),
}

/// The result of talking to a broker.
pub(super) type Spoken<T> = std::result::Result<T, Fault>;

impl Fault {
    /// The fault for an error that a broker returns.
    pub(super) fn answered(code: i32, message: &str) -> Self {
        let what = match ServerError::try_from(code) {
            Ok(code) => format!("{message} ({})", code.as_str_name()),
            Err(_) => format!("{message} (error {code})"),
        };
        match ServerError::try_from(code) {
            Ok(ServerError::AuthenticationError | ServerError::AuthorizationError) => {
                Self::Refused(what)
            }
            Ok(ServerError::TopicNotFound) => Self::Missing,
            Ok(ServerError::InvalidTopicName | ServerError::IncompatibleSchema) => {
                Self::Unreadable(what)
            }
            _ => Self::Away(what),
        }
    }

    /// Whether a broker may report this for a moment while it starts: only if it lasts is it
    /// believed.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Missing | Self::Lost(_))
    }

    /// The error for the user.
    pub(super) fn error(&self, channel: &str) -> Error {
        match self {
            Self::Away(what) => {
                Error::transient(format!("Pulsar does not serve {channel}: {what}"))
            }
            Self::Refused(what) => Error::permanent(format!(
                "Pulsar refuses the connection: {what}. Check address, authPlugin, authParams, the \
                 rights of this user on tenant and namespace, and certificates"
            )),
            Self::Missing => Error::permanent(format!(
                "channel {channel} was to be read, but its Pulsar topic is gone. Nothing was \
                 skipped; create the task anew, after making the target equal to the source"
            )),
            Self::Lost(what) => Error::permanent(format!(
                "channel {channel} {what}. Nothing was skipped; start from a position that is \
                 still stored, after making the target equal to the source there"
            )),
            Self::Unreadable(what) => {
                Error::permanent(format!("channel {channel} can't be read: {what}"))
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(what) | Self::Refused(what) | Self::Lost(what) | Self::Unreadable(what) => {
                f.write_str(what)
            }
            Self::Missing => f.write_str("no such topic"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        // The error of a failed handshake is inside the I/O error.
        let is_tls = error.get_ref().is_some_and(|cause| cause.is::<tokio_rustls::rustls::Error>());
        if is_tls { Self::Refused(format!("TLS: {error}")) } else { Self::Away(error.to_string()) }
    }
}

impl From<ConnectionError> for Fault {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Io(error) => error.into(),
            // The stream is damaged: it is read again.
            other => Self::Away(other.to_string()),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error.kind {
            Kind::Permanent | Kind::OneCollection => Self::Unreadable(error.what),
            Kind::Transient | Kind::Stopped => Self::Away(error.what),
        }
    }
}
