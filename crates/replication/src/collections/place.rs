//! Finds where a collection of the task lives on the target, and notes it. Never creates one.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::records::checkpoint::Stage;
use crate::rows::roster::Roster;
use crate::rows::route::Router;
use milvus_wire::ids::{CollectionId, CollectionName};

/// Looks a collection of the roster up on the target, and lets the router know it. Returns whether
/// the target has it.
pub(super) async fn find_place(
    context: &Context,
    roster: &Roster,
    router: &mut Router,
    id: CollectionId,
) -> Result<bool> {
    let Some(collection) = roster.get(id) else { return Ok(false) };
    let destination = &context.ports.destination;
    let name = collection.on_target(router.names());
    let Some(there) = destination.describe(collection, &name).await? else { return Ok(false) };
    router.settle(roster, id, there)?;
    if let Some(place) = router.place(id) {
        destination.add_lanes(&place.lanes);
    }
    Ok(true)
}

/// Fails if a name of the target is another collection of the task's, which is out of step and so
/// can't give it away: nobody must drop that one because of this.
pub(super) fn refuse_own(
    roster: &Roster,
    name: &CollectionName,
    there: CollectionId,
) -> Result<()> {
    match roster.all().find(|collection| collection.there == Some(there.0)) {
        None => Ok(()),
        Some(own) => Err(Error::of_one_collection(format!(
            "the target still calls another collection of this task {name}: {}.{}, which is out of \
             step itself; see its reason",
            own.database, own.name
        ))),
    }
}

/// Notes that the target has a collection, and which one it is. It has to be stored then.
pub(super) fn mark_live(context: &Context, roster: &mut Roster, router: &Router, id: CollectionId) {
    let there = router.place(id).map(|place| place.id.0);
    if let Some(collection) = roster.get_mut(id) {
        collection.stage = Stage::Live;
        collection.there = there;
        context.ports.destination.address().clone_into(&mut collection.target);
    }
}
