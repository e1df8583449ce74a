//! Why reading a topic does not go on, and who mends it. Never holds a secret.

use pulsar::error::ConnectionError;
use pulsar::message::proto::ServerError;
use replication::error::{Error, Kind};
use std::fmt;
use std::io;

/// Why reading a topic does not go on.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The broker is away or not ready: it heals by itself.
    Away(String),
    /// The broker refuses the login, the TLS handshake or the right to read.
    Refused(String),
    /// There is no such topic.
    Missing,
    /// What was to be read is not there any more; says what there is instead.
    Lost(String),
    /// A message that can't be understood, or a place that can't be read.
    Unreadable(String),
}

/// The result of whatever speaks to a broker.
pub(super) type Spoken<T> = std::result::Result<T, Fault>;

impl Fault {
    /// From an error that a broker answers with.
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

    /// Whether a broker may say so for a moment while it starts: it is believed when it lasts.
    pub(super) fn is_doubtful(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Missing | Self::Lost(_))
    }

    /// The sentence for the user.
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
                 held, after making the target equal to the source there"
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
        // A handshake that fails is an error of the TLS library inside one of the connection.
        let is_tls = error.get_ref().is_some_and(|cause| cause.is::<tokio_rustls::rustls::Error>());
        if is_tls { Self::Refused(format!("TLS: {error}")) } else { Self::Away(error.to_string()) }
    }
}

impl From<ConnectionError> for Fault {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Io(error) => error.into(),
            // The stream has lost its place, or a bit: it is read again.
            other => Self::Away(other.to_string()),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error.kind {
            Kind::Permanent => Self::Unreadable(error.what),
            Kind::Transient | Kind::Stopped => Self::Away(error.what),
        }
    }
}
