//! Roles on both sides: what the source does with them at random, and what the target is asked for.
//! Never logs anything, as a Milvus 2.3.

use crate::faults::Verdict;
use milvus_wire::proto::milvus as pb;
use milvus_wire::rbac::RbacRequest;
use milvus_wire::roles::{Grant, Role, Roles};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const ROLES: [&str; 3] = ["reader", "writer", "its own"];
const USERS: [&str; 3] = ["ann", "bob", "late"];
const PRIVILEGES: [&str; 3] = ["Search", "Insert", "Load"];

/// The roles of source and target.
#[derive(Clone)]
pub(crate) struct SimulatedRoles(Arc<Mutex<Sides>>);

struct Sides {
    rng: fastrand::Rng,
    source: Roles,
    target: Roles,
    /// What the target had from the beginning, and nobody may take from it.
    own: (String, Role),
    users: BTreeSet<String>,
    verdict: Verdict,
}

impl SimulatedRoles {
    pub(crate) fn new(seed: u64, verdict: Verdict) -> Self {
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        let own = Role { grants: BTreeSet::from([grant("Load")]), members: set("ann") };
        let own = (ROLES[2].to_owned(), own);
        Self(Arc::new(Mutex::new(Sides {
            rng: fastrand::Rng::with_seed(seed ^ 0xacce55),
            source: Roles::new(),
            target: Roles::from([own.clone()]),
            own,
            users: USERS[..2].iter().map(|user| (*user).to_owned()).collect(),
            verdict,
        })))
    }

    /// The source's roles.
    pub(crate) fn source(&self) -> Roles {
        self.0.lock().unwrap().source.clone()
    }

    /// The source gets a role.
    pub(crate) fn create_role(&self, name: &str) {
        self.0.lock().unwrap().source.insert(name.to_owned(), Role::default());
    }

    /// The source loses a role.
    pub(crate) fn drop_role(&self, name: &str) {
        self.0.lock().unwrap().source.remove(name);
    }

    /// A role of the target.
    pub(crate) fn role(&self, name: &str) -> Option<Role> {
        self.0.lock().unwrap().target.get(name).cloned()
    }

    /// The target's users.
    pub(crate) fn users(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().users.clone()
    }

    /// A user comes to the target.
    pub(crate) fn make_user(&self, name: &str) {
        self.0.lock().unwrap().users.insert(name.to_owned());
    }

    /// One random act of the source, now and then; returns whether there was one.
    pub(crate) fn act(&self) -> bool {
        let mut sides = self.0.lock().unwrap();
        let Sides { rng, source, users, .. } = &mut *sides;
        if rng.u8(0..4) > 0 {
            return false;
        }
        let name = ROLES[rng.usize(0..ROLES.len())];
        let Some(role) = source.get_mut(name) else {
            source.insert(name.to_owned(), Role::default());
            return true;
        };
        match rng.u8(0..12) {
            0 => drop(source.remove(name)),
            1 => drop(users.insert(USERS[2].to_owned())),
            2..5 => toggle(&mut role.members, USERS[rng.usize(0..USERS.len())].to_owned()),
            _ => toggle(&mut role.grants, grant(PRIVILEGES[rng.usize(0..PRIVILEGES.len())])),
        }
        true
    }

    /// Carries out a request at the target.
    pub(crate) fn apply(&self, request: &RbacRequest) {
        let mut sides = self.0.lock().unwrap();
        let Sides { target, own, users, verdict, .. } = &mut *sides;
        match request {
            RbacRequest::CreateRole(request) => {
                target.entry(request.entity.clone().unwrap().name).or_default();
            }
            RbacRequest::DropRole(request) => {
                let dropped = target.remove(&request.role_name).unwrap_or_default();
                if !dropped.grants.is_empty() {
                    verdict.violated(format!("{} was dropped with grants", request.role_name));
                }
            }
            RbacRequest::OperateUserRole(request) => {
                let adds = request.r#type() == pb::OperateUserRoleType::AddUserToRole;
                let user = request.username.clone();
                match target.get_mut(&request.role_name) {
                    Some(role) if !adds => drop(role.members.remove(&user)),
                    Some(role) if users.contains(&user) => drop(role.members.insert(user)),
                    _ if adds => verdict.violated(format!("asked for a user too early: {user}")),
                    _ => {}
                }
            }
            RbacRequest::OperatePrivilege(request) => {
                let grants = request.r#type() == pb::OperatePrivilegeType::Grant;
                let entity = request.entity.clone().unwrap();
                let granted = grant(&entity.grantor.unwrap().privilege.unwrap().name);
                match target.get_mut(&entity.role.unwrap().name) {
                    Some(role) if grants => drop(role.grants.insert(granted)),
                    Some(role) => drop(role.grants.remove(&granted)),
                    None if grants => verdict.violated(format!("no role for {granted:?}")),
                    None => {}
                }
            }
            other => verdict.violated(format!("asked for {other:?}")),
        }
        let has = |role: &Role| {
            own.1.grants.is_subset(&role.grants) && own.1.members.is_subset(&role.members)
        };
        if !target.get(&own.0).is_some_and(has) {
            verdict.violated(format!("the target has lost its own by {request:?}"));
        }
    }

    /// What differs from the source and what the target had; `None` if nothing does.
    pub(crate) fn difference(&self) -> Option<String> {
        let sides = self.0.lock().unwrap();
        let mut expected = sides.source.clone();
        for role in expected.values_mut() {
            role.members.retain(|user| sides.users.contains(user));
        }
        let (name, own) = sides.own.clone();
        let role = expected.entry(name).or_default();
        role.grants.extend(own.grants);
        role.members.extend(own.members);
        let target = &sides.target;
        (*target != expected).then(|| format!("roles: expected {expected:?}, found {target:?}"))
    }
}

fn grant(privilege: &str) -> Grant {
    Grant {
        object_type: "Collection".into(),
        database: "default".into(),
        object: "c".into(),
        privilege: privilege.into(),
    }
}

fn toggle<T: Ord>(set: &mut BTreeSet<T>, value: T) {
    if !set.remove(&value) {
        set.insert(value);
    }
}
