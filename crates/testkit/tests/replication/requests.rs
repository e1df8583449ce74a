//! Tests requests that the source of these tests can't log itself: those of a later Milvus and bulk
//! imports, which are appended to its log, and roles, which it never logs.

use std::time::{SystemTime, UNIX_EPOCH};

use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::milvus as pb;
use milvus_wire::proto::msg::ImportMsg;
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use serde_json::{Value, json};
use testkit::milvus::CollectionSpec;
use testkit::source_log;
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch};

/// `secret` and `secret2`, as Milvus's clients send passwords.
pub(crate) const PASSWORDS: [&str; 2] = ["c2VjcmV0", "c2VjcmV0Mg=="];

pub(crate) fn base(kind: MsgType) -> Option<MsgBase> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let timestamp = Timestamp::ZERO.plus_ms(now).0;
    Some(MsgBase { msg_type: kind.into(), timestamp, ..Default::default() })
}

pub(crate) async fn op(bench: &Bench, message: impl Message) {
    let topic = format!("{}-replicate-msg", bench.pair.source.options.name);
    source_log::append(&bench.pair.queue.address(), &topic, &message).await.unwrap();
}

fn user(name: &str) -> pb::CreateCredentialRequest {
    pb::CreateCredentialRequest {
        base: base(MsgType::CreateCredential),
        username: name.to_owned(),
        password: PASSWORDS[0].to_owned(),
        ..Default::default()
    }
}

fn role(name: &str) -> pb::CreateRoleRequest {
    let entity = Some(pb::RoleEntity { name: name.to_owned(), ..Default::default() });
    pb::CreateRoleRequest { base: base(MsgType::CreateRole), entity }
}

fn no_user(name: &str) -> pb::DeleteCredentialRequest {
    let username = name.to_owned();
    pb::DeleteCredentialRequest { base: base(MsgType::DeleteCredential), username }
}

fn no_role(name: &str) -> pb::DropRoleRequest {
    let role_name = name.to_owned();
    pb::DropRoleRequest { base: base(MsgType::DropRole), role_name, ..Default::default() }
}

fn member(user: &str, role: &str, how: pb::OperateUserRoleType) -> pb::OperateUserRoleRequest {
    let mut request = pb::OperateUserRoleRequest {
        base: base(MsgType::OperateUserRole),
        username: user.to_owned(),
        role_name: role.to_owned(),
        ..Default::default()
    };
    request.set_type(how);
    request
}

fn privilege(role: &str, collection: &str, how: pb::OperatePrivilegeType) -> impl Message {
    let entity = pb::GrantEntity {
        role: Some(pb::RoleEntity { name: role.to_owned(), ..Default::default() }),
        object: Some(pb::ObjectEntity { name: "Collection".to_owned() }),
        object_name: collection.to_owned(),
        grantor: Some(pb::GrantorEntity {
            user: Some(pb::UserEntity { name: "root".to_owned() }),
            privilege: Some(pb::PrivilegeEntity { name: "Search".to_owned() }),
        }),
        db_name: "default".to_owned(),
    };
    let mut request = pb::OperatePrivilegeRequest {
        base: base(MsgType::OperatePrivilege),
        entity: Some(entity),
        ..Default::default()
    };
    request.set_type(how);
    request
}

