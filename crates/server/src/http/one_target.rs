//! Whether the target of a new task is that of a stored task under another address. Asks the clocks
//! of both, for a short time: what it can't see, the task sees when it starts. Never changes
//! anything.

use super::state::ApiState;
use crate::tasks::TaskRecord;
use crate::world::TargetClient;
use futures::future::join_all;
use replication::destination::milvus::one_clock::{Seen, compare};
use replication::error::Result;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a creation waits for targets.
const SEEN_WITHIN: Duration = Duration::from_secs(4);

/// The address under which the target of a new task is that of a stored task already; `None` if it
/// is a new target, or if its address is known, or if it can't be seen.
pub(super) async fn find(api: &ApiState, record: &TaskRecord) -> Result<Option<String>> {
    let (false, Ok(address)) = (record.is_to_kafka(), record.target()) else { return Ok(None) };
    let names = api.book.names().await?;
    let mut others = BTreeMap::new();
    for other in api.book.list().await?.records {
        if let (false, Ok(there)) = (other.is_to_kafka(), other.target()) {
            others.entry(names.of(&there).to_owned()).or_insert(other);
        }
    }
    if others.is_empty() || others.contains_key(names.of(&address)) {
        return Ok(None);
    }
    let Ok(TargetClient::Milvus(here)) = api.targets.open(record) else { return Ok(None) };
    let here = &here;
    let looks = others.into_iter().map(async |(name, other)| {
        let Ok(TargetClient::Milvus(there)) = api.targets.open(&other) else { return None };
        matches!(compare(&**here, &*there).await, Seen::One).then_some(name)
    });
    let found = tokio::time::timeout(SEEN_WITHIN, join_all(looks)).await;
    Ok(found.unwrap_or_default().into_iter().flatten().next())
}
