//! The keys of everything that is stored. Never reads what is under them.

use crate::error::Result;
use crate::ports::Store;
use milvus_wire::ids::CollectionId;

/// Where a task itself is kept, by whoever looks after it.
pub fn task_key(task: &str) -> String {
    format!("task/{task}")
}

/// Where the fence of a task is kept.
pub fn fence_key(task: &str) -> String {
    format!("fence/{task}")
}

/// Where a collection of a task is kept.
pub fn collection_key(task: &str, id: CollectionId) -> String {
    format!("collection/{task}/{id}")
}

/// Where is kept how a collection of a task was served.
pub fn serving_key(task: &str, id: CollectionId) -> String {
    format!("serving/{task}/{id}")
}

/// Where is kept what the target of a task has been given of each role.
pub fn access_prefix(task: &str) -> String {
    format!("access/{task}/")
}

/// Where is kept what the target of a task lacks.
pub fn missed_prefix(task: &str) -> String {
    format!("missed/{task}/")
}

/// Where it is kept.
pub(crate) fn next_key(task: &str) -> String {
    format!("next/{task}")
}

/// Where the lease of a target is kept, and the last sign of life of whoever has it.
pub(crate) fn lease_keys(address: &str) -> [String; 2] {
    [format!("lease/{address}"), format!("alive/{address}")]
}

/// Whether a record under this key is about leases, which are of one store only.
pub fn is_of_a_lease(key: &str) -> bool {
    lease_keys("").iter().any(|prefix| key.starts_with(prefix))
}

/// The address of a log, for its lease: two tasks may write to the same topics.
pub fn log_address(task: &str) -> String {
    format!("log/{task}")
}

/// The keys of everything stored of a task besides its own record, for deleting it.
pub async fn of_task(store: &dyn Store, task: &str) -> Result<Vec<String>> {
    let mut keys = vec![format!("checkpoint/{task}"), format!("op/{task}"), fence_key(task)];
    keys.extend(lease_keys(&log_address(task)).into_iter().chain([next_key(task)]));
    let collections = [format!("collection/{task}/"), format!("serving/{task}/")];
    for prefix in collections.into_iter().chain([access_prefix(task), missed_prefix(task)]) {
        keys.extend(store.list(&prefix).await?.into_iter().map(|(key, _)| key));
    }
    Ok(keys)
}
