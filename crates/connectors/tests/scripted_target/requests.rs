//! Requests of Milvus 2.4 and 2.5 as such a source logs them: what the target is asked, and which
//! of its answers mean that nothing is left to do. The texts of the answers are those in Milvus's
//! source code, never made up.

use crate::server::{Asked, ScriptedTarget};
use connectors::milvus::{Milvus, MilvusOptions};
use milvus_wire::op;
use milvus_wire::proto::common::{
    ErrorCode, KeyValuePair, MsgBase, MsgType, ReplicateInfo, Status,
};
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use replication::error::{Kind, Result};
use replication::ports::{Ddl, Target};

const AT: Timestamp = Timestamp(450_000_000_000_000_001);

/// `merr.ErrParameterInvalid`.
const PARAMETER_INVALID: i32 = 1100;

/// `merr.ErrPrivilegeNotAuthenticated`.
const NOT_AUTHENTICATED: i32 = 1400;

/// The header that the source logs.
fn logged(kind: MsgType) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind.into(), msg_id: 9, timestamp: 5, ..Default::default() })
}

/// The same as the target gets it: as of the source's time.
#[expect(deprecated, reason = "2.3 to 2.5 have nothing else")]
fn replicated(kind: MsgType) -> Option<MsgBase> {
    let info = ReplicateInfo { is_replicate: true, msg_timestamp: AT.0, ..Default::default() };
    logged(kind).map(|base| MsgBase { replicate_info: Some(info), ..base })
}

/// What the target is asked for a request of the op channel, and whether it was taken for done.
async fn apply(logged: &impl Message, answers: Vec<Status>) -> (Vec<Asked>, Result<()>) {
    let request = op::decode(&logged.encode_to_vec()).unwrap().request.unwrap();
    let server = ScriptedTarget::start(answers);
    let target = Milvus::new(&MilvusOptions::new(&server.address)).unwrap();
    let done = target.apply(&Ddl::Op(Box::new(request)), AT).await;
    (server.asked(), done)
}

/// A request is passed on by one call of this name, in this database, as it was logged save for
/// the header.
async fn is_passed_on<M: Message + Default + PartialEq>(
    call: (&str, &str),
    kind: MsgType,
    of: impl Fn(Option<MsgBase>) -> M,
) {
    let (asked, done) = apply(&of(logged(kind)), vec![]).await;
    done.unwrap();
    let [asked] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((asked.call.as_str(), asked.database.as_str()), call);
    let sent = M::decode(asked.message.clone()).unwrap();
    assert_eq!(sent, of(replicated(kind)));
}

pub(crate) fn refusal(code: i32, reason: &str) -> Status {
    #[expect(deprecated, reason = "2.3 to 2.5 fill it")]
    Status {
        code,
        error_code: ErrorCode::UnexpectedError.into(),
        reason: reason.to_owned(),
        ..Default::default()
    }
}

fn pair(key: &str, value: &str) -> KeyValuePair {
    KeyValuePair { key: key.into(), value: value.into() }
}

fn alter_database(base: Option<MsgBase>) -> pb::AlterDatabaseRequest {
    pb::AlterDatabaseRequest {
        base,
        db_name: "shop".into(),
        properties: vec![pair("database.replica.number", "2")],
        delete_keys: vec!["database.force.deny.writing".into()],
        ..Default::default()
    }
}

fn alter_index(base: Option<MsgBase>) -> pb::AlterIndexRequest {
    pb::AlterIndexRequest {
        base,
        db_name: "shop".into(),
        collection_name: "titles".into(),
        index_name: "by_vec".into(),
        extra_params: vec![pair("mmap.enabled", "true")],
        delete_keys: vec!["offsetcache.enabled".into()],
    }
}

fn privilege_v2(
    kind: pb::OperatePrivilegeType,
) -> impl Fn(Option<MsgBase>) -> pb::OperatePrivilegeV2Request {
    move |base| pb::OperatePrivilegeV2Request {
        base,
        role: Some(pb::RoleEntity { name: "reader".into(), ..Default::default() }),
        grantor: Some(pb::GrantorEntity {
            user: Some(pb::UserEntity { name: "root".into() }),
            privilege: Some(pb::PrivilegeEntity { name: "readers_group".into() }),
        }),
        r#type: kind.into(),
        db_name: "shop".into(),
        collection_name: "titles".into(),
    }
}

fn create_group(base: Option<MsgBase>) -> pb::CreatePrivilegeGroupRequest {
    pb::CreatePrivilegeGroupRequest { base, group_name: "readers_group".into() }
}

fn drop_group(base: Option<MsgBase>) -> pb::DropPrivilegeGroupRequest {
    pb::DropPrivilegeGroupRequest { base, group_name: "readers_group".into() }
}

fn group(
    kind: pb::OperatePrivilegeGroupType,
) -> impl Fn(Option<MsgBase>) -> pb::OperatePrivilegeGroupRequest {
    let name = |name: &str| pb::PrivilegeEntity { name: name.into() };
    move |base| pb::OperatePrivilegeGroupRequest {
        base,
        group_name: "readers_group".into(),
        privileges: vec![name("Search"), name("Query")],
        r#type: kind.into(),
    }
}

