//! Why a call to a Milvus failed. Never hides whether it was answered: after an unanswered write
//! nobody knows whether it happened.

use milvus_wire::proto::common::{ErrorCode, Status};
use milvus_wire::proto::milvus as calls;
use std::fmt;

/// A failed call.
#[derive(Debug)]
pub enum Fault {
    /// Milvus said no.
    Refused {
        /// The call's name.
        call: &'static str,
        /// Milvus's number; the old enumeration's where there is no other.
        code: i32,
        /// Milvus's words.
        reason: String,
    },
    /// No answer; it may have happened.
    Unanswered {
        /// The call's name.
        call: &'static str,
        /// What the transport says.
        status: Box<tonic::Status>,
    },
    /// An answer that makes no sense.
    Odd(String),
}

/// What the calls of the client return.
pub type Result<T> = std::result::Result<T, Fault>;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { call, code, reason } => write!(f, "{call} refused ({code}): {reason}"),
            Self::Unanswered { call, status } => {
                write!(f, "{call} unanswered: {:?} {}", status.code(), status.message())
            }
            Self::Odd(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Fault {}

/// Milvus's codes for "later": not ready, rate limit. Source: `pkg/util/merr/errors.go`.
const LATER: [i32; 2] = [1, 8];

/// The same in the older enumeration, which 2.3 still fills.
const LATER_OLD: [ErrorCode; 3] =
    [ErrorCode::RateLimit, ErrorCode::NotReadyServe, ErrorCode::NotReadyCoordActivating];

/// How Milvus judged a call.
pub(super) enum Verdict {
    /// Done.
    Success,
    /// Not done; the same call may succeed in a moment.
    Later(Fault),
    /// Not done.
    Refused(Fault),
}

pub(super) fn judge(call: &'static str, status: Option<&Status>) -> Verdict {
    let Some(status) = status else {
        return Verdict::Success;
    };
    let old = status.error_code;
    if status.code == 0 && old == 0 {
        return Verdict::Success;
    }
    let code = if status.code == 0 { old } else { status.code };
    let fault = Fault::Refused { call, code, reason: status.reason.clone() };
    let later = LATER.contains(&status.code) || LATER_OLD.iter().any(|code| *code as i32 == old);
    if later { Verdict::Later(fault) } else { Verdict::Refused(fault) }
}

/// An answer that says how it went.
pub(super) trait Answer {
    fn status(&self) -> Option<&Status>;
}

impl Answer for Status {
    fn status(&self) -> Option<&Status> {
        Some(self)
    }
}

macro_rules! answers {
    ($($answer:ident),* $(,)?) => {
        $(impl Answer for calls::$answer {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        })*
    };
}

answers!(
    AllocTimestampResponse,
    DescribeCollectionResponse,
    DescribeIndexResponse,
    FlushResponse,
    GetCollectionStatisticsResponse,
    GetFlushStateResponse,
    GetLoadStateResponse,
    ListCredUsersResponse,
    ListDatabasesResponse,
    MutationResult,
    QueryResults,
    ReplicateMessageResponse,
    SelectGrantResponse,
    SelectRoleResponse,
    ShowCollectionsResponse,
    ShowPartitionsResponse,
);