/// A task for roles too, with other names for some collections.
async fn task_with_roles(bench: &mut Bench, names: Value) -> String {
    let target = bench.pair.target.address();
    let request = json!({
        "db_collections": {"default": [{"name": "*"}]},
        "name_mapping": [
            {"source_db": "default", "target_db": "default", "collection_mapping": names},
        ],
        "extra_info": {"enable_user_role": true},
        // Who grants has to say who he is, even to a target that checks nobody.
        "milvus_connect_param": {"uri": format!("http://{target}"), "token": "root:Milvus"},
    });
    bench.task(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn users_roles_and_grants_follow() {
    use pb::{OperatePrivilegeType as Privilege, OperateUserRoleType as Role};
    let mut bench = Bench::new().await;
    let task = task_with_roles(&mut bench, json!({"acl_from": "acl_to"})).await;
    // A later Milvus does what it logs. Each comes twice, as after a crash between the request and
    // the note that it was done.
    let source = bench.source.clone();
    source.create_user("acl_reader", PASSWORDS[0]).await.unwrap();
    source.create_role("acl_role").await.unwrap();
    source.change_member("acl_reader", "acl_role", Role::AddUserToRole).await.unwrap();
    source.change_grant("acl_role", ("Search", "acl_from"), Privilege::Grant).await.unwrap();
    for _ in 0..2 {
        op(&bench, user("acl_reader")).await;
        op(&bench, role("acl_role")).await;
        op(&bench, member("acl_reader", "acl_role", Role::AddUserToRole)).await;
        op(&bench, privilege("acl_role", "acl_from", Privilege::Grant)).await;
    }
    let target = bench.target.clone();
    let granted = wait::until("the grant", EQUAL_WITHIN, || async {
        let users = target.users().await?;
        let members = target.roles().await?.remove("acl_role");
        anyhow::ensure!(members.is_some_and(|m| m == ["acl_reader"]), "{users:?}");
        let grants = target.grants("acl_role").await?;
        Ok((!grants.is_empty()).then_some((users, grants)))
    });
    let (users, grants) = bench.while_running(granted).await.unwrap();
    assert!(users.contains(&"acl_reader".to_owned()), "{users:?}");
    assert_eq!(grants, ["Search on Collection default.acl_to"]);

    op(
        &bench,
        pb::UpdateCredentialRequest {
            base: base(MsgType::UpdateCredential),
            username: "acl_reader".to_owned(),
            old_password: PASSWORDS[0].to_owned(),
            new_password: PASSWORDS[1].to_owned(),
            ..Default::default()
        },
    )
    .await;
    source.change_grant("acl_role", ("Search", "acl_from"), Privilege::Revoke).await.unwrap();
    source.change_member("acl_reader", "acl_role", Role::RemoveUserFromRole).await.unwrap();
    source.drop_role("acl_role").await.unwrap();
    source.delete_user("acl_reader").await.unwrap();
    for _ in 0..2 {
        op(&bench, privilege("acl_role", "acl_from", Privilege::Revoke)).await;
        op(&bench, member("acl_reader", "acl_role", Role::RemoveUserFromRole)).await;
        op(&bench, no_role("acl_role")).await;
        op(&bench, no_user("acl_reader")).await;
    }
    // Once more, too late: what the source has dropped does not come back.
    op(&bench, role("acl_role")).await;
    op(&bench, privilege("acl_role", "acl_from", Privilege::Grant)).await;
    op(&bench, user("acl_last")).await;
    let gone = wait::until("the user and the role to be gone", EQUAL_WITHIN, || async {
        let users = target.users().await?;
        anyhow::ensure!(users.contains(&"acl_last".to_owned()), "{users:?}");
        anyhow::ensure!(!users.contains(&"acl_reader".to_owned()), "{users:?}");
        Ok((!target.roles().await?.contains_key("acl_role")).then_some(()))
    });
    bench.while_running(gone).await.unwrap();
    let refused = bench.service.api().metric(EVENTS, "op_refused").await;
    assert!(refused.is_err(), "something was refused: {refused:?}");
    let logged = std::fs::read_to_string(bench.service.log_file()).unwrap();
    assert!(logged.contains("CreateCredential") && logged.contains(&task));
    assert!(PASSWORDS.iter().all(|password| !logged.contains(password)), "a password in the log");
    bench.finish().await;
}

/// What a Milvus 2.3 logs nothing of, and has in its etcd.
#[tokio::test(flavor = "multi_thread")]
async fn roles_of_a_source_that_logs_none_follow() {
    use pb::{OperatePrivilegeType as Privilege, OperateUserRoleType as Role};
    let mut bench = Bench::new().await;
    let (source, target) = (bench.source.clone(), bench.target.clone());
    let public = target.grants("public").await.unwrap();
    source.create_user("roles_ann", PASSWORDS[0]).await.unwrap();
    for role in ["roles_reader", "roles_own"] {
        source.create_role(role).await.unwrap();
        source.change_grant(role, ("Search", "roles_from"), Privilege::Grant).await.unwrap();
    }
    source.change_member("roles_ann", "roles_reader", Role::AddUserToRole).await.unwrap();
    // The target has one of them by itself, with a grant.
    target.create_role("roles_own").await.unwrap();
    target.change_grant("roles_own", ("Query", "roles_to"), Privilege::Grant).await.unwrap();

    let task = task_with_roles(&mut bench, json!({"roles_from": "roles_to"})).await;
    let (search, query) =
        ("Search on Collection default.roles_to", "Query on Collection default.roles_to");
    has_grants(&bench, "roles_reader", &[search]).await;
    has_grants(&bench, "roles_own", &[query, search]).await;

    // The user is created by hand.
    let awaited = wait::until("the user to be missed", EQUAL_WITHIN, || async {
        Ok((bench.service.api().metric(EVENTS, "user_awaited").await? >= 1.0).then_some(()))
    });
    bench.while_running(awaited).await.unwrap();
    assert_eq!(target.roles().await.unwrap()["roles_reader"], [] as [&str; 0]);
    target.create_user("roles_ann", PASSWORDS[0]).await.unwrap();
    has_members(&bench, "roles_reader", &["roles_ann"]).await;

    source.change_grant("roles_reader", ("Query", "roles_from"), Privilege::Grant).await.unwrap();
    source.change_grant("roles_reader", ("Search", "roles_from"), Privilege::Revoke).await.unwrap();
    has_grants(&bench, "roles_reader", &[query]).await;
    source.change_member("roles_ann", "roles_reader", Role::RemoveUserFromRole).await.unwrap();
    has_members(&bench, "roles_reader", &[]).await;
    source.change_member("roles_ann", "roles_reader", Role::AddUserToRole).await.unwrap();
    has_members(&bench, "roles_reader", &["roles_ann"]).await;

    // What is dropped while nobody looks is dropped, save what was the target's before.
    bench.service.stop().unwrap();
    for (role, privilege) in [("roles_reader", "Query"), ("roles_own", "Search")] {
        let grant = (privilege, "roles_from");
        source.change_grant(role, grant, Privilege::Revoke).await.unwrap();
        source.drop_role(role).await.unwrap();
    }
    source.delete_user("roles_ann").await.unwrap();
    bench.service.restart().await.unwrap();
    let dropped = wait::until("the role to be dropped", EQUAL_WITHIN, || async {
        Ok((!target.roles().await?.contains_key("roles_reader")).then_some(()))
    });
    bench.while_running(dropped).await.unwrap();
    has_grants(&bench, "roles_own", &[query]).await;
    assert!(target.users().await.unwrap().contains(&"roles_ann".to_owned()));
    assert_eq!(target.grants("public").await.unwrap(), public);
    for event in ["serving_refused", "serving_unreadable", "op_refused"] {
        let counted = bench.service.api().metric(EVENTS, event).await;
        assert!(counted.is_err(), "{event}: {counted:?}");
    }
    let logged = std::fs::read_to_string(bench.service.log_file()).unwrap();
    assert!(logged.contains(&task) && logged.contains("what=\"roles_reader\""), "{logged}");
    assert!(!logged.contains("what=\"public\""), "the target's own grants were asked for");

    target.change_grant("roles_own", ("Query", "roles_to"), Privilege::Revoke).await.unwrap();
    target.drop_role("roles_own").await.unwrap();
    target.delete_user("roles_ann").await.unwrap();
    bench.finish().await;
}

async fn has_grants(bench: &Bench, role: &str, expected: &[&str]) {
    let has = wait::until(format!("{role} to be granted {expected:?}"), EQUAL_WITHIN, || async {
        let found = bench.target.grants(role).await?;
        anyhow::ensure!(found == expected, "{found:?}");
        Ok(Some(()))
    });
    bench.while_running(has).await.unwrap();
}

async fn has_members(bench: &Bench, role: &str, expected: &[&str]) {
    let has = wait::until(format!("{role} to be of {expected:?}"), EQUAL_WITHIN, || async {
        let found = bench.target.roles().await?.remove(role);
        anyhow::ensure!(found.as_deref().is_some_and(|found| found == expected), "{found:?}");
        Ok(Some(()))
    });
    bench.while_running(has).await.unwrap();
}

const EVENTS: &str = "milvus_cdc_replicate_events_total";

#[tokio::test(flavor = "multi_thread")]
async fn users_are_left_out_unless_the_task_is_asked_for_them() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    op(&bench, user("acl_unasked")).await;
    let skipped = wait::until("the request to be skipped", EQUAL_WITHIN, || async {
        Ok((bench.service.api().metric(EVENTS, "op_skipped").await? >= 1.0).then_some(()))
    });
    bench.while_running(skipped).await.unwrap();
    assert!(!bench.target.users().await.unwrap().contains(&"acl_unasked".to_owned()));
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_import_stops_the_task_or_is_counted_as_the_policy_has_it() {
    let mut bench = Bench::new().await;
    let task = bench.task_for_all().await;
    let spec = CollectionSpec::small("import", 8);
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
    bench.equal("import").await;

    let described = bench.source.describe("import").await.unwrap();
    let import = ImportMsg {
        base: base(MsgType::Import),
        collection_name: "import".to_owned(),
        collection_id: described.collection_id,
        ..Default::default()
    };
    let topic = &described.physical_channel_names[0];
    source_log::append(&bench.pair.queue.address(), topic, &import).await.unwrap();
    let api = bench.service.api();
    let paused = wait::until("the task to be paused", EQUAL_WITHIN, || async {
        let seen = api.task(&task).await?;
        Ok((seen["state"] == "Paused").then_some(seen["reason"].to_string()))
    });
    let reason = paused.await.unwrap();
    assert!(reason.contains("Import into import"), "{reason}");
    assert!(reason.contains("unsupportedRequests: continue"), "{reason}");

    bench.source.insert(batch(&spec, "", 100..200, 0)).await.unwrap();
    bench.service.config().more.push_str("unsupportedRequests: continue\n");
    bench.service.stop().unwrap();
    bench.service.restart().await.unwrap();
    bench.service.api().resume(&task).await.unwrap();
    assert_eq!(bench.equal("import").await.target_rows, 200);
    assert!(bench.service.api().metric(EVENTS, "missed_Import").await.unwrap() >= 1.0);
    bench.source.drop_collection("import").await.unwrap();
    bench.gone("import").await;
    bench.finish().await;
}

/// What a dry run reads is said, and is there to be replicated once it is over.
#[tokio::test]
async fn a_dry_run_leaves_everything_as_it_was() {
    let mut bench = Bench::new().await;
    let task = bench.task_for_all().await;
    let spec = CollectionSpec::small("dry", 8);
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..100, 1)).await.unwrap();
    assert_eq!(bench.equal("dry").await.target_rows, 100);

    bench.service.stop().unwrap();
    let as_before = bench.service.config().more.clone();
    bench.service.config().more.push_str("dryRun: true\n");
    bench.service.restart().await.unwrap();
    bench.source.insert(batch(&spec, "", 100..200, 1)).await.unwrap();
    let other = CollectionSpec::small("dry_too", 8);
    bench.source.create_ready(&other).await.unwrap();
    let log = bench.service.log_file();
    wait::until("the dry run to say what it reads", EQUAL_WITHIN, || async {
        let said = std::fs::read_to_string(&log)?;
        let all = ["dry run: rows", "rows=100", "dry run: request", "what=\"dry_too\""];
        Ok(all.iter().all(|what| said.contains(what)).then_some(()))
    })
    .await
    .unwrap();
    let there = bench.target.collections().await.unwrap();
    assert!(!there.contains(&"dry_too".to_owned()), "{there:?}");

    bench.service.stop().unwrap();
    bench.service.config().more = as_before;
    bench.service.restart().await.unwrap();
    assert_eq!(bench.equal("dry").await.target_rows, 200);
    bench.same_metadata("dry_too").await;
    bench.service.api().wait_begun(&task, EQUAL_WITHIN).await.unwrap();
    for name in ["dry", "dry_too"] {
        bench.source.drop_collection(name).await.unwrap();
        bench.gone(name).await;
    }
    bench.finish().await;
}
