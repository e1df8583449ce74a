//! Whether this version knows the form of everything that is stored of a task. Never looks at
//! anything in a record but its form.

use crate::error::Result;
use crate::ports::Store;
use crate::records::codec;
use crate::records::keys::{
    access_prefix, checkpoint_key, collection_prefix, fence_key, lane_prefix, lease_keys,
    missed_prefix, next_key, op_key, serving_prefix,
};

/// Fails if a newer milvus-cdc has written any record of a task, or of the destination with this
/// address. Then all of them are left as they are, and the task is left to that version.
pub async fn refuse_newer(store: &dyn Store, task: &str, address: &str) -> Result<()> {
    let keys = [checkpoint_key(task), op_key(task), fence_key(task), next_key(task)];
    for key in keys.into_iter().chain(lease_keys(address)) {
        if let Some(stored) = store.get(&key).await? {
            codec::refuse_newer(&key, &stored.value)?;
        }
    }
    let prefixes = [collection_prefix(task), serving_prefix(task), access_prefix(task)];
    for prefix in prefixes.into_iter().chain([missed_prefix(task), lane_prefix(address)]) {
        refuse_newer_below(store, &prefix).await?;
    }
    Ok(())
}

/// The same of all records whose key begins with `prefix`.
pub(crate) async fn refuse_newer_below(store: &dyn Store, prefix: &str) -> Result<()> {
    for (key, stored) in store.list(prefix).await? {
        codec::refuse_newer(&key, &stored.value)?;
    }
    Ok(())
}
