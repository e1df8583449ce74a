//! Why a request is not carried out, before it is known which API says it: `cdc` and `v1` put it
//! into their own form. Never carries the cause of an internal fault: that is for the log.

use crate::api_tokens::Denied;

/// What sort of refusal it is; each API has a number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The body is not what the API reads.
    Malformed,
    /// It can be read and makes no sense.
    Invalid,
    /// A position in it can't be decoded.
    Undecodable,
    /// There is no token, or an unknown one.
    NoToken,
    /// The token's role does not allow it.
    NotAllowed,
    /// There is no such task, or no such path.
    Unknown,
    /// The path has no such method.
    NoSuchMethod,
    /// It stands against another task, or against the state of this one.
    Conflict,
    /// The state of the task does not allow it, where the Go tool fails.
    Stuck,
    /// There are as many tasks as there may be.
    Full,
    /// The body is too large.
    TooLarge,
    /// The body is not said to be JSON.
    NotJson,
    /// The body did not come in time.
    TooSlow,
    /// Something here failed.
    Failed,
    /// As much as may be is being worked on.
    Busy,
}

/// A refusal or failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What sort it is.
    pub kind: Kind,
    /// The key of the request that has to be changed; empty: none.
    pub field: String,
    /// What is wrong, in the words of the Go tool where it has some.
    pub detail: String,
    /// What to do; empty: the detail says it.
    pub remedy: String,
}

impl Refusal {
    /// Something that no key of the request is to blame for.
    pub(super) fn new(kind: Kind, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, field: String::new(), detail: detail.into(), remedy: remedy.into() }
    }

    /// A key of the request has to be changed.
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

    /// Something here failed.
    pub(super) fn failed(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Kind::Failed, detail, remedy)
    }

    /// A store that failed: the sentence for the user, the cause for the log.
    pub(super) fn store(error: &replication::error::Error) -> Self {
        tracing::error!(error = ?error, "the store failed");
        Self::failed(error.what.clone(), "try again; if it stays, look at the store and the log")
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
            Denied::OnlyToLook => Self::new(
                Kind::NotAllowed,
                "this token only allows to look",
                "use a token of api.manageTokens",
            ),
        }
    }
}
