//! Requests on users, roles and grants, as Milvus 2.4 and later write them to the op channel.
//! Never shows a password.

use crate::error::DecodeError;
use crate::proto::common::{MsgBase, MsgType};
use crate::proto::milvus as pb;
use prost::Message;
use std::fmt;

/// The object type of a grant that names a collection. Source: `commonpb.ObjectType`.
pub(crate) const ON_A_COLLECTION: &str = "Collection";

/// The object type of a grant that names no object. Source: `commonpb.ObjectType`.
pub const GLOBAL: &str = "Global";

/// Stands for all databases, objects or privileges in a grant.
pub const ANY: &str = "*";

/// A request on users, roles or grants.
#[derive(Clone, PartialEq)]
pub enum RbacRequest {
    /// `CreateCredential`: a new user and its password.
    CreateCredential(pb::CreateCredentialRequest),
    /// `UpdateCredential`: a new password, with the old one.
    UpdateCredential(pb::UpdateCredentialRequest),
    /// `DeleteCredential`.
    DeleteCredential(pb::DeleteCredentialRequest),
    /// `CreateRole`.
    CreateRole(pb::CreateRoleRequest),
    /// `DropRole`.
    DropRole(pb::DropRoleRequest),
    /// `OperateUserRole`: gives a role to a user or takes it away.
    OperateUserRole(pb::OperateUserRoleRequest),
    /// `OperatePrivilege`: grants or revokes.
    OperatePrivilege(pb::OperatePrivilegeRequest),
    /// `OperatePrivilegeV2`: grants or revokes, since 2.5.
    OperatePrivilegeV2(pb::OperatePrivilegeV2Request),
    /// `CreatePrivilegeGroup`, since 2.5.
    CreatePrivilegeGroup(pb::CreatePrivilegeGroupRequest),
    /// `DropPrivilegeGroup`, since 2.5.
    DropPrivilegeGroup(pb::DropPrivilegeGroupRequest),
    /// `OperatePrivilegeGroup`: adds privileges to a group or removes them, since 2.5.
    OperatePrivilegeGroup(pb::OperatePrivilegeGroupRequest),
}

impl RbacRequest {
    /// Decodes a message of this type; `None` if the type is not such a request.
    pub(crate) fn decode(kind: MsgType, raw: &[u8]) -> Option<Result<Self, DecodeError>> {
        fn body<M: Message + Default>(
            name: &'static str,
            raw: &[u8],
            of: impl FnOnce(M) -> RbacRequest,
        ) -> Result<RbacRequest, DecodeError> {
            M::decode(raw).map(of).map_err(DecodeError::protobuf(name))
        }
        Some(match kind {
            MsgType::CreateCredential => {
                body("a CreateCredential", raw, RbacRequest::CreateCredential)
            }
            MsgType::UpdateCredential => {
                body("an UpdateCredential", raw, RbacRequest::UpdateCredential)
            }
            MsgType::DeleteCredential => {
                body("a DeleteCredential", raw, RbacRequest::DeleteCredential)
            }
            MsgType::CreateRole => body("a CreateRole", raw, RbacRequest::CreateRole),
            MsgType::DropRole => body("a DropRole", raw, RbacRequest::DropRole),
            MsgType::OperateUserRole => {
                body("an OperateUserRole", raw, RbacRequest::OperateUserRole)
            }
            MsgType::OperatePrivilege => {
                body("an OperatePrivilege", raw, RbacRequest::OperatePrivilege)
            }
            MsgType::OperatePrivilegeV2 => {
                body("an OperatePrivilegeV2", raw, RbacRequest::OperatePrivilegeV2)
            }
            MsgType::CreatePrivilegeGroup => {
                body("a CreatePrivilegeGroup", raw, RbacRequest::CreatePrivilegeGroup)
            }
            MsgType::DropPrivilegeGroup => {
                body("a DropPrivilegeGroup", raw, RbacRequest::DropPrivilegeGroup)
            }
            MsgType::OperatePrivilegeGroup => {
                body("an OperatePrivilegeGroup", raw, RbacRequest::OperatePrivilegeGroup)
            }
            _ => return None,
        })
    }