fn password(old: &str, new: &str) -> impl Fn(Option<MsgBase>) -> pb::UpdateCredentialRequest {
    move |base| pb::UpdateCredentialRequest {
        base,
        username: "ann".into(),
        old_password: old.into(),
        new_password: new.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn requests_of_later_versions_are_passed_on_as_they_were_logged() {
    use pb::{OperatePrivilegeGroupType as Group, OperatePrivilegeType as Privilege};
    is_passed_on(("AlterDatabase", "default"), MsgType::AlterDatabase, alter_database).await;
    is_passed_on(("AlterIndex", "shop"), MsgType::AlterIndex, alter_index).await;
    for kind in [Privilege::Grant, Privilege::Revoke] {
        let call = ("OperatePrivilegeV2", "default");
        is_passed_on(call, MsgType::OperatePrivilegeV2, privilege_v2(kind)).await;
    }
    let call = ("CreatePrivilegeGroup", "default");
    is_passed_on(call, MsgType::CreatePrivilegeGroup, create_group).await;
    let call = ("DropPrivilegeGroup", "default");
    is_passed_on(call, MsgType::DropPrivilegeGroup, drop_group).await;
    for kind in [Group::AddPrivilegesToGroup, Group::RemovePrivilegesFromGroup] {
        let call = ("OperatePrivilegeGroup", "default");
        is_passed_on(call, MsgType::OperatePrivilegeGroup, group(kind)).await;
    }
    let call = ("UpdateCredential", "default");
    is_passed_on(call, MsgType::UpdateCredential, password("b2xk", "bmV3")).await;
}

/// Whether an answer is taken for done; if not, the target is at fault and not the moment.
async fn is_done(logged: impl Message, code: i32, reason: &str) -> bool {
    let (asked, done) = apply(&logged, vec![refusal(code, reason)]).await;
    assert_eq!(asked.len(), 1, "{asked:?}");
    if let Err(error) = &done {
        assert_eq!(error.kind, Kind::Permanent, "{error:?}");
        assert!(error.what.contains(reason), "{error}");
    }
    done.is_ok()
}

const NO_ROLE: &str = "not found the role, maybe the role isn't existed or internal system error";
const NO_GROUP: &str = "there is no privilege group name [readers_group] defined in system to \
                        operate: invalid parameter";

/// Only what is certain: `DropPrivilegeGroup` of none and a grant that is there are successes.
#[tokio::test]
async fn what_is_so_already_is_done_and_nothing_else_is() {
    use pb::{OperatePrivilegeGroupType as Group, OperatePrivilegeType as Privilege};
    let kind = MsgType::CreatePrivilegeGroup;
    let taken = "privilege group name [readers_group] is defined by users: invalid parameter";
    assert!(is_done(create_group(logged(kind)), PARAMETER_INVALID, taken).await);
    let built_in = "privilege group name [readers_group] is defined by built in privileges or \
                    privilege groups in system: invalid parameter";
    assert!(!is_done(create_group(logged(kind)), PARAMETER_INVALID, built_in).await);

    let kind = MsgType::OperatePrivilegeGroup;
    let remove = group(Group::RemovePrivilegesFromGroup)(logged(kind));
    assert!(is_done(remove, PARAMETER_INVALID, NO_GROUP).await, "who took it out may have gone on");
    let add = group(Group::AddPrivilegesToGroup);
    assert!(!is_done(add(logged(kind)), PARAMETER_INVALID, NO_GROUP).await);
    let other = "there is no privilege name or privilege group name [Query] defined in system to \
                 operate: invalid parameter";
    assert!(!is_done(add(logged(kind)), PARAMETER_INVALID, other).await);

    let kind = MsgType::DropPrivilegeGroup;
    let used = "privilege group [readers_group] is used by role [reader], Use REVOKE API to revoke \
                it first";
    assert!(!is_done(drop_group(logged(kind)), 65535, used).await);

    let kind = MsgType::OperatePrivilegeV2;
    assert!(is_done(privilege_v2(Privilege::Revoke)(logged(kind)), 65535, NO_ROLE).await);
    assert!(!is_done(privilege_v2(Privilege::Grant)(logged(kind)), 65535, NO_ROLE).await);

    let loaded = "can't alter index on loaded collection, please release the collection first";
    assert!(!is_done(alter_index(logged(MsgType::AlterIndex)), 104, loaded).await);
    let no_index = "index not found[index=by_vec]";
    assert!(!is_done(alter_index(logged(MsgType::AlterIndex)), 700, no_index).await);
    let no_database = "database not found[database=shop]";
    assert!(!is_done(alter_database(logged(MsgType::AlterDatabase)), 800, no_database).await);
}

#[tokio::test]
async fn a_password_that_is_changed_already_is_told_by_changing_it_into_itself() {
    let kind = MsgType::UpdateCredential;
    let wrong =
        || refusal(NOT_AUTHENTICATED, "old password not correct for ann: not authenticated");
    let change = password("b2xk", "bmV3")(logged(kind));
    let (asked, done) = apply(&change, vec![wrong()]).await;
    done.unwrap();
    let sent: Vec<_> = asked
        .into_iter()
        .map(|asked| pb::UpdateCredentialRequest::decode(asked.message).unwrap())
        .collect();
    let base = replicated(kind);
    assert_eq!(sent, [password("b2xk", "bmV3")(base.clone()), password("bmV3", "bmV3")(base)]);

    let (asked, done) = apply(&change, vec![wrong(), wrong()]).await;
    assert_eq!(asked.len(), 2);
    let error = done.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent);
    assert!(error.what.contains("old password not correct for ann"), "{error}");
    assert!(!is_done(change, 65535, "username is empty").await);
}
