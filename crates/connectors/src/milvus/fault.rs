//! What a target's refusal means: done already, try later, or never. Never hides an unknown
//! refusal.

#![allow(deprecated)] // 2.3 fills `error_code` and `code`; later versions only the latter.

use crate::milvus::limits;
use crate::tls;
use crate::unsent::{is_unreachable, is_unsent};
use milvus_wire::proto::common::{ErrorCode, Status};
use replication::error::Error;
use tonic::Code;

/// What a request was for. What an unknown refusal means depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To append rows or ticks, or to tell what is there. Nothing in such a request can be wrong
    /// for good, except for what [`Fault::is_final`] names.
    AsEver,
    /// To change the metadata. The request itself may be what the target refuses.
    ToChange,
}

/// Why a request was not carried out, as far as is known.
#[derive(Debug)]
pub(super) enum Fault {
    /// The target answered with a status.
    Status {
        /// `status.code`.
        code: i32,
        /// `status.error_code`, which 2.3 fills.
        legacy_code: i32,
        /// Its text.
        reason: String,
    },
    /// The transport or the server's gRPC layer failed.
    Grpc(Box<tonic::Status>),
    /// No answer in time.
    Deadline,
    /// The name of the database can't be one.
    Name,
}

/// Error codes of Milvus, `pkg/util/merr/errors.go`.
mod code {
    pub(super) const COLLECTION_NOT_FOUND: i32 = 100;
    pub(super) const PARTITION_NOT_FOUND: i32 = 200;
    pub(super) const INDEX_NOT_FOUND: i32 = 700;
    pub(super) const DATABASE_NOT_FOUND: i32 = 800;
    pub(super) const DATABASE_NOT_EMPTY: i32 = 802;
    pub(super) const NOT_A_REPLICA: i32 = 1900;
    /// Not ready, unavailable, out of memory, too many requests, internal, other cluster, disk
    /// full, rate limit: faults of the service, not of the request.
    pub(super) const OF_THE_SERVICE: std::ops::RangeInclusive<i32> = 1..=8;
    pub(super) const CHANNEL_NOT_FOUND: i32 = 500;
    /// A channel is not watched by a data node yet, right after its collection was created.
    pub(super) const OF_A_CHANNEL: std::ops::RangeInclusive<i32> = 500..=503;
    /// Cancelled, timed out.
    pub(super) const OF_THE_CALL: [i32; 2] = [10000, 10001];
    pub(super) const UNEXPECTED: i32 = 65535;
    /// A parameter that can't be, or is missing.
    pub(super) const OF_A_PARAMETER: std::ops::RangeInclusive<i32> = 1100..=1199;
    /// The login, or a right.
    pub(super) const OF_A_RIGHT: std::ops::RangeInclusive<i32> = 1400..=1499;
}

/// Seen on 2.3.5: the data node opens channels one after the other, and waits at each for a tick
/// (`msgdispatcher.Client.Register`, `MqTtMsgStream.Seek`). A channel whose only collection was
/// made and dropped by hand within seconds is listed nowhere, so that nobody ticks it.
const NOT_WATCHED: &str = ". If this stays, the data node of the target waits for another channel, \
                           perhaps of a collection that was made and dropped there by hand; see \
                           docs/operations.md";

const LOGIN_ADVICE: &str = "check the token (user:password) of the target";

const TLS_ADVICE: &str = "check the dial_config of the target and the certificates that it names";

impl Fault {
    /// `None` if the status is success.
    pub(super) fn of(status: &Status) -> Option<Self> {
        let (code, legacy_code) = (status.code, status.error_code);
        (code != 0 || legacy_code != ErrorCode::Success as i32).then(|| Self::Status {
            code,
            legacy_code,
            reason: status.reason.clone(),
        })
    }

