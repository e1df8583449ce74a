//! Lets a target follow in roles, grants and members, because Milvus 2.3 does not log requests on
//! them. Later versions log them; the op channel carries those out after a look here, so that a
//! late request undoes nothing. Never creates users: the catalog has only a hash of their
//! passwords, which no request of a Milvus 2.3 takes. Never takes from the target what the task has
//! not given.

use crate::context::Context;
use crate::error::Result;
use crate::metadata::asking::Asking;
use crate::metadata::rights::{self, Given, Right, rights, wanted};
use crate::observer::Noted;
use crate::ports::Transaction;
use crate::records::codec::encode;
use crate::records::keys::access_prefix;
use milvus_wire::rbac::RbacRequest;
use milvus_wire::roles::Roles;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After this pause a user that the target still lacks is reported. A user that the op channel
/// brings is there before.
const REPORT_AFTER: Duration = Duration::from_secs(4);

/// Roles, and the users that the target lacks for them.
pub(super) type Lacking = BTreeSet<(String, String)>;

/// Looks at the roles after this pause. Returns whether the target follows, as far as it will.
/// `reported`: what was reported as lacking already.
pub(super) async fn look(asking: &Asking, reported: &mut Lacking, pause: Duration) -> Result<bool> {
    let roles = asking.context.ports.catalog.roles().await?;
    let lacking = follow(asking, &roles).await?;
    reported.retain(|before| lacking.contains(before));
    if pause >= REPORT_AFTER {
        for (role, user) in lacking.difference(reported) {
            tracing::warn!(
                user,
                role,
                "the target does not have a user who has a role on the source; create the user \
                 there with a password, the role follows"
            );
            asking.context.count(Noted::UserAwaited);
        }
        reported.clone_from(&lacking);
    }
    Ok(lacking.is_empty())
}

/// Lets the target follow first, so that what a logged request asks for is known as given. Returns
/// whether the request is still what the source has.
pub(super) async fn agrees(asking: &Asking, request: &RbacRequest) -> Result<bool> {
    let roles = asking.context.ports.catalog.roles().await?;
    follow(asking, &roles).await?;
    Ok(rights::agrees(&roles, request))
}

/// Lets the target follow in all roles.
async fn follow(asking: &Asking, roles: &Roles) -> Result<Lacking> {
    let context = &asking.context;
    let mut wanted = wanted(roles, &context.task.names);
    let stored: Vec<(String, Given)> =
        context.records().list(&access_prefix(&context.task.id)).await?;
    let mut stored: BTreeMap<String, Given> = stored.into_iter().collect();
    for role in stored.keys() {
        wanted.entry(role.clone()).or_default();
    }
    let mut lacking = Lacking::new();
    for (role, wanted) in wanted {
        let before = stored.remove(&role).unwrap_or_default();
        let users = follow_role(asking, &role, &before, &wanted).await?;
        lacking.extend(users.into_iter().map(|user| (role.clone(), user)));
    }
    Ok(lacking)
}

/// Lets the target follow in one role. Returns the users that it lacks.
async fn follow_role(
    asking: &Asking,
    role: &str,
    before: &Given,
    wanted: &BTreeSet<Right>,
) -> Result<BTreeSet<String>> {
    let mut new = before.new_in(wanted);
    let mut now = Given {
        given: before.given.intersection(wanted).cloned().collect(),
        giving: BTreeSet::new(),
        refused: before.refused.intersection(wanted).cloned().collect(),
    };
    if !new.is_empty() {
        let has = on_target(asking, role, &new).await?;
        // What it has although it was not asked for is its own.
        let ours = new.iter().filter(|right| has.contains(right) && before.giving.contains(right));
        now.given.extend(ours.cloned());
        new.retain(|right| !has.contains(right));
    }
    let lacking = lacking_users(asking, &new).await?;
    new.retain(|right| !matches!(right, Right::Member(user) if lacking.contains(user)));
    let lost = before.lost(wanted);
    let giving = before.giving.iter().chain(&new).chain(&lost).cloned().collect();
    let about = Given { giving, ..now.clone() };
    if about != *before {
        store(&asking.context, role, &about).await?;
    }
    // In the opposite order: a role is dropped last.
    for right in lost.iter().rev() {
        asking.ask(right.request(role, false)).await?;
    }
    for right in new {
        let is_given = asking.ask(right.request(role, true)).await?;
        let kept = if is_given { &mut now.given } else { &mut now.refused };
        kept.insert(right);
    }
    if now != about {
        store(&asking.context, role, &now).await?;
    }
    Ok(lacking)
}

/// What the target has of a role, in the databases that these rights are about.
async fn on_target(asking: &Asking, role: &str, new: &BTreeSet<Right>) -> Result<BTreeSet<Right>> {
    let databases = new.iter().filter_map(|right| match right {
        Right::Grant { database, .. } => Some(&**database),
        _ => None,
    });
    let has = asking.target().role(role, &databases.collect()).await?;
    Ok(has.map(rights).unwrap_or_default())
}

/// Who of those that are to be given a role are no users of the target.
async fn lacking_users(asking: &Asking, new: &BTreeSet<Right>) -> Result<BTreeSet<String>> {
    let members = new.iter().filter_map(|right| match right {
        Right::Member(user) => Some(user.clone()),
        _ => None,
    });
    let mut lacking: BTreeSet<String> = members.collect();
    if !lacking.is_empty() {
        let users = asking.target().users().await?;
        lacking.retain(|user| !users.contains(user));
    }
    Ok(lacking)
}

async fn store(context: &Context, role: &str, given: &Given) -> Result<()> {
    let key = format!("{}{role}", access_prefix(&context.task.id));
    let mut stored = Transaction::default();
    if given.is_empty() {
        stored.deletes.push(key);
    } else {
        stored.puts.push((key, encode(given)));
    }
    context.records().commit(stored).await
}
