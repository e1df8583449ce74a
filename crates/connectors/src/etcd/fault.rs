//! What an error of etcd means: whether a member has answered at all, and whether the error goes
//! away. Never shows the values that are read.

use crate::unsent::is_unsent;
use replication::error::Kind;
use std::error::Error as StdError;
use std::fmt;
use tonic::Code;

/// The error of etcd or of the connection, in few words: of a status only the code and the message,
/// without the headers of the answer.
#[derive(Debug)]
pub(super) struct Cause(pub(super) etcd_client::Error);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&told(&self.0))
    }
}

/// An error in few words.
pub(super) fn told(error: &etcd_client::Error) -> String {
    match status(error) {
        Some((code, "")) => format!("{code:?}"),
        Some((code, message)) => format!("{code:?}: {message}"),
        None => error.to_string(),
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            etcd_client::Error::GRpcStatus(status) => status.source(),
            other => other.source(),
        }
    }
}

fn status(error: &etcd_client::Error) -> Option<(Code, &str)> {
    match error {
        etcd_client::Error::GRpcStatus(status) => Some((status.code(), status.message())),
        _ => None,
    }
}

/// The login is no longer accepted.
pub(super) fn is_login_lost(error: &etcd_client::Error) -> bool {
    status(error).is_some_and(|(code, message)| {
        code == Code::Unauthenticated
            || message.contains("invalid auth token")
            || message.contains("auth store is old")
    })
}

/// What an error says about the member that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It can't be reached.
    Away,
    /// It is there, and its cluster has no leader just now, or not for this member.
    WithoutLeader,
    /// Its connection was lost, or it gave up waiting for the others.
    Lost,
}

impl Silence {
    /// What this error says; `None` if it is an answer to the request. Source: etcd's
    /// `api/v3rpc/rpctypes/error.go`: whatever another member could do is `Unavailable`.
    pub(super) fn of(error: &etcd_client::Error) -> Option<Self> {
        match error {
            etcd_client::Error::TransportError(_) => Some(Self::Away),
            etcd_client::Error::IoError(_) => Some(Self::Lost),
            etcd_client::Error::GRpcStatus(status) => match status.code() {
                _ if is_unsent(status) => Some(Self::Away),
                // `etcdserver: no leader` is said instead of taking the request up.
                Code::Unavailable if status.message().ends_with("no leader") => {
                    Some(Self::WithoutLeader)
                }
                Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => Some(Self::Lost),
                // The connection broke; a status that the server sent has no cause.
                _ if status.source().is_some() => Some(Self::Lost),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether the request certainly has no effect.
    pub(super) fn is_unsent(self) -> bool {
        self != Self::Lost
    }
}

/// Whether an error goes away by itself, and its text.
pub(super) fn judge(error: &etcd_client::Error) -> (Kind, &'static str) {
    const LOGIN: &str = "refuses the login: check user name and password";
    match error {
        etcd_client::Error::InvalidArgs(_)
        | etcd_client::Error::InvalidUri(_)
        | etcd_client::Error::InvalidHeaderValue(_) => {
            return (Kind::Permanent, "is not an address: give host:port");
        }
        _ => {}
    }
    match status(error) {
        Some((_, message)) if message.contains("authentication failed") => (Kind::Permanent, LOGIN),
        Some((_, message)) if message.contains("user name is empty") => (Kind::Permanent, LOGIN),
        Some((Code::PermissionDenied, _)) => (
            Kind::Permanent,
            "forbids it: the user needs to read Milvus's root path, and to write that of the store",
        ),
        Some((Code::Unavailable, _)) => (Kind::Transient, "can't be reached"),
        _ => (Kind::Transient, "has failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Code, message: &str) -> etcd_client::Error {
        etcd_client::Error::GRpcStatus(tonic::Status::new(code, message))
    }

    #[test]
    fn a_wrong_password_is_permanent_and_a_lost_member_is_not() {
        let kind = |code, message| judge(&error(code, message)).0;
        let wrong = "etcdserver: authentication failed, invalid user ID or password";
        assert_eq!(kind(Code::InvalidArgument, wrong), Kind::Permanent);
        assert_eq!(kind(Code::PermissionDenied, "etcdserver: permission denied"), Kind::Permanent);
        assert_eq!(kind(Code::Unavailable, "etcdserver: no leader"), Kind::Transient);
        assert_eq!(kind(Code::Unknown, "h2 protocol error"), Kind::Transient);
    }

    #[test]
    fn what_another_member_may_answer_is_told_from_an_answer() {
        let of = |code, message| Silence::of(&error(code, message));
        assert_eq!(of(Code::Unavailable, "etcdserver: no leader"), Some(Silence::WithoutLeader));
        for message in ["etcdserver: request timed out", "etcdserver: leader changed"] {
            let silence = of(Code::Unavailable, message);
            assert_eq!(silence, Some(Silence::Lost), "it may have been applied: {message}");
        }
        assert_eq!(of(Code::PermissionDenied, "etcdserver: permission denied"), None);
        assert_eq!(of(Code::OutOfRange, "etcdserver: mvcc: required revision compacted"), None);
        assert_eq!(of(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"), None);
    }
}
