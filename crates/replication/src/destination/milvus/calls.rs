//! Replicate calls to one target. Never makes one when another milvus-cdc may have taken the lease.

use crate::destination::milvus::sight::Sight;
use crate::error::Result;
use crate::ports::{CallError, Target};
use crate::records::target_records::TargetRecords;
use milvus_wire::replicate::{ReplicateCall, tick};
use milvus_wire::timestamp::Timestamp;
use std::sync::Arc;

/// Calls to one target.
pub(super) struct Calls {
    target: Arc<dyn Target>,
    records: Arc<TargetRecords>,
    sight: Arc<Sight>,
}

impl Calls {
    /// Calls to the target that has these records.
    pub(super) fn new(
        target: Arc<dyn Target>,
        records: Arc<TargetRecords>,
        sight: Arc<Sight>,
    ) -> Self {
        Self { target, records, sight }
    }

    /// Makes a call. This process may have stood still since it looked at the lease last, so the
    /// lease is looked at again.
    pub(super) async fn make(&self, call: &ReplicateCall) -> std::result::Result<(), CallError> {
        self.records.lease_is_confirmed().map_err(CallError::Refused)?;
        let answered = self.target.replicate(call).await;
        answered.inspect_err(|_| self.sight.lose())
    }

    /// Sends a tick once.
    pub(super) async fn tick(&self, lane: &str, at: Timestamp) -> Result<()> {
        let messages = vec![tick(at)];
        let call = ReplicateCall { pchannel: lane.to_owned(), begin: at, end: at, messages };
        self.make(&call).await.map_err(|e| match e {
            CallError::Refused(e) | CallError::Unanswered(e) => e,
        })
    }
}