    fn is(&self, wanted: i32, legacy_codes: &[ErrorCode], words: &[&str]) -> bool {
        let Self::Status { code, legacy_code, reason } = self else { return false };
        // 2.3 wraps many errors into "unexpected": then only their text shows which error it was.
        let reason = reason.to_lowercase();
        *code == wanted
            || legacy_codes.iter().any(|wanted| *wanted as i32 == *legacy_code)
            || words.iter().any(|words| reason.contains(words))
    }

    /// The collection or its database does not exist.
    pub(super) fn no_collection(&self) -> bool {
        self.no_database()
            || self.is(
                code::COLLECTION_NOT_FOUND,
                &[ErrorCode::CollectionNotExists, ErrorCode::CollectionNameNotFound],
                &["can't find collection", "collection not found"],
            )
    }

    /// The database does not exist.
    pub(super) fn no_database(&self) -> bool {
        self.is(code::DATABASE_NOT_FOUND, &[], &["database not found"])
    }

    /// The partition does not exist.
    pub(super) fn no_partition(&self) -> bool {
        self.is(code::PARTITION_NOT_FOUND, &[], &["partition not found", "partition not exist"])
    }

    /// The index does not exist.
    pub(super) fn no_index(&self) -> bool {
        self.is(code::INDEX_NOT_FOUND, &[ErrorCode::IndexNotExist], &["index not found"])
    }

    /// A user, a role or a privilege group exists already. Source:
    /// `MetaTable.CreatePrivilegeGroup`, whose "built in" is another fault.
    pub(super) fn exists(&self) -> bool {
        self.is(i32::MIN, &[], &["already exist", "is defined by users"])
    }

    /// The privilege group does not exist. Source: `MetaTable.OperatePrivilegeGroup`.
    pub(super) fn no_privilege_group(&self) -> bool {
        self.is(i32::MIN, &[], &["there is no privilege group name"])
    }

    /// The old password is not the one in the request. Source: `Proxy.UpdateCredential`.
    pub(super) fn old_password_is_another(&self) -> bool {
        self.is(i32::MIN, &[], &["old password not correct"])
    }

    /// The user or the role does not exist.
    pub(super) fn no_such_user_or_role(&self) -> bool {
        self.is(i32::MIN, &[], &["not exist", "isn't existed", "not found"])
    }

    /// The partition is loaded: it has to be released first.
    pub(super) fn is_loaded(&self) -> bool {
        self.is(i32::MIN, &[], &["partition is loaded"])
    }

    /// The collection is loaded already, and was before its latest index. Source:
    /// `LoadCollectionJob.PreExecute`, `LoadPartitionJob.PreExecute`.
    pub(super) fn is_loaded_before_an_index(&self) -> bool {
        self.is(i32::MIN, &[], &["can't change the index for loaded"])
    }

    /// Whether it is certain that the request had no effect and will have none.
    pub(super) fn proves_nothing_happened(&self) -> bool {
        match self {
            Self::Status { code, .. } => {
                // Producing to the queue returns these too, after it may have written a part.
                let producing = 1300..=1303;
                *code != code::UNEXPECTED
                    && !code::OF_THE_CALL.contains(code)
                    && !producing.contains(code)
                    && *code != 0
            }
            Self::Grpc(status) => is_unsent(status) || refused_before_work(status),
            Self::Deadline => false,
            Self::Name => true,
        }
    }

    /// Whether the target answered, and refused what was asked and not who asks.
    pub(super) fn is_of_the_request(&self) -> bool {
        let Self::Status { code, .. } = self else { return false };
        *code != code::NOT_A_REPLICA && !code::OF_A_RIGHT.contains(code)
    }

    /// Whether the target takes no replicate messages.
    pub(super) fn is_not_a_replica(&self) -> bool {
        self.is(code::NOT_A_REPLICA, &[], &[])
    }

    /// Whether a parameter of the request can't be, or is missing.
    pub(super) fn is_of_a_parameter(&self) -> bool {
        let Self::Status { code, legacy_code, .. } = self else { return false };
        code::OF_A_PARAMETER.contains(code) || *legacy_code == ErrorCode::IllegalArgument as i32
    }

