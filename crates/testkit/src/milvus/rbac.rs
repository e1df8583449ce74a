//! Reads and changes users, roles and grants. Never logs in as one of these users.

use super::{Milvus, Result};
use milvus_wire::proto::milvus::{
    CreateCredentialRequest, CreateRoleRequest, DeleteCredentialRequest, DropRoleRequest,
    GrantEntity, GrantorEntity, ListCredUsersRequest, ObjectEntity, OperatePrivilegeRequest,
    OperatePrivilegeType, OperateUserRoleRequest, OperateUserRoleType, PrivilegeEntity, RoleEntity,
    SelectGrantRequest, SelectRoleRequest,
};
use std::collections::BTreeMap;
use tonic::metadata::MetadataValue;

/// `root:Milvus`: a request for a grant needs a login, even if the server does not check it.
const ROOT: &str = "cm9vdDpNaWx2dXM=";

impl Milvus {
    /// The users, sorted.
    ///
    /// # Errors
    /// As every call.
    pub async fn users(&self) -> Result<Vec<String>> {
        let question = ListCredUsersRequest::default();
        let answer = self.call("ListCredUsers", question, |mut stub, request| async move {
            stub.list_cred_users(request).await
        });
        let mut users = answer.await?.usernames;
        users.sort();
        Ok(users)
    }

    /// The roles and the users that have each, sorted.
    ///
    /// # Errors
    /// As every call.
    pub async fn roles(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let question = SelectRoleRequest { include_user_info: true, ..Default::default() };
        let answer = self.call("SelectRole", question, |mut stub, request| async move {
            stub.select_role(request).await
        });
        let results = answer.await?.results.into_iter();
        let named = results.map(|result| {
            let mut users: Vec<_> = result.users.into_iter().map(|user| user.name).collect();
            users.sort();
            (result.role.unwrap_or_default().name, users)
        });
        Ok(named.collect())
    }

    /// What a role may do in this database: `<privilege> on <object type> <database>.<object>`,
    /// sorted.
    ///
    /// # Errors
    /// As every call.
    pub async fn grants(&self, role: &str) -> Result<Vec<String>> {
        let entity = GrantEntity { role: Some(entity(role)), ..Default::default() };
        let question = SelectGrantRequest { entity: Some(entity), ..Default::default() };
        let answer = self.call("SelectGrant", question, |mut stub, request| async move {
            stub.select_grant(request).await
        });
        let mut grants: Vec<_> = answer.await?.entities.into_iter().map(|e| text(&e)).collect();
        grants.sort();
        Ok(grants)
    }

    /// Creates a user; the password is base64.
    ///
    /// # Errors
    /// As every call.
    pub async fn create_user(&self, name: &str, password: &str) -> Result<()> {
        let question = CreateCredentialRequest {
            username: name.to_owned(),
            password: password.to_owned(),
            ..Default::default()
        };
        self.call("CreateCredential", question, |mut stub, request| async move {
            stub.create_credential(request).await
        })
        .await
        .map(drop)
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// As every call.
    pub async fn delete_user(&self, name: &str) -> Result<()> {
        let question = DeleteCredentialRequest { username: name.to_owned(), ..Default::default() };
        self.call("DeleteCredential", question, |mut stub, request| async move {
            stub.delete_credential(request).await
        })
        .await
        .map(drop)
    }

    /// Creates a role.
    ///
    /// # Errors
    /// As every call.
    pub async fn create_role(&self, name: &str) -> Result<()> {
        let question = CreateRoleRequest { entity: Some(entity(name)), ..Default::default() };
        self.call("CreateRole", question, |mut stub, request| async move {
            stub.create_role(request).await
        })
        .await
        .map(drop)
    }

    /// Drops a role.
    ///
    /// # Errors
    /// As every call.
    pub async fn drop_role(&self, name: &str) -> Result<()> {
        let question = DropRoleRequest { role_name: name.to_owned(), ..Default::default() };
        self.call(
            "DropRole",
            question,
            |mut stub, request| async move { stub.drop_role(request).await },
        )
        .await
        .map(drop)
    }

    /// Gives a user a role, or takes it.
    ///
    /// # Errors
    /// As every call.
    pub async fn change_member(
        &self,
        user: &str,
        role: &str,
        how: OperateUserRoleType,
    ) -> Result<()> {
        let question = OperateUserRoleRequest {
            username: user.to_owned(),
            role_name: role.to_owned(),
            r#type: how.into(),
            ..Default::default()
        };
        self.call("OperateUserRole", question, |mut stub, request| async move {
            stub.operate_user_role(request).await
        })
        .await
        .map(drop)
    }

    /// Grants a role a privilege on a collection of this database, or revokes it.
    ///
    /// # Errors
    /// As every call.
    pub async fn change_grant(
        &self,
        role: &str,
        (privilege, collection): (&str, &str),
        how: OperatePrivilegeType,
    ) -> Result<()> {
        let privilege = PrivilegeEntity { name: privilege.to_owned() };
        let question = OperatePrivilegeRequest {
            entity: Some(GrantEntity {
                role: Some(entity(role)),
                object: Some(ObjectEntity { name: "Collection".to_owned() }),
                object_name: collection.to_owned(),
                grantor: Some(GrantorEntity { user: None, privilege: Some(privilege) }),
                db_name: self.database_name().to_owned(),
            }),
            r#type: how.into(),
            ..Default::default()
        };
        self.call("OperatePrivilege", question, |mut stub, mut request| async move {
            request.metadata_mut().insert("authorization", MetadataValue::from_static(ROOT));
            stub.operate_privilege(request).await
        })
        .await
        .map(drop)
    }
}

fn entity(role: &str) -> RoleEntity {
    RoleEntity { name: role.to_owned(), ..Default::default() }
}

fn text(grant: &GrantEntity) -> String {
    let grantor = grant.grantor.as_ref();
    let privilege = grantor.and_then(|grantor| grantor.privilege.as_ref()).map(|p| p.name.as_str());
    let object = grant.object.as_ref().map(|object| object.name.as_str());
    format!(
        "{} on {} {}.{}",
        privilege.unwrap_or_default(),
        object.unwrap_or_default(),
        grant.db_name,
        grant.object_name
    )
}
