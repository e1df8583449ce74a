//! Roles, what each may do and who has it, which the target is given as the source's catalog has them: a
//! Milvus 2.3 logs no request on them. What later ones log is carried out by `ops` as well, after a look
//! here, so that what comes late undoes nothing.
//! Never makes users: the catalog has only a hash of their passwords, which no request of a 2.3 takes. Never takes
//! from the target what the task has not given.

use crate::destination::Destination;
use crate::error::Result;
use crate::metadata::follower::Follower;
use crate::metadata::rights::{Given, Right, agrees, rights, wanted};
use crate::ports::Transaction;
use crate::records::codec::{decode, encode};
use crate::records::keys::access_prefix;
use milvus_wire::access::AccessRequest;
use milvus_wire::roles::Roles;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After this pause a user that the target still lacks is told of. One that the op channel brings is there
/// before.
const TELL_AFTER: Duration = Duration::from_secs(4);

impl Follower {
    /// Looks at the roles after this pause. Returns whether the target follows, as far as it will.
    pub(crate) async fn look_at_access(&mut self, pause: Duration) -> Result<bool> {
        let roles = self.ports.catalog.roles().await?;
        let awaited = self.follow_access(&roles).await?;
        self.awaited.retain(|told| awaited.contains(told));
        if pause >= TELL_AFTER {
            for (role, user) in awaited.difference(&self.awaited) {
                tracing::warn!(
                    user,
                    role,
                    "the target does not have a user who has a role on the source; create the user \
                     there with a password, the role follows"
                );
                self.count("user_awaited");
            }
            self.awaited.clone_from(&awaited);
        }
        Ok(awaited.is_empty())
    }

    /// Lets the target follow first, so that what a logged request asks for is known as given; then says
    /// whether the request is still what the source has.
    pub(crate) async fn agrees_on_access(&self, request: &AccessRequest) -> Result<bool> {
        let roles = self.ports.catalog.roles().await?;
        self.follow_access(&roles).await?;
        Ok(agrees(&roles, request))
    }

    /// Lets the target follow in all roles. Returns the roles and the users that it lacks for them.
    async fn follow_access(&self, roles: &Roles) -> Result<BTreeSet<(String, String)>> {
        let mut wanted = wanted(roles, &self.task.names);
        let prefix = access_prefix(&self.task.id);
        let mut stored: BTreeMap<String, Given> = BTreeMap::new();
        for (key, record) in self.ports.store.list(&prefix).await? {
            let role = key.strip_prefix(&prefix).unwrap_or(&key);
            stored.insert(role.to_owned(), decode(&key, &record.value)?);
            wanted.entry(role.to_owned()).or_default();
        }
        let mut awaited = BTreeSet::new();
        for (role, wanted) in wanted {
            let before = stored.remove(&role).unwrap_or_default();
            let users = self.follow_role(&role, &before, &wanted).await?;
            awaited.extend(users.into_iter().map(|user| (role.clone(), user)));
        }
        Ok(awaited)
    }

    /// Lets the target follow in one role. Returns the users that it lacks.
    async fn follow_role(
        &self,
        role: &str,
        before: &Given,
        wanted: &BTreeSet<Right>,
    ) -> Result<BTreeSet<String>> {
        let Destination::Milvus(link) = &self.ports.destination else { return Ok(BTreeSet::new()) };
        let mut new = before.new_in(wanted);
        let mut now = Given {
            given: before.given.intersection(wanted).cloned().collect(),
            giving: BTreeSet::new(),
            refused: before.refused.intersection(wanted).cloned().collect(),
        };
        if !new.is_empty() {
            let databases = new.iter().filter_map(|right| match right {
                Right::Grant { database, .. } => Some(&**database),
                _ => None,
            });
            let has = link.target.role(role, &databases.collect()).await?.map(rights);
            let has = has.unwrap_or_default();
            // What it has although it was not asked for is its own.
            let ours =
                new.iter().filter(|right| has.contains(right) && before.giving.contains(right));
            now.given.extend(ours.cloned());
            new.retain(|right| !has.contains(right));
        }
        let lacks = self.users_lacking(&new).await?;
        new.retain(|right| !matches!(right, Right::Member(user) if lacks.contains(user)));
        let lost = before.lost(wanted);
        let giving = before.giving.iter().chain(&new).chain(&lost).cloned().collect();
        let about = Given { giving, ..now.clone() };
        if about != *before {
            self.store_given(role, &about).await?;
        }
        // In the opposite order: a role is dropped last.
        for right in lost.iter().rev() {
            self.ask(right.request(role, false)).await?;
        }
        for right in new {
            let given = self.ask(right.request(role, true)).await?;
            if given {
                now.given.insert(right)
            } else {
                now.refused.insert(right)
            };
        }
        if now != about {
            self.store_given(role, &now).await?;
        }
        Ok(lacks)
    }

    /// Who of those that are to be given a role are no users of the target.
    async fn users_lacking(&self, new: &BTreeSet<Right>) -> Result<BTreeSet<String>> {
        let mut lacking: BTreeSet<String> = new
            .iter()
            .filter_map(|right| match right {
                Right::Member(user) => Some(user.clone()),
                _ => None,
            })
            .collect();
        if let (Destination::Milvus(link), false) = (&self.ports.destination, lacking.is_empty()) {
            let users = link.target.users().await?;
            lacking.retain(|user| !users.contains(user));
        }
        Ok(lacking)
    }

    async fn store_given(&self, role: &str, given: &Given) -> Result<()> {
        let key = format!("{}{role}", access_prefix(&self.task.id));
        let mut stored = Transaction::default();
        if given.is_empty() {
            stored.deletes.push(key);
        } else {
            stored.puts.push((key, encode(given)));
        }
        let lease = self.ports.destination.lease();
        lease.commit_of(&*self.ports.store, &self.task.id, stored).await
    }
}
