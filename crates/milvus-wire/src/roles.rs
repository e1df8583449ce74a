//! Decodes roles, their grants and their members, from the records of Milvus's root coordinator in
//! etcd (2.3 to 2.5). Nearly all of it is in the keys; the part behind the prefix is decoded here.
//! Never reads the users' own records, which contain a hash of their password.

use crate::error::DecodeError;
use crate::ids::DEFAULT_DATABASE;
use crate::rbac::{ANY, ON_A_COLLECTION, rename};
use std::collections::{BTreeMap, BTreeSet};

/// The prefix of each privilege's name in etcd; requests omit it. Source: `util.PrivilegeWord`.
const PRIVILEGE: &str = "Privilege";

/// The prefix of a privilege group's name in the record of a grant, since 2.4. No privilege begins
/// with it. Source: `util.PrivilegeGroupWord`.
const GROUP: &str = "Group";

/// Roles by name.
pub type Roles = BTreeMap<String, Role>;

/// The grants and the members of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Its grants.
    pub grants: BTreeSet<Grant>,
    /// Its members: users.
    pub members: BTreeSet<String>,
}

/// A privilege on something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `Collection`, `Global` or `User`.
    pub object_type: String,
    /// The database; `*` for all.
    pub database: String,
    /// The collection or the user; `*` for all.
    pub object: String,
    /// Its name as in requests (`Search`); `*` for all; for a privilege group `Group` and its name.
    pub privilege: String,
}

impl Grant {
    /// The same grant with the target's names, as
    /// [`RbacRequest::rename`](crate::rbac::RbacRequest::rename) gives them to a request.
    #[must_use]
    pub fn renamed(mut self, f: impl Fn(&str, &str) -> (String, String)) -> Self {
        let is_on_a_collection = self.object_type == ON_A_COLLECTION;
        rename(&mut self.database, is_on_a_collection.then_some(&mut self.object), f);
        self
    }

    /// Whether it grants a privilege group, which exist since 2.4.
    pub fn is_of_a_group(&self) -> bool {
        self.privilege.starts_with(GROUP)
    }

    /// Whether a request that names this privilege or group is about this grant.
    pub fn is_called(&self, name: &str) -> bool {
        self.privilege == name || self.privilege.strip_prefix(GROUP) == Some(name)
    }
}

/// The object of grants of a role. The privileges have records of their own, under an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grantee {
    /// The role.
    pub role: String,
    /// As in [`Grant`].
    pub object_type: String,
    /// As in [`Grant`].
    pub database: String,
    /// As in [`Grant`].
    pub object: String,
    /// The id of its privileges.
    pub id: String,
}

/// Decodes a member: the user and the role. Source: `rootcoord.Catalog.AlterUserRole`.
pub fn decode_member(key: &str) -> Result<(String, String), DecodeError> {
    const WHAT: &str = "the key of a user's role";
    let [user, role] = parts(WHAT, "user and role", key)?;
    Ok((user, role))
}

/// Decodes the object of grants of a role. Source: `rootcoord.Catalog.AlterGrant`, whose id is a
/// hash, and `funcutil.SplitObjectName`: before Milvus had databases, an object was stored without
/// one.
pub fn decode_grantee(key: &str, value: &[u8]) -> Result<Grantee, DecodeError> {
    const WHAT: &str = "a record of grants";
    let [role, object_type, object] = parts(WHAT, "role, type and object in its key", key)?;
    let (database, object) = match object.split_once('.') {
        Some((database, object)) => (database.to_owned(), object.to_owned()),
        None => (DEFAULT_DATABASE.to_owned(), object),
    };
    match std::str::from_utf8(value) {
        Ok(id) if !id.is_empty() => {
            Ok(Grantee { role, object_type, database, object, id: id.to_owned() })
        }
        _ => Err(DecodeError::Missing { message: WHAT, what: "id" }),
    }
}

/// Decodes a privilege and the id of its object. Source: `rootcoord.Catalog.AlterGrant`; the value
/// is the user who granted it.
pub fn decode_privilege(key: &str) -> Result<(String, String), DecodeError> {
    const WHAT: &str = "the key of a privilege";
    let [id, privilege] = parts(WHAT, "id and privilege", key)?;
    if privilege == ANY {
        return Ok((id, privilege));
    }
    match privilege.strip_prefix(PRIVILEGE) {
        Some(name) if !name.is_empty() => Ok((id, name.to_owned())),
        _ => Err(DecodeError::Missing { message: WHAT, what: "name of a privilege" }),
    }
}