    /// Whether a limit was met that the target's operator can raise.
    pub(super) fn is_a_limit(&self) -> bool {
        let Self::Status { code, reason, .. } = self else { return false };
        limits::setting(*code, reason).is_some()
    }

    /// Whether the connection ended before the request was sent, or before the target looked at it:
    /// a new connection may take it at once.
    pub(super) fn is_of_an_ended_connection(&self) -> bool {
        let Self::Grpc(status) = self else { return false };
        is_unsent(status) && !is_unreachable(status)
    }

    /// Whether the connection ended without an answer and without a reason.
    pub(super) fn is_cut_off(&self) -> bool {
        let Self::Grpc(status) = self else { return false };
        let is_ours = std::error::Error::source(&**status).is_some();
        is_ours && !is_unreachable(status) && tls::objection(&**status).is_none()
    }

    /// The error: a sentence, and whether the fault goes away by itself.
    pub(super) fn error(self, tried: &str, asked: Asked) -> Error {
        match self {
            Self::Status { code: code::NOT_A_REPLICA, .. } => Error::permanent(format!(
                "{tried}: it is not in replica mode. Set common.ttMsgEnabled: false on the target \
                 and restart it"
            )),
            Self::Status { code, legacy_code, ref reason } => {
                let mut what = format!("{tried}: {reason} (code {code}, {legacy_code})");
                if let Some(setting) = limits::setting(code, reason) {
                    what.push_str("; raise this limit of the target: ");
                    what.push_str(setting);
                    return Error::transient(what);
                }
                if code == code::CHANNEL_NOT_FOUND || reason.contains("channel not found") {
                    what.push_str(NOT_WATCHED);
                }
                let heals = match asked {
                    Asked::AsEver => !self.is_final(),
                    Asked::ToChange => self.heals(),
                };
                if heals { Error::transient(what) } else { Error::permanent(what) }
            }
            Self::Grpc(status) => of_grpc(tried, *status),
            Self::Deadline => Error::transient(format!("{tried}: no answer in time")),
            Self::Name => Error::permanent(format!("{tried}: not a name of a database")),
        }
    }

    /// Whether the target will never do as asked, unless somebody changes something. Whatever goes
    /// wrong behind its proxy, in a coordinator, in its queue or in its etcd, arrives as
    /// "unexpected" with any text, so that only what is known to stay is final.
    fn is_final(&self) -> bool {
        let Self::Status { code, .. } = self else { return false };
        self.no_collection()
            || self.no_partition()
            || self.is_of_a_parameter()
            || code::OF_A_RIGHT.contains(code)
    }

    fn heals(&self) -> bool {
        let Self::Status { code, legacy_code, reason } = self else { return false };
        let legacy_codes = [
            ErrorCode::RateLimit,
            ErrorCode::NotReadyServe,
            ErrorCode::NotReadyCoordActivating,
            ErrorCode::DataCoordNa,
            ErrorCode::DdRequestRace,
            ErrorCode::TimeTickLongDelay,
            ErrorCode::MemoryQuotaExhausted,
            ErrorCode::DiskQuotaExhausted,
            ErrorCode::NodeIdNotMatch,
        ];
        let words = [
            "not ready",
            "rate limit",
            "not healthy",
            "unavailable",
            // A flush, before a data node watches the channel; the coordinator's retries hide the
            // code. Source: `datacoord.Server.Flush`, `DataNode.FlushChannels`.
            "channel not found",
            "deadline exceeded",
            // A target that is stopping, whose queue is a Kafka.
            "producer is closed",
            "must drop all collections before",
            // A coordinator or a node that is restarting.
            "empty grpc client",
            "failed to connect",
            "connection refused",
            "connection reset",
            "broken pipe",
            "transport is closing",
            "error reading from server",
            "not found in session",
            "no such host",
            // Its etcd or its queue is away, or changes its leader.
            "etcdserver",
            "not leader",
            "no leader",
            "leader changed",
            "message timed out",
            "timed out",
            "timeout",
            "context canceled",
            "segment id allocation",
            "retry func failed",
        ];
        let reason = reason.to_lowercase();
        code::OF_THE_SERVICE.contains(code)
            || code::OF_THE_CALL.contains(code)
            || code::OF_A_CHANNEL.contains(code)
            // Producing to its queue failed, or the last collection is not dropped yet.
            || [1302, code::DATABASE_NOT_EMPTY].contains(code)
            || legacy_codes.iter().any(|healing| *healing as i32 == *legacy_code)
            || words.iter().any(|words| reason.contains(words))
    }
}

