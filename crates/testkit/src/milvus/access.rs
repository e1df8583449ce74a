//! Users, roles and grants, to be looked at. Never changes them.

use super::{Milvus, Result};
use milvus_wire::proto::milvus::{
    GrantEntity, ListCredUsersRequest, RoleEntity, SelectGrantRequest, SelectRoleRequest,
};
use std::collections::BTreeMap;

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

    /// What a role may do in this database: `<privilege> on <object type> <database>.<object>`, sorted.
    ///
    /// # Errors
    /// As every call.
    pub async fn grants(&self, role: &str) -> Result<Vec<String>> {
        let entity = GrantEntity {
            role: Some(RoleEntity { name: role.to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let question = SelectGrantRequest { entity: Some(entity), ..Default::default() };
        let answer = self.call("SelectGrant", question, |mut stub, request| async move {
            stub.select_grant(request).await
        });
        let mut grants: Vec<_> = answer.await?.entities.into_iter().map(|e| text(&e)).collect();
        grants.sort();
        Ok(grants)
    }
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
