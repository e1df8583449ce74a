//! What a target has of a role, as values: what it should have, what it was given, and whether a
//! request agrees with the source. Never asks anybody.

use crate::ports::Ddl;
use crate::selection::{Names, named};
use milvus_wire::op::OpRequest;
use milvus_wire::proto::milvus as pb;
use milvus_wire::rbac::{ANY, GLOBAL, RbacRequest};
use milvus_wire::roles::{Grant, Role, Roles};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Roles that every Milvus has and that nobody can drop. Source: `util.DefaultRoles`.
const BUILT_IN: [&str; 2] = ["admin", "public"];

/// Something that a target has of a role, in the order in which it is given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Right {
    /// The role itself.
    Role,
    /// It may do something.
    Grant {
        /// `Collection`, `Global` or `User`.
        object_type: String,
        /// The target's database.
        database: String,
        /// The target's collection, or a user.
        object: String,
        /// As requests name it.
        privilege: String,
    },
    /// A user has it.
    Member(String),
}

/// What the target has been given of a role, by the target's names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    /// Given by the task. Rights that the target had before are not among them.
    pub given: BTreeSet<Right>,
    /// About to be given or taken, so the target may have them or not. Stored before it is asked.
    pub giving: BTreeSet<Right>,
    /// Refused by the target. They are not tried again.
    pub refused: BTreeSet<Right>,
}

impl Given {
    /// What to give so that the target has `wanted`.
    pub(crate) fn new_in(&self, wanted: &BTreeSet<Right>) -> BTreeSet<Right> {
        let is_known = |right: &Right| self.given.contains(right) || self.refused.contains(right);
        wanted.iter().filter(|right| !is_known(right)).cloned().collect()
    }