    /// The request's name in Milvus's API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateCredential(_) => "CreateCredential",
            Self::UpdateCredential(_) => "UpdateCredential",
            Self::DeleteCredential(_) => "DeleteCredential",
            Self::CreateRole(_) => "CreateRole",
            Self::DropRole(_) => "DropRole",
            Self::OperateUserRole(_) => "OperateUserRole",
            Self::OperatePrivilege(_) => "OperatePrivilege",
            Self::OperatePrivilegeV2(_) => "OperatePrivilegeV2",
            Self::CreatePrivilegeGroup(_) => "CreatePrivilegeGroup",
            Self::DropPrivilegeGroup(_) => "DropPrivilegeGroup",
            Self::OperatePrivilegeGroup(_) => "OperatePrivilegeGroup",
        }
    }

    /// The name of the user, the role or the group that it is about.
    pub fn what(&self) -> &str {
        fn named(role: Option<&pb::RoleEntity>) -> &str {
            role.map_or("", |role| &role.name)
        }
        match self {
            Self::CreateCredential(request) => &request.username,
            Self::UpdateCredential(request) => &request.username,
            Self::DeleteCredential(request) => &request.username,
            Self::CreateRole(request) => named(request.entity.as_ref()),
            Self::DropRole(request) => &request.role_name,
            Self::OperateUserRole(request) => &request.role_name,
            Self::OperatePrivilege(request) => {
                named(request.entity.as_ref().and_then(|grant| grant.role.as_ref()))
            }
            Self::OperatePrivilegeV2(request) => named(request.role.as_ref()),
            Self::CreatePrivilegeGroup(request) => &request.group_name,
            Self::DropPrivilegeGroup(request) => &request.group_name,
            Self::OperatePrivilegeGroup(request) => &request.group_name,
        }
    }

    /// Its header.
    pub fn base_mut(&mut self) -> &mut Option<MsgBase> {
        match self {
            Self::CreateCredential(request) => &mut request.base,
            Self::UpdateCredential(request) => &mut request.base,
            Self::DeleteCredential(request) => &mut request.base,
            Self::CreateRole(request) => &mut request.base,
            Self::DropRole(request) => &mut request.base,
            Self::OperateUserRole(request) => &mut request.base,
            Self::OperatePrivilege(request) => &mut request.base,
            Self::OperatePrivilegeV2(request) => &mut request.base,
            Self::CreatePrivilegeGroup(request) => &mut request.base,
            Self::DropPrivilegeGroup(request) => &mut request.base,
            Self::OperatePrivilegeGroup(request) => &mut request.base,
        }
    }

    /// Renames the object of a grant: `f` returns the target's names of a database and a
    /// collection. A name that stands for all of them is kept.
    pub fn rename(&mut self, f: impl Fn(&str, &str) -> (String, String)) {
        let (database, collection) = match self {
            Self::OperatePrivilege(pb::OperatePrivilegeRequest { entity: Some(grant), .. }) => {
                let is_on = |object: &pb::ObjectEntity| object.name == ON_A_COLLECTION;
                let on_a_collection = grant.object.as_ref().is_some_and(is_on);
                (&mut grant.db_name, on_a_collection.then_some(&mut grant.object_name))
            }
            Self::OperatePrivilegeV2(grant) => {
                (&mut grant.db_name, Some(&mut grant.collection_name))
            }
            _ => return,
        };
        rename(database, collection, f);
    }
}

/// Renames the object of a grant: its database, and the collection if it names one.
pub(crate) fn rename(
    database: &mut String,
    collection: Option<&mut String>,
    f: impl Fn(&str, &str) -> (String, String),
) {
    if database == ANY {
        return;
    }
    let named = collection.as_ref().map_or(ANY, |name| name.as_str()).to_owned();
    let (new_database, new_collection) = f(database, &named);
    *database = new_database;
    if let Some(collection) = collection.filter(|name| *name != ANY) {
        *collection = new_collection;
    }
}

impl fmt::Debug for RbacRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(database: &str, object: &str, name: &str) -> RbacRequest {
        RbacRequest::OperatePrivilege(pb::OperatePrivilegeRequest {
            entity: Some(pb::GrantEntity {
                object: Some(pb::ObjectEntity { name: object.to_owned() }),
                object_name: name.to_owned(),
                db_name: database.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    #[test]
    fn a_grant_is_renamed_with_its_collection() {
        let to = |database: &str, name: &str| (format!("{database}2"), format!("{name}2"));
        for (before, after) in [
            (grant("d", "Collection", "c"), grant("d2", "Collection", "c2")),
            (grant("d", "Collection", "*"), grant("d2", "Collection", "*")),
            (grant("*", "Collection", "*"), grant("*", "Collection", "*")),
            (grant("d", "Global", "c"), grant("d2", "Global", "c")),
        ] {
            let mut renamed = before;
            renamed.rename(to);
            assert!(renamed == after);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let password = "c2VjcmV0".to_owned();
        let user = pb::CreateCredentialRequest { password, ..Default::default() };
        assert_eq!(format!("{:?}", RbacRequest::CreateCredential(user)), "CreateCredential");
    }
}
