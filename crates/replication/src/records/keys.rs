//! The keys of everything that is stored. Never reads what is under them, except to list them.
//!
//! | key | record |
//! |---|---|
//! | `task/<task>` | the task, written by the supervisor; without it none of the others exist |
//! | `checkpoint/<task>` | `Checkpoint`: a position per channel, and a drop to be finished |
//! | `collection/<task>/<id>` | `ReplicatedCollection`: a collection that the task replicates |
//! | `op/<task>` | `OpPosition`: the next message of the op channel |
//! | `serving/<task>/<id>` | `ServingState`: the one of a collection that was carried over last |
//! | `access/<task>/<role>` | `Given`: what the target was given of a role |
//! | `missed/<task>/<at>-<request>-<collection>` | `Missed`: a change that the target lacks |
//! | `next/<task>` | for a log: the window that may be in it |
//! | `fence/<task>` | `Fence`: written by whoever takes a lane from the task |
//! | `lane/<address>/<pchannel>` | `LaneRecord`: what may be in a channel of the target |
//! | `lease/<address>`, `alive/<address>` | who may write there, and its last sign of life |
//! | `target/<address>` | `Named`: the address under which this target was known before |
//! | `apart/<address>/<address>` | that these two were seen to be different targets |

use crate::error::Result;
use crate::ports::Store;
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;

/// Key of a task, which the supervisor writes.
pub fn task_key(task: &str) -> String {
    format!("task/{task}")
}

/// Key of a task's checkpoint.
pub(crate) fn checkpoint_key(task: &str) -> String {
    format!("checkpoint/{task}")
}

/// Key of a task's position on the op channel.
pub(crate) fn op_key(task: &str) -> String {
    format!("op/{task}")
}

/// Key of a task's fence.
pub(crate) fn fence_key(task: &str) -> String {
    format!("fence/{task}")
}

/// Prefix of the collections of all tasks.
pub(crate) const COLLECTIONS: &str = "collection/";

/// Prefix of a task's collections.
pub(crate) fn collection_prefix(task: &str) -> String {
    format!("{COLLECTIONS}{task}/")
}

/// Key of a collection of a task.
pub(crate) fn collection_key(task: &str, id: CollectionId) -> String {
    format!("{}{id}", collection_prefix(task))
}

/// The task and the collection in the key of a collection, as it is behind [`COLLECTIONS`].
pub(crate) fn names_of_collection(rest: &str) -> Option<(&str, CollectionId)> {
    let (task, id) = rest.split_once('/')?;
    Some((task, CollectionId(id.parse().ok()?)))
}

/// Prefix of the serving states of a task's collections.
pub(crate) fn serving_prefix(task: &str) -> String {
    format!("serving/{task}/")
}

/// Key of a collection's serving state.
pub(crate) fn serving_key(task: &str, id: CollectionId) -> String {
    format!("{}{id}", serving_prefix(task))
}

/// Prefix of what the target was given of each role; the role's name follows.
pub(crate) fn access_prefix(task: &str) -> String {
    format!("access/{task}/")
}

/// Prefix of the changes that the target lacks.
pub(crate) fn missed_prefix(task: &str) -> String {
    format!("missed/{task}/")
}

/// Key of a change that the target lacks. The keys of a task sort by time.
pub(crate) fn missed_key(task: &str, at: Timestamp, request: &str, collection: &str) -> String {
    format!("{}{:020}-{request}-{collection}", missed_prefix(task), at.0)
}

/// Key of the window that may be in a task's log.
pub(crate) fn next_key(task: &str) -> String {
    format!("next/{task}")
}

/// Prefix of the lanes of a target; the name of the physical channel follows.
pub(crate) fn lane_prefix(address: &str) -> String {
    format!("lane/{address}/")
}

/// Key of a lane of a target.
pub(crate) fn lane_key(address: &str, lane: &str) -> String {
    format!("{}{lane}", lane_prefix(address))
}

/// Keys of the lease on a destination, and of the last sign of life of whoever has it.
pub(crate) fn lease_keys(address: &str) -> [String; 2] {
    [format!("lease/{address}"), format!("alive/{address}")]
}

/// Prefix of the addresses that lead to a target which has another address too.
pub(crate) const ADDRESSES: &str = "target/";

/// Key of what an address is the other address of.
pub fn address_key(address: &str) -> String {
    format!("{ADDRESSES}{address}")
}

/// Key of the fact that two addresses lead to different targets.
pub(crate) fn apart_key(one: &str, other: &str) -> String {
    format!("apart/{}/{}", one.min(other), one.max(other))
}

/// Whether a record under this key is about leases, which are of one store only.
pub fn is_of_a_lease(key: &str) -> bool {
    lease_keys("").iter().any(|prefix| key.starts_with(prefix))
}

/// The address of a task's log, for its lease: two tasks may write to the same topics.
pub fn log_address(task: &str) -> String {
    format!("log/{task}")
}

/// The keys of everything stored of a task besides its own record, for deleting it.
pub async fn of_task(store: &dyn Store, task: &str) -> Result<Vec<String>> {
    let mut keys = vec![checkpoint_key(task), op_key(task), fence_key(task)];
    keys.extend(lease_keys(&log_address(task)).into_iter().chain([next_key(task)]));
    let prefixes = [collection_prefix(task), serving_prefix(task), access_prefix(task)];
    for prefix in prefixes.into_iter().chain([missed_prefix(task)]) {
        keys.extend(store.list(&prefix).await?.into_iter().map(|(key, _)| key));
    }
    Ok(keys)
}