impl From<tonic::Status> for Fault {
    fn from(status: tonic::Status) -> Self {
        Self::Grpc(Box::new(status))
    }
}

/// Whether a server returns this code instead of carrying out a request.
fn refused_before_work(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::InvalidArgument
            // A message above the server's limit is refused before it is decoded.
            | Code::ResourceExhausted
            | Code::OutOfRange
    )
}

fn of_grpc(tried: &str, status: tonic::Status) -> Error {
    if let Some(objection) = tls::objection(&status) {
        // Transient, since certificates are renewed on either side.
        return Error::transient(format!("{tried}: {objection}; {TLS_ADVICE}")).because(status);
    }
    let reason = status.message();
    let error = match status.code() {
        Code::Unauthenticated => {
            Error::permanent(format!("{tried}: the login was refused; {LOGIN_ADVICE}"))
        }
        Code::PermissionDenied => Error::permanent(format!("{tried}: {reason}; {LOGIN_ADVICE}")),
        Code::Unimplemented => Error::permanent(format!(
            "{tried}: it does not know this request; a Milvus 2.3.2 to 2.5 is required"
        )),
        Code::InvalidArgument | Code::OutOfRange => Error::permanent(format!("{tried}: {reason}")),
        Code::ResourceExhausted if reason.contains("larger than max") => Error::permanent(format!(
            "{tried}: a message is above its limit ({reason}); raise \
             proxy.grpc.serverMaxRecvSize on the target"
        )),
        _ if is_unreachable(&status) => Error::transient(format!("{tried}: it can't be reached")),
        _ => Error::transient(format!("{tried}: {reason}")),
    };
    error.because(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use replication::error::Kind;

    fn status(code: i32, legacy_code: ErrorCode, reason: &str) -> Fault {
        let error_code = legacy_code as i32;
        let status = Status { code, error_code, reason: reason.into(), ..Status::default() };
        Fault::of(&status).unwrap()
    }

    #[test]
    fn a_flush_before_a_data_node_watches_the_channel_heals() {
        let reason =
            "attempt #0: channel=by-dev-rootcoord-dml_3_44v0: channel not found".to_owned();
        for (code, legacy_code) in [(1, 1), (65535, 1)] {
            let fault = Fault::Status { code, legacy_code, reason: reason.clone() };
            assert_eq!(fault.error("flush one", Asked::ToChange).kind, Kind::Transient);
        }
    }

    #[test]
    fn a_target_that_is_stopping_heals_and_may_have_taken_the_rows() {
        let fault = status(65535, ErrorCode::UnexpectedError, "kafka producer is closed");
        assert!(!fault.proves_nothing_happened());
        assert_eq!(fault.error("write to channel c", Asked::AsEver).kind, Kind::Transient);
    }

    /// Each was seen while a part of a target was away.
    #[test]
    fn a_target_of_which_a_part_is_away_heals() {
        for reason in [
            "empty grpc client: failed to connect 127.0.0.1:53100, reason: context deadline",
            "syncTimeTick: segment id allocation failed",
            "Local: Message timed out",
            "etcdserver: not leader",
            "etcdserver: request timed out",
            "something that nobody has thought of",
        ] {
            let fault = || status(65535, ErrorCode::UnexpectedError, reason);
            assert_eq!(fault().error("t", Asked::AsEver).kind, Kind::Transient, "{reason}");
            assert!(!fault().proves_nothing_happened());
            let is_known = !reason.starts_with("something");
            let kind = if is_known { Kind::Transient } else { Kind::Permanent };
            assert_eq!(fault().error("t", Asked::ToChange).kind, kind, "{reason}");
        }
    }

    #[test]
    fn what_stays_refused_is_final_for_rows_too() {
        for code in [100, 200, 1100, 1401, 1900] {
            let fault = status(code, ErrorCode::UnexpectedError, "x");
            assert_eq!(fault.error("t", Asked::AsEver).kind, Kind::Permanent, "{code}");
        }
    }

    #[test]
    fn a_missing_collection_is_recognized_in_the_answers_of_every_version() {
        let unexpected = ErrorCode::UnexpectedError;
        assert!(status(100, unexpected, "x").no_collection());
        assert!(status(0, ErrorCode::CollectionNotExists, "x").no_collection());
        assert!(
            status(65535, unexpected, "DescribeCollection failed: can't find collection: c")
                .no_collection()
        );
        assert!(status(800, unexpected, "x").no_collection(), "its database is missing");
        assert!(!status(200, unexpected, "partition not found").no_collection());
        assert!(Fault::of(&Status::default()).is_none());
    }

    #[test]
    fn a_target_without_replica_mode_is_a_permanent_error_that_says_what_to_set() {
        let error = status(1900, ErrorCode::UnexpectedError, "deny");
        let error = error.error("can't write", Asked::AsEver);
        assert_eq!(error.kind, Kind::Permanent);
        assert!(error.what.contains("common.ttMsgEnabled: false"), "{error}");
    }

    #[test]
    fn limits_and_readiness_heal_and_the_rest_does_not() {
        for (code, legacy_code) in [(1, ErrorCode::NotReadyServe), (8, ErrorCode::RateLimit)] {
            let error = status(code, legacy_code, "x").error("t", Asked::ToChange);
            assert_eq!(error.kind, Kind::Transient, "{code}");
        }
        let error = status(65535, ErrorCode::UnexpectedError, "no such type");
        let error = error.error("t", Asked::ToChange);
        assert_eq!(error.kind, Kind::Permanent);
    }

    #[test]
    fn a_limit_that_can_be_raised_is_waited_for_and_named() {
        let unexpected = ErrorCode::UnexpectedError;
        for (code, reason, setting) in [
            (
                801,
                "database=d[limitNum=2]: exceeded the limit number of database",
                "maxDatabaseNum",
            ),
            (
                65535,
                "failed to create collection, limit={1}, exceeded the limit number of collections",
                "maxCollectionNum",
            ),
            (
                65535,
                "partition number (2) exceeds max configuration (2), collection: c",
                "maxPartitionNum",
            ),
            (
                65535,
                "unable to add user because the number of users has reached the limit",
                "maxUserNum",
            ),
            (
                65535,
                "unable to create role because the number of roles has reached the limit",
                "maxRoleNum",
            ),
        ] {
            let error = status(code, unexpected, reason).error("t", Asked::ToChange);
            assert_eq!(error.kind, Kind::Transient, "{error}");
            assert!(error.what.contains(setting), "{error}");
        }
    }

    #[test]
    fn only_what_comes_before_the_work_proves_that_nothing_happened() {
        let proves = |code| status(code, ErrorCode::UnexpectedError, "x").proves_nothing_happened();
        assert!(proves(1900) && proves(100) && proves(8));
        assert!(!proves(65535) && !proves(1302) && !proves(10001));
        for (code, proven) in [
            (Code::Unauthenticated, true),
            (Code::ResourceExhausted, true),
            (Code::Unavailable, false),
            (Code::Cancelled, false),
            (Code::DeadlineExceeded, false),
            (Code::Unknown, false),
        ] {
            let fault = Fault::from(tonic::Status::new(code, "x"));
            assert_eq!(fault.proves_nothing_happened(), proven, "{code:?}");
        }
        assert!(!Fault::Deadline.proves_nothing_happened());
    }
}