    /// What to take from the target.
    pub(crate) fn lost(&self, wanted: &BTreeSet<Right>) -> BTreeSet<Right> {
        self.given.union(&self.giving).filter(|right| !wanted.contains(right)).cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Right {
    fn of_grant(grant: Grant) -> Self {
        let Grant { object_type, database, object, privilege } = grant;
        Self::Grant { object_type, database, object, privilege }
    }

    /// The request that gives this right, or takes it.
    pub(crate) fn request(&self, role: &str, gives: bool) -> Ddl {
        let entity = pb::RoleEntity { name: role.to_owned(), ..Default::default() };
        let request = match self {
            Self::Role if gives => RbacRequest::CreateRole(pb::CreateRoleRequest {
                entity: Some(entity),
                ..Default::default()
            }),
            Self::Role => RbacRequest::DropRole(pb::DropRoleRequest {
                role_name: role.to_owned(),
                ..Default::default()
            }),
            Self::Grant { object_type, database, object, privilege } => {
                use pb::OperatePrivilegeType::{Grant, Revoke};
                let privilege = pb::PrivilegeEntity { name: privilege.clone() };
                RbacRequest::OperatePrivilege(pb::OperatePrivilegeRequest {
                    r#type: if gives { Grant } else { Revoke }.into(),
                    entity: Some(pb::GrantEntity {
                        role: Some(entity),
                        object: Some(pb::ObjectEntity { name: object_type.clone() }),
                        object_name: object.clone(),
                        db_name: database.clone(),
                        // The target fills in who asks.
                        grantor: Some(pb::GrantorEntity { user: None, privilege: Some(privilege) }),
                    }),
                    ..Default::default()
                })
            }
            Self::Member(user) => {
                use pb::OperateUserRoleType::{AddUserToRole, RemoveUserFromRole};
                RbacRequest::OperateUserRole(pb::OperateUserRoleRequest {
                    username: user.clone(),
                    role_name: role.to_owned(),
                    r#type: if gives { AddUserToRole } else { RemoveUserFromRole }.into(),
                    ..Default::default()
                })
            }
        };
        Ddl::Op(Box::new(OpRequest::Rbac(request)))
    }
}

/// All of a role as the target has it.
pub(crate) fn rights(role: Role) -> BTreeSet<Right> {
    let grants = role.grants.into_iter().map(Right::of_grant);
    let members = role.members.into_iter().map(Right::Member);
    [Right::Role].into_iter().chain(grants).chain(members).collect()
}

/// What a target should have of the source's roles. Grants of groups of privileges are left to the
/// op channel: the versions that have groups log them, and what is in a group comes from there too.
pub(crate) fn wanted(roles: &Roles, names: &Names) -> BTreeMap<String, BTreeSet<Right>> {
    let of = |(name, role): (&String, &Role)| {
        let grants = role.grants.iter().filter(|grant| !grant.is_of_a_group());
        let grants = grants.map(|grant| grant.clone().renamed(on_target(names))).collect();
        let mut wanted = rights(Role { grants, members: role.members.clone() });
        if BUILT_IN.contains(&name.as_str()) {
            wanted.remove(&Right::Role);
        }
        (name.clone(), wanted)
    };
    roles.iter().map(of).collect()
}

/// The target's names of what a grant is about.
pub(crate) fn on_target(names: &Names) -> impl Fn(&str, &str) -> (String, String) {
    |database, name| {
        let mapped = names.collection(named(database), name);
        (mapped.database, mapped.name)
    }
}

/// Whether a logged request, which comes late, agrees with what the source has now. Only the log
/// knows users and groups of privileges.
pub(crate) fn agrees(roles: &Roles, request: &RbacRequest) -> bool {
    let role = |role: Option<&pb::RoleEntity>| roles.get(role.map_or("", |role| &role.name));
    match request {
        RbacRequest::CreateRole(request) => role(request.entity.as_ref()).is_some(),
        RbacRequest::DropRole(request) => !roles.contains_key(&request.role_name),
        RbacRequest::OperateUserRole(request) => {
            let has = |role: &Role| role.members.contains(&request.username);
            let adds = request.r#type() == pb::OperateUserRoleType::AddUserToRole;
            roles.get(&request.role_name).is_some_and(has) == adds
        }
        RbacRequest::OperatePrivilege(request) => {
            let entity = request.entity.clone().unwrap_or_default();
            let object_type = entity.object.unwrap_or_default().name;
            let is_it = |grant: &Grant| {
                grant.object_type == object_type
                    && is_about(grant, &entity.db_name, &entity.object_name)
                    && is_called(grant, entity.grantor.as_ref())
            };
            let has = role(entity.role.as_ref()).is_some_and(|role| role.grants.iter().any(is_it));
            has == (request.r#type() == pb::OperatePrivilegeType::Grant)
        }
        RbacRequest::OperatePrivilegeV2(request) => {
            let is_it = |grant: &Grant| {
                is_about(grant, &request.db_name, &request.collection_name)
                    && is_called(grant, request.grantor.as_ref())
            };
            let has = role(request.role.as_ref()).is_some_and(|role| role.grants.iter().any(is_it));
            has == (request.r#type() == pb::OperatePrivilegeType::Grant)
        }
        _ => true,
    }
}

/// A global grant is kept for all objects, whatever its request names. Source:
/// `Core.OperatePrivilege`.
fn is_about(grant: &Grant, database: &str, object: &str) -> bool {
    let for_all = grant.object_type == GLOBAL && grant.object == ANY;
    grant.database == named(database) && (for_all || grant.object == object)
}

fn is_called(grant: &Grant, grantor: Option<&pb::GrantorEntity>) -> bool {
    let privilege = grantor.and_then(|grantor| grantor.privilege.as_ref());
    privilege.is_some_and(|privilege| grant.is_called(&privilege.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::codec::{decode, encode};
    use crate::selection::NameRule;
    use crate::written::read_and_written_again;
    use pb::{OperatePrivilegeType as Privilege, OperateUserRoleType as Membership};

    #[test]
    fn what_earlier_versions_stored_of_a_role_is_written_the_same() {
        let roles: Vec<Given> = read_and_written_again("access");
        let has = |is_it: fn(&Right) -> bool| roles.iter().any(|role| role.given.iter().any(is_it));
        assert!(has(|right| matches!(right, Right::Grant { .. })));
        assert!(has(|right| matches!(right, Right::Member(_))));
    }

    fn grant(object_type: &str, database: &str, object: &str, privilege: &str) -> Grant {
        Grant {
            object_type: object_type.into(),
            database: database.into(),
            object: object.into(),
            privilege: privilege.into(),
        }
    }

    fn roles(grants: &[Grant], members: &[&str]) -> Roles {
        let grants = grants.iter().cloned().collect();
        let members = members.iter().map(|user| (*user).to_owned()).collect();
        Roles::from([("reader".to_owned(), Role { grants, members })])
    }

    fn set(rights: &[Right]) -> BTreeSet<Right> {
        rights.iter().cloned().collect()
    }

    fn member(user: &str) -> Right {
        Right::Member(user.to_owned())
    }

    pub(crate) fn request(right: &Right, gives: bool) -> RbacRequest {
        match right.request("reader", gives) {
            Ddl::Op(request) => match *request {
                OpRequest::Rbac(request) => request,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_target_is_to_have_what_is_no_group_and_not_built_in_under_its_own_names() {
        let search = grant("Collection", "shop", "titles", "Search");
        let group = grant("Collection", "shop", "titles", "GroupReadOnly");
        let mut roles = roles(&[search, group], &["ann"]);
        roles.insert("public".to_owned(), Role::default());
        let names = Names {
            rules: vec![NameRule {
                source_db: "shop".into(),
                target_db: "store".into(),
                collection_mapping: [("titles".to_owned(), "books".to_owned())].into(),
            }],
        };
        let renamed = Right::of_grant(grant("Collection", "store", "books", "Search"));
        let expected = [
            ("public".to_owned(), set(&[])),
            ("reader".to_owned(), set(&[Right::Role, renamed, member("ann")])),
        ];
        assert_eq!(wanted(&roles, &names), BTreeMap::from(expected));
    }

    #[test]
    fn only_differences_are_asked_for_and_only_what_was_given_is_taken() {
        let given = Given {
            given: set(&[Right::Role, member("given")]),
            giving: set(&[member("may have been")]),
            refused: set(&[member("refused")]),
        };
        let wanted = set(&[Right::Role, member("refused"), member("its own"), member("new")]);
        assert_eq!(given.new_in(&wanted), set(&[member("its own"), member("new")]));
        assert_eq!(given.lost(&wanted), set(&[member("given"), member("may have been")]));
        // As it is taken in case of a drop, from behind.
        let all: Vec<_> = given.lost(&set(&[])).into_iter().rev().collect();
        assert_eq!(all, [member("may have been"), member("given"), Right::Role]);
        let encoded = encode(&given);
        assert_eq!(decode::<Given>("k", &encoded).unwrap(), given);
    }

    #[test]
    fn a_logged_request_that_was_overtaken_does_not_agree() {
        let search = grant("Collection", "default", "titles", "Search");
        let on = roles(std::slice::from_ref(&search), &["ann"]);
        let off = Roles::default();
        for right in [Right::Role, Right::of_grant(search), member("ann")] {
            for (roles, is) in [(&on, true), (&off, false)] {
                assert_eq!(agrees(roles, &request(&right, true)), is, "{right:?}");
                assert_eq!(agrees(roles, &request(&right, false)), !is, "{right:?}");
            }
        }
        let other = Right::of_grant(grant("Collection", "default", "titles", "Query"));
        assert!(!agrees(&on, &request(&other, true)) && agrees(&on, &request(&other, false)));
        let user = RbacRequest::DeleteCredential(pb::DeleteCredentialRequest::default());
        assert!(agrees(&on, &user) && agrees(&off, &user));
        assert!(!agrees(&on, &request(&member("bob"), true)));
        let kind = request(&member("bob"), false);
        assert!(agrees(&on, &kind));
        let RbacRequest::OperateUserRole(kind) = kind else { panic!("{kind:?}") };
        assert_eq!(kind.r#type(), Membership::RemoveUserFromRole);
    }

    #[test]
    fn grants_are_found_as_milvus_keeps_them() {
        let v2 = |privilege: &str, collection: &str, kind: Privilege| {
            let privilege = pb::PrivilegeEntity { name: privilege.into() };
            RbacRequest::OperatePrivilegeV2(pb::OperatePrivilegeV2Request {
                role: Some(pb::RoleEntity { name: "reader".into(), ..Default::default() }),
                grantor: Some(pb::GrantorEntity { user: None, privilege: Some(privilege) }),
                r#type: kind.into(),
                db_name: "shop".into(),
                collection_name: collection.into(),
                ..Default::default()
            })
        };
        let has = roles(
            &[
                grant("Global", "shop", "*", "CreateCollection"),
                grant("Global", "shop", "titles", "GroupReadOnly"),
                grant("Collection", "shop", "titles", "Search"),
            ],
            &[],
        );
        for (privilege, collection, is) in [
            ("CreateCollection", "*", true),
            ("CreateCollection", "titles", true),
            ("ReadOnly", "titles", true),
            ("ReadOnly", "others", false),
            ("Search", "titles", true),
            ("Search", "*", false),
        ] {
            let said = (privilege, collection);
            assert_eq!(agrees(&has, &v2(privilege, collection, Privilege::Grant)), is, "{said:?}");
            assert_eq!(
                agrees(&has, &v2(privilege, collection, Privilege::Revoke)),
                !is,
                "{said:?}"
            );
        }
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;
    use crate::written::read_or_refused;

    #[test]
    fn any_bytes_are_a_record_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            read_or_refused::<Given>(bytes);
        });
    }
}
