//! Why a request is not carried out, independent of the API: `answer` and `problem` give it the
//! form of `/cdc` and of `/api/v1`. Never contains the cause of an internal fault: that is for the
//! log.

use crate::api_tokens::Denied;
use connectors::InvalidOption;

/// The kind of a refusal. Each API has a number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The body can't be read.
    Malformed,
    /// The body can be read, but makes no sense.
    Invalid,
    /// A position can't be decoded.
    Undecodable,
    /// The request has no token, or an unknown one.
    NoToken,
    /// The token's role does not allow the request.
    NotAllowed,
    /// There is no such task or path.
    Unknown,
    /// The path has no such method.
    NoSuchMethod,
    /// Another task is in the way, or the state of this one.
    Conflict,
    /// The state of the task does not allow the request, and the Go tool fails in this case.
    Stuck,
    /// There are as many tasks as permitted.
    Full,
    /// The body is too large.
    TooLarge,
    /// The content type is not JSON.
    NotJson,
    /// The body did not arrive in time.
    TooSlow,
    /// An internal fault.
    Failed,
    /// As many requests as permitted are in work.
    Busy,
}

/// A refusal or failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its kind.
    pub kind: Kind,
    /// The key of the request that has to be changed; empty if there is none.
    pub field: String,
    /// What is wrong, in the Go tool's words where it has some.
    pub detail: String,
    /// What to do; empty if the detail says it.
    pub remedy: String,
}

impl Refusal {
    /// A refusal that no key of the request causes.
    pub(super) fn new(kind: Kind, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, field: String::new(), detail: detail.into(), remedy: remedy.into() }
    }

    /// A refusal because of one key of the request.
    pub(super) fn invalid(
        field: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), ..Self::new(Kind::Invalid, detail, remedy) }
    }

    /// There is no task of this id.
    pub(super) fn unknown_task(id: &str) -> Self {
        let detail = format!("not found the task, task_id: {id}");
        Self::new(Kind::Unknown, detail, "list the tasks to see which there are")
    }

    /// An internal fault.
    pub(super) fn failed(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Kind::Failed, detail, remedy)
    }

    /// A fault of the store. The user gets the sentence, the log gets the cause.
    pub(super) fn store(error: &replication::error::Error) -> Self {
        tracing::error!(error = ?error, "the store failed");
        Self::failed(error.what.clone(), "try again; if it stays, look at the store and the log")
    }
}

impl From<InvalidOption> for Refusal {
    fn from(InvalidOption { field, problem, remedy }: InvalidOption) -> Self {
        Self::invalid(field, problem, remedy)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let known = "send the header `Authorization: Bearer <token>` with a token of \
                     api.readTokens or api.manageTokens";
        match denied {
            Denied::NoToken => {
                Self::new(Kind::NoToken, "a token is asked for and there is none", known)
            }
            Denied::UnknownToken => Self::new(Kind::NoToken, "the token is not known here", known),
            Denied::ReadOnly => Self::new(
                Kind::NotAllowed,
                "this token only allows to look",
                "use a token of api.manageTokens",
            ),
        }
    }
}
