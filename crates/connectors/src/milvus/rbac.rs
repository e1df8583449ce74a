//! Carries out requests on users, roles and grants at a target. Never shows a password.

#![allow(deprecated)] // `OperatePrivilege` has a successor since 2.5; older sources write this one.

use super::client::Client;
use super::ddl::replicated;
use super::fault::Fault;
use super::op::finish;
use milvus_wire::access::AccessRequest;
use milvus_wire::proto::milvus::{
    OperatePrivilegeGroupType, OperatePrivilegeType, OperateUserRoleType, UpdateCredentialRequest,
};
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;

/// Carries a request out as of the source's timestamp. One that comes again finds that it is so
/// already.
pub(super) async fn apply(client: &Client, request: &AccessRequest, at: Timestamp) -> Result<()> {
    let mut request = request.clone();
    let base = request.base_mut();
    *base = replicated(base.take(), at);
    let tried = request.name();
    match request {
        AccessRequest::CreateCredential(r) => {
            let done = client.ask("", r, async |mut c, r| c.create_credential(r).await).await;
            finish(client, tried, done, Fault::exists)
        }
        AccessRequest::UpdateCredential(r) => change_password(client, tried, r).await,
        AccessRequest::DeleteCredential(r) => {
            let done = client.ask("", r, async |mut c, r| c.delete_credential(r).await).await;
            finish(client, tried, done, Fault::no_such_user_or_role)
        }
        AccessRequest::CreateRole(r) => {
            let done = client.ask("", r, async |mut c, r| c.create_role(r).await).await;
            finish(client, tried, done, Fault::exists)
        }
        AccessRequest::DropRole(r) => {
            let done = client.ask("", r, async |mut c, r| c.drop_role(r).await).await;
            finish(client, tried, done, Fault::no_such_user_or_role)
        }
        AccessRequest::OperateUserRole(r) => {
            let takes = r.r#type() != OperateUserRoleType::AddUserToRole;
            let done = client.ask("", r, async |mut c, r| c.operate_user_role(r).await).await;
            finish(client, tried, done, |fault| takes && fault.no_such_user_or_role())
        }
        AccessRequest::OperatePrivilege(r) => {
            let takes = r.r#type() == OperatePrivilegeType::Revoke;
            let done = client.ask("", r, async |mut c, r| c.operate_privilege(r).await).await;
            finish(client, tried, done, |fault| takes && fault.no_such_user_or_role())
        }
        AccessRequest::OperatePrivilegeV2(r) => {
            let takes = r.r#type() == OperatePrivilegeType::Revoke;
            let done = client.ask("", r, async |mut c, r| c.operate_privilege_v2(r).await).await;
            finish(client, tried, done, |fault| takes && fault.no_such_user_or_role())
        }
        AccessRequest::CreatePrivilegeGroup(r) => {
            let done = client.ask("", r, async |mut c, r| c.create_privilege_group(r).await).await;
            finish(client, tried, done, Fault::exists)
        }
        AccessRequest::DropPrivilegeGroup(r) => {
            // One that is not there is dropped already: `MetaTable.DropPrivilegeGroup`.
            let done = client.ask("", r, async |mut c, r| c.drop_privilege_group(r).await).await;
            finish(client, tried, done, |_| false)
        }
        AccessRequest::OperatePrivilegeGroup(r) => {
            // The group is a set: what is in it is added again and what is not taken out again.
            let takes = r.r#type() == OperatePrivilegeGroupType::RemovePrivilegesFromGroup;
            let done = client.ask("", r, async |mut c, r| c.operate_privilege_group(r).await).await;
            finish(client, tried, done, |fault| takes && fault.no_privilege_group())
        }
    }
}

/// A change that comes again is refused, for the old password is no longer the one it names. Then
/// it names the new one as the old one: that is carried out only where the change is made.
async fn change_password(
    client: &Client,
    tried: &str,
    request: UpdateCredentialRequest,
) -> Result<()> {
    let ask = async |r| client.ask("", r, async |mut c, r| c.update_credential(r).await).await;
    let mut done = ask(request.clone()).await;
    if done.as_ref().is_err_and(Fault::old_password_is_another) {
        let old_password = request.new_password.clone();
        done = ask(UpdateCredentialRequest { old_password, ..request }).await;
    }
    finish(client, tried, done, |_| false)
}