/// Assembles roles from their records. Records of a role that does not exist are omitted, and so
/// are privileges without an object: 2.3 leaves them behind (`rootcoord.Catalog.DeleteGrant`).
pub fn assemble(
    names: impl IntoIterator<Item = String>,
    members: impl IntoIterator<Item = (String, String)>,
    grantees: impl IntoIterator<Item = Grantee>,
    privileges: impl IntoIterator<Item = (String, String)>,
) -> Roles {
    let mut roles: Roles = names.into_iter().map(|name| (name, Role::default())).collect();
    for (user, role) in members {
        if let Some(role) = roles.get_mut(&role) {
            role.members.insert(user);
        }
    }
    let mut by_id: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, privilege) in privileges {
        by_id.entry(id).or_default().push(privilege);
    }
    for grantee in grantees {
        let Some(role) = roles.get_mut(&grantee.role) else { continue };
        for privilege in by_id.get(&grantee.id).into_iter().flatten() {
            role.grants.insert(Grant {
                object_type: grantee.object_type.clone(),
                database: grantee.database.clone(),
                object: grantee.object.clone(),
                privilege: privilege.clone(),
            });
        }
    }
    roles
}

/// The parts of a key, none of them empty.
fn parts<const N: usize>(
    message: &'static str,
    what: &'static str,
    key: &str,
) -> Result<[String; N], DecodeError> {
    let parts: Vec<String> = key.split('/').map(str::to_owned).collect();
    let is_whole = parts.iter().all(|part| !part.is_empty());
    let parts = parts.try_into().ok().filter(|_| is_whole);
    parts.ok_or(DecodeError::Missing { message, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &[u8] = b"0b79fe4a7ef6fbcdd5a4f8f1ec1a2b2e";

    fn grant(object_type: &str, database: &str, object: &str, privilege: &str) -> Grant {
        Grant {
            object_type: object_type.into(),
            database: database.into(),
            object: object.into(),
            privilege: privilege.into(),
        }
    }

    fn privilege(id: &str, name: &str) -> (String, String) {
        decode_privilege(&format!("{id}/{name}")).unwrap()
    }

    #[test]
    fn roles_are_put_together_of_their_records_and_leftovers_are_left_out() {
        let grantees = [
            decode_grantee("reader/Collection/shop.titles", b"a").unwrap(),
            decode_grantee("reader/Collection/old", b"b").unwrap(),
            decode_grantee("public/Global/*.*", b"c").unwrap(),
            decode_grantee("reader/User/default.ann", b"nothing left").unwrap(),
            decode_grantee("gone/Collection/shop.titles", b"d").unwrap(),
        ];
        let privileges = [
            privilege("a", "PrivilegeSearch"),
            privilege("a", "PrivilegeQuery"),
            privilege("b", "*"),
            privilege("c", "PrivilegeGroupReadOnly"),
            privilege("d", "PrivilegeLoad"),
            privilege("left behind", "PrivilegeLoad"),
        ];
        let members = [decode_member("ann/reader").unwrap(), decode_member("ann/gone").unwrap()];
        let names = ["public", "reader"].map(str::to_owned);
        let roles = assemble(names, members, grantees, privileges);
        let reader = Role {
            grants: BTreeSet::from([
                grant("Collection", "shop", "titles", "Search"),
                grant("Collection", "shop", "titles", "Query"),
                grant("Collection", "default", "old", "*"),
            ]),
            members: BTreeSet::from(["ann".to_owned()]),
        };
        let of_a_group = grant("Global", "*", "*", "GroupReadOnly");
        assert!(of_a_group.is_of_a_group() && of_a_group.is_called("ReadOnly"));
        let public = Role { grants: BTreeSet::from([of_a_group]), ..Role::default() };
        let expected = [("public".to_owned(), public), ("reader".to_owned(), reader)];
        assert_eq!(roles, Roles::from(expected));
    }

    #[test]
    fn a_privilege_is_called_as_requests_name_it() {
        let search = grant("Collection", "d", "c", "Search");
        assert!(search.is_called("Search") && !search.is_called("Query"));
        assert!(!search.is_of_a_group());
        assert!(!grant("Collection", "d", "c", "GetLoadState").is_of_a_group());
    }

    #[test]
    fn a_key_of_another_depth_and_a_grant_without_an_id_are_not_read() {
        for key in ["", "ann", "ann/", "ann/reader/more"] {
            assert!(decode_member(key).is_err(), "{key}");
        }
        for key in ["reader/Collection", "reader/Collection/shop.titles/more", "reader//titles"] {
            assert!(decode_grantee(key, ID).is_err(), "{key}");
        }
        assert!(decode_grantee("reader/Collection/titles", b"").is_err());
        assert!(decode_grantee("reader/Collection/titles", &[0xff]).is_err());
        for key in ["a", "a/Search", "a/Privilege"] {
            assert!(decode_privilege(key).is_err(), "{key}");
        }
    }
}
