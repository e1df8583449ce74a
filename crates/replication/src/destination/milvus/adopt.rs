//! Lanes that were stored under another address of a target, before it was known to be the same
//! one: they become lanes of this one. Windows that were open on either side can't be told from
//! each other's any more, so they are closed, and fenced when their owners come back. Never does
//! that while somebody may still write under the other address.

use crate::destination::milvus::lane::{LaneRecord, Lanes};
use crate::destination::milvus::settle::Settling;
use crate::error::{Error, Result};
use crate::observer::Silent;
use crate::ports::Transaction;
use crate::records::codec::encode;
use crate::records::keys::{lane_key, lane_prefix};
use crate::records::target_records::TargetRecords;
use crate::stop::Stop;
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// Takes over the lanes of all other addresses of a target. Its lease has to be ours, and none of
/// its lanes in use yet.
pub(super) async fn adopt(
    records: &TargetRecords,
    lanes: &Lanes,
    settling: &Settling,
) -> Result<()> {
    let names = records.names().await?;
    for address in names.others_of(lanes.address()) {
        let prefix = lane_prefix(address);
        let theirs: Vec<(String, LaneRecord)> = records.list(&prefix).await?;
        if theirs.is_empty() {
            continue;
        }
        records.refuse_newer(&prefix).await?;
        let nobody_writes = records.nobody_writes(address).await?;
        let ours = records.list(&lanes.prefix()).await?;
        let mut ours: BTreeMap<String, LaneRecord> = ours.into_iter().collect();
        let mut transaction = Transaction::default();
        transaction.conditions.push(nobody_writes);
        let mut owners = BTreeMap::new();
        for (lane, theirs) in theirs {
            let (merged, open) = ours.remove(&lane).unwrap_or_default().merged(theirs);
            for (task, upto) in open {
                let highest: &mut Timestamp = owners.entry(task).or_default();
                *highest = upto.max(*highest);
            }
            transaction.puts.push((lanes.key(&lane), encode(&merged)));
            transaction.deletes.push(lane_key(address, &lane));
        }
        if !owners.is_empty() {
            settling.settle(&Stop::at_once(CancellationToken::new()), &Silent).await?;
        }
        for (task, upto) in owners {
            if records.has_task(&task).await? {
                let fence = records.of_task(&task).fence(upto).await;
                let fence = fence.map_err(|e| Error::transient(e.what.clone()).because(e))?;
                transaction.puts.push(fence);
            }
        }
        tracing::warn!(target = lanes.address(), address, "lanes of another address taken over");
        records.commit(transaction).await?;
    }
    Ok(())
}
