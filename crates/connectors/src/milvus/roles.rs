//! Reads the users of a target, its roles and their grants. Never changes them.

use super::client::Client;
use milvus_wire::proto::milvus as pb;
use milvus_wire::roles::{Grant, Role};
use replication::error::Result;
use std::collections::BTreeSet;

/// The users.
pub(super) async fn users(client: &Client) -> Result<BTreeSet<String>> {
    let request = pb::ListCredUsersRequest::default();
    let listed = client.ask("", request, async |mut c, r| c.list_cred_users(r).await).await;
    let listed = listed.map_err(|fault| client.error("list users", fault))?;
    Ok(listed.usernames.into_iter().collect())
}

/// A role with its grants in these databases; `None` if there is no such role.
pub(super) async fn role(
    client: &Client,
    name: &str,
    databases: &BTreeSet<&str>,
) -> Result<Option<Role>> {
    let request = pb::SelectRoleRequest {
        role: Some(entity(name)),
        include_user_info: true,
        ..Default::default()
    };
    let found = client.ask("", request, async |mut c, r| c.select_role(r).await).await;
    let found = match found {
        Err(fault) if fault.no_such_user_or_role() => return Ok(None),
        found => found.map_err(|fault| client.error(&format!("describe role {name}"), fault))?,
    };
    let is_it = |found: &pb::RoleResult| found.role.as_ref().is_some_and(|it| it.name == name);
    let Some(found) = found.results.into_iter().find(is_it) else { return Ok(None) };
    let members = found.users.into_iter().map(|user| user.name).collect();
    let mut grants = BTreeSet::new();
    for database in databases {
        grants.extend(self::grants(client, name, database).await?);
    }
    Ok(Some(Role { grants, members }))
}

/// The grants of a role in a database. 2.3 answers for one database at a time
/// (`rootcoord.Catalog.ListGrant`).
async fn grants(client: &Client, role: &str, database: &str) -> Result<Vec<Grant>> {
    let about = pb::GrantEntity {
        role: Some(entity(role)),
        db_name: database.to_owned(),
        ..Default::default()
    };
    let request = pb::SelectGrantRequest { entity: Some(about), ..Default::default() };
    let found = client.ask("", request, async |mut c, r| c.select_grant(r).await).await;
    let found = match found {
        // The role was dropped in between.
        Err(fault) if fault.no_such_user_or_role() => return Ok(Vec::new()),
        found => found.map_err(|f| client.error(&format!("list the grants of role {role}"), f))?,
    };
    Ok(found.entities.into_iter().map(grant).collect())
}

fn entity(role: &str) -> pb::RoleEntity {
    pb::RoleEntity { name: role.to_owned(), ..Default::default() }
}

fn grant(found: pb::GrantEntity) -> Grant {
    let privilege = found.grantor.and_then(|grantor| grantor.privilege);
    Grant {
        object_type: found.object.map(|object| object.name).unwrap_or_default(),
        database: found.db_name,
        object: found.object_name,
        privilege: privilege.map(|privilege| privilege.name).unwrap_or_default(),
    }
}
