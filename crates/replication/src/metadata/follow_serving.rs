//! Lets a target follow in how one collection is served: its indexes, load, properties and aliases.
//! The target gets the difference between what the catalog says and what was carried over last,
//! which is stored. Never changes anything behind the back of the rows: its record is stored only
//! if theirs has not changed meanwhile.

use crate::context::Context;
use crate::error::Result;
use crate::metadata::asking::Asking;
use crate::metadata::follow_aliases::follow_aliases;
use crate::metadata::serving_state::{ServingChange, ServingState, changes};
use crate::ports::{Committed, Transaction};
use crate::records::checkpoint::ReplicatedCollection;
use crate::records::keys::{collection_key, serving_key};
use milvus_wire::catalog::State;
use milvus_wire::ids::{CollectionId, PartitionId};
use std::collections::BTreeMap;

/// How a look ended.
pub(super) enum Looked {
    /// The target follows, as far as it will.
    Done,
    /// The target does not have all of it yet.
    Awaits,
    /// The catalog may just be changing: this was seen.
    Changing(ServingState),
}

impl Looked {
    /// Done if that is all, else the target awaits the rest.
    pub(super) fn all_or_awaits(is_all: bool) -> Self {
        if is_all { Self::Done } else { Self::Awaits }
    }
}

/// How a collection of the source is served; `None`: it is gone.
pub(super) async fn read(context: &Context, id: CollectionId) -> Result<Option<ServingState>> {
    let catalog = &*context.ports.catalog;
    // In this order: a partition is there after it is loaded with its collection, and a collection
    // is marked as dropped before what serves it is taken away. Source:
    // `createPartitionTask.Execute`, `dropCollectionTask.Execute`.
    let partitions = catalog.partitions(id).await?;
    let serving = catalog.serving(id).await?;
    let aliases = catalog.aliases().await?;
    let collection = catalog.collection(id).await?.filter(|c| c.state == State::Created);
    Ok(collection.map(|it| ServingState::new(&it, &partitions, &serving, &aliases)))
}

/// Lets the target follow in one collection. `seen`: what the last look saw, if that may not have
/// been complete.
pub(super) async fn follow(
    asking: &Asking,
    id: CollectionId,
    seen: Option<&ServingState>,
) -> Result<Looked> {
    let context = &asking.context;
    let Some((collection, version)) = context.records().collection(id).await? else {
        return await_rows(context, id).await;
    };
    // What the source has dropped is dropped on the target in the order of the rows.
    let Some(now) = read(context, id).await? else { return Ok(Looked::Done) };
    if !collection.is_live() || collection.naming.next.is_some() {
        return Ok(Looked::Awaits);
    }
    let name = collection.on_target(&context.task.names);
    let there = asking.target().describe(&name).await?;
    if !there.as_ref().is_some_and(|there| collection.may_be(there.id)) {
        return Ok(Looked::Awaits);
    }
    let (mut now, mut is_all) = as_far_as_there(asking, now, &collection).await?;
    let before: Option<ServingState> =
        context.records().load(&serving_key(&context.task.id, id)).await?;
    let had = match &before {
        Some(before) => before.clone(),
        None => as_created(there.map(|there| there.properties), &now),
    };
    let changes = changes(Some(&had), &now);
    if changes.iter().any(ServingChange::is_of_load) && seen != Some(&now) {
        return Ok(Looked::Changing(now));
    }
    // The rows may have dropped the collection on the target by now.
    let unchanged = (collection_key(&context.task.id, id), version);
    if let Some(giving) = had.aliases.before_giving(&now.aliases) {
        let about = ServingState { aliases: giving, ..had.clone() };
        if store(context, id, &about, unchanged.clone()).await? == Committed::Conflict {
            return Ok(Looked::Awaits);
        }
    }
    is_all &= follow_aliases(asking, &collection, &had.aliases, &mut now.aliases).await?;
    let done = Looked::all_or_awaits(is_all);
    if before.as_ref() == Some(&now) {
        return Ok(done);
    }
    for change in changes {
        asking.ask(change.request(&name)).await?;
    }
    match store(context, id, &now, unchanged).await? {
        Committed::Yes => Ok(done),
        Committed::Conflict => Ok(Looked::Awaits),
    }
}

/// What is known of a collection of which nothing has been carried over: its properties came with
/// its creation, and what only the target has stays.
fn as_created(there: Option<BTreeMap<String, String>>, now: &ServingState) -> ServingState {
    let mut properties = there.unwrap_or_default();
    properties.retain(|key, _| now.properties.contains_key(key));
    ServingState { properties, ..ServingState::default() }
}

async fn store(
    context: &Context,
    id: CollectionId,
    state: &ServingState,
    unchanged: (String, u64),
) -> Result<Committed> {
    let mut carried = Transaction::default();
    state.put(&context.task.id, id, &mut carried);
    carried.conditions.push(unchanged);
    context.records().commit_if(carried).await
}

/// A collection that the rows do not know: they may come to it, or it is none of the task's.
async fn await_rows(context: &Context, id: CollectionId) -> Result<Looked> {
    let collection = context.ports.catalog.collection(id).await?;
    let is_selected = collection.filter(|c| c.state == State::Created).is_some_and(|collection| {
        context.task.selection.find(&collection.database, collection.name()).is_some()
    });
    Ok(if is_selected { Looked::Awaits } else { Looked::Done })
}

/// Leaves out the partitions that the target does not have yet: they come with the rows, and a name
/// may still stand for another partition until then. Returns whether it has all.
async fn as_far_as_there(
    asking: &Asking,
    mut now: ServingState,
    collection: &ReplicatedCollection,
) -> Result<(ServingState, bool)> {
    if asking.context.task.ignore_partition {
        return Ok((now.without_partitions(), true));
    }
    let name = collection.on_target(&asking.context.task.names);
    let there = asking.target().partitions(&name).await?;
    let all = now.partitions.len();
    now.partitions.retain(|id, partition| {
        let stands_for = collection.partitions.get(&partition.name).copied().map(PartitionId);
        stands_for == Some(PartitionId(*id)) && there.contains_key(&partition.name)
    });
    let is_all = now.partitions.len() == all;
    Ok((now, is_all))
}
