//! Carries out requests on users, roles and grants at a target. Never shows a password.

#![allow(deprecated)] // `OperatePrivilege` has a successor since 2.5; older sources log this one.

use super::client::{Client, replicated};
use super::fault::Fault;
use milvus_wire::proto::milvus::{
    OperatePrivilegeGroupType, OperatePrivilegeType, OperateUserRoleType, UpdateCredentialRequest,
};
use milvus_wire::rbac::RbacRequest;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;

/// Carries out a request as of the source's timestamp. Carrying it out twice has no further effect.
pub(super) async fn apply(client: &Client, request: &RbacRequest, at: Timestamp) -> Result<()> {
    let mut request = request.clone();
    let base = request.base_mut();
    *base = replicated(base.take(), at);
    let tried = request.name();
    match request {
        RbacRequest::CreateCredential(r) => {
            let done = client.ask("", r, async |mut c, r| c.create_credential(r).await).await;
            client.outcome(tried, done, Fault::exists)
        }
        RbacRequest::UpdateCredential(r) => change_password(client, tried, r).await,
        RbacRequest::DeleteCredential(r) => {
            let done = client.ask("", r, async |mut c, r| c.delete_credential(r).await).await;
            client.outcome(tried, done, Fault::no_such_user_or_role)
        }
        RbacRequest::CreateRole(r) => {
            let done = client.ask("", r, async |mut c, r| c.create_role(r).await).await;
            client.outcome(tried, done, Fault::exists)
        }
        RbacRequest::DropRole(r) => {
            let done = client.ask("", r, async |mut c, r| c.drop_role(r).await).await;
            client.outcome(tried, done, Fault::no_such_user_or_role)
        }
        RbacRequest::OperateUserRole(r) => {
            let takes = r.r#type() != OperateUserRoleType::AddUserToRole;
            let done = client.ask("", r, async |mut c, r| c.operate_user_role(r).await).await;
            client.outcome(tried, done, |fault| takes && fault.no_such_user_or_role())
        }
        RbacRequest::OperatePrivilege(r) => {
            let takes = r.r#type() == OperatePrivilegeType::Revoke;
            let done = client.ask("", r, async |mut c, r| c.operate_privilege(r).await).await;
            client.outcome(tried, done, |fault| takes && fault.no_such_user_or_role())
        }
        RbacRequest::OperatePrivilegeV2(r) => {
            let takes = r.r#type() == OperatePrivilegeType::Revoke;
            let done = client.ask("", r, async |mut c, r| c.operate_privilege_v2(r).await).await;
            client.outcome(tried, done, |fault| takes && fault.no_such_user_or_role())
        }
        RbacRequest::CreatePrivilegeGroup(r) => {
            let done = client.ask("", r, async |mut c, r| c.create_privilege_group(r).await).await;
            client.outcome(tried, done, Fault::exists)
        }
        RbacRequest::DropPrivilegeGroup(r) => {
            // Milvus reports success if there is no such group: `MetaTable.DropPrivilegeGroup`.
            let done = client.ask("", r, async |mut c, r| c.drop_privilege_group(r).await).await;
            client.outcome(tried, done, |_| false)
        }
        RbacRequest::OperatePrivilegeGroup(r) => {
            // The group is a set: adding a member twice is a success, and so is removing one twice.
            let takes = r.r#type() == OperatePrivilegeGroupType::RemovePrivilegesFromGroup;
            let done = client.ask("", r, async |mut c, r| c.operate_privilege_group(r).await).await;
            client.outcome(tried, done, |fault| takes && fault.no_privilege_group())
        }
    }
}

/// Changes a password. A repeated change is refused, since its old password is no longer valid.
/// Then it is sent with the new password as the old one, which is accepted only if the change had
/// been made.
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
    client.outcome(tried, done, |_| false)
}
