//! Lets a target follow in the aliases of one collection. An alias belongs to one collection, so
//! following one collection must not undo another's: an alias is taken only from where it is, and
//! one that has moved is moved, whichever of the two collections is looked at first. Never touches
//! an alias on the target that the task has not given.

use crate::context::Context;
use crate::error::Result;
use crate::metadata::aliases::Aliases;
use crate::metadata::asking::Asking;
use crate::metadata::serving_state::ServingState;
use crate::ports::Ddl;
use crate::records::checkpoint::ReplicatedCollection;
use crate::records::keys::serving_key;
use milvus_wire::ids::{CollectionId, CollectionName};

/// What has come of an alias that a collection was to be given.
enum Giving {
    Yes,
    /// The target still has the name for a collection of the task.
    Waits,
    Refused,
}

/// Lets the target follow from `before` to `now`, and makes `now` what has come of it. Returns
/// whether that is all.
pub(super) async fn follow_aliases(
    asking: &Asking,
    collection: &ReplicatedCollection,
    before: &Aliases,
    now: &mut Aliases,
) -> Result<bool> {
    let new: Vec<_> = before.new_in(now).cloned().collect();
    let had = before.given.union(&before.giving);
    let lost: Vec<_> = had.filter(|alias| !now.given.contains(*alias)).cloned().collect();
    now.refused = before.refused.intersection(&now.given).cloned().collect();
    now.given.retain(|alias| !now.refused.contains(alias));
    if new.is_empty() && lost.is_empty() {
        return Ok(true);
    }
    let name = collection.on_target(&asking.context.task.names);
    let Some(here) = asking.target().describe(&name).await? else {
        // The rows have moved on; it is looked at again.
        now.clone_from(before);
        return Ok(false);
    };
    let mut is_all = true;
    for alias in new {
        match give(asking, collection, here.id, &alias).await? {
            Giving::Yes => continue,
            Giving::Waits => is_all = false,
            Giving::Refused => {
                now.refused.insert(alias.clone());
            }
        }
        now.given.remove(&alias);
    }
    for alias in lost {
        if asking.target().alias(&name.database, &alias).await? == Some(here.id)
            && !take(asking, collection, &alias).await?
        {
            now.given.insert(alias);
            is_all = false;
        }
    }
    Ok(is_all)
}

/// Gives an alias to a collection, which the target has under this id.
async fn give(
    asking: &Asking,
    collection: &ReplicatedCollection,
    here: CollectionId,
    alias: &str,
) -> Result<Giving> {
    let context = &asking.context;
    let name = collection.on_target(&context.task.names);
    let alias_name = CollectionName::new(&*name.database, alias);
    let holder = asking.target().alias(&name.database, alias).await?;
    if holder == Some(here) {
        return Ok(Giving::Yes);
    }
    if let Some(holder) = holder {
        let by = given_by(context, &alias_name, holder).await?;
        if !by.into_iter().any(|given| given != collection.id) {
            let why = "another collection has it, not from this task";
            asking.refused("AlterAlias", alias, &why);
            return Ok(Giving::Refused);
        }
    } else if is_name_of_a_collection(context, &alias_name).await? {
        // The source has renamed or dropped that collection, which comes with the rows.
        return Ok(Giving::Waits);
    }
    let request = Ddl::GiveAlias { collection: name, alias: alias.to_owned() };
    Ok(if asking.ask(request).await? { Giving::Yes } else { Giving::Refused })
}

/// Takes an alias from a collection: it is dropped, or moved to the collection that has it now.
/// Returns whether that could be done.
async fn take(asking: &Asking, collection: &ReplicatedCollection, alias: &str) -> Result<bool> {
    let names = &asking.context.task.names;
    let request = match moved_to(&asking.context, collection, alias).await? {
        // The other collection may have had it before, and so have nothing to ask for.
        Some(other) if other.is_live() && other.naming.next.is_none() => {
            // In the database of the one that had it.
            let database = collection.on_target(names).database;
            let collection = CollectionName { database, ..other.on_target(names) };
            Ddl::GiveAlias { collection, alias: alias.to_owned() }
        }
        Some(_) => return Ok(false),
        None => {
            let database = collection.on_target(names).database;
            Ddl::DropAlias { database, alias: alias.to_owned() }
        }
    };
    asking.ask(request).await?;
    Ok(true)
}

/// Another collection of the task that has an alias on the source now.
async fn moved_to(
    context: &Context,
    collection: &ReplicatedCollection,
    alias: &str,
) -> Result<Option<ReplicatedCollection>> {
    let aliases = context.ports.catalog.aliases().await?;
    let others = aliases.iter().filter(|a| a.name == alias && a.collection != collection.id);
    for other in others {
        let other = context.records().collection(other.collection).await?;
        let other = other.map(|(other, _)| other);
        let other = other.filter(|other| other.database == collection.database);
        if other.is_some() {
            return Ok(other);
        }
    }
    Ok(None)
}

/// Whether the target calls a collection of the task so.
async fn is_name_of_a_collection(context: &Context, name: &CollectionName) -> Result<bool> {
    let collections = context.records().collections().await?;
    Ok(collections.iter().any(|c| c.on_target(&context.task.names) == *name))
}

/// The collections to which the task may have given an alias that `holder` has on the target. It
/// may have it from somebody else.
pub(crate) async fn given_by(
    context: &Context,
    alias: &CollectionName,
    holder: CollectionId,
) -> Result<Vec<CollectionId>> {
    let mut given = Vec::new();
    for collection in context.records().collections().await? {
        let key = serving_key(&context.task.id, collection.id);
        let state: Option<ServingState> = context.records().load(&key).await?;
        let has = state.is_some_and(|state| state.aliases.may_have(&alias.name));
        let is_there = collection.on_target(&context.task.names).database == alias.database;
        if has && is_there && collection.may_be(holder) {
            given.push(collection.id);
        }
    }
    Ok(given)
}
