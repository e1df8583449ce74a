//! `dryRun`: tasks read what they would replicate and log it. Nothing is written to a target, and
//! their progress is lost with the process. Never reaches a target.

use crate::tasks::TaskRecord;
use crate::world::{TargetClient, Targets};
use async_trait::async_trait;
use milvus_wire::ids::CollectionName;
use milvus_wire::message::Message;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;
use replication::ports::{Change, Ddl, Sink};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes the place of every target.
pub(crate) struct NoTargets;

impl Targets for NoTargets {
    fn open(&self, task: &TaskRecord) -> Result<TargetClient> {
        Ok(TargetClient::Log(Arc::new(LogOnly { task: task.task_id.clone() })))
    }
}

/// A sink that only logs what it gets.
struct LogOnly {
    task: String,
}

#[async_trait]
impl Sink for LogOnly {
    async fn open(&self) -> Result<()> {
        Ok(())
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn holds(&self, _: &str) -> bool {
        false
    }

    async fn append(&self, _: &str, changes: &[Change<'_>]) -> Result<()> {
        let mut rows: BTreeMap<_, u64> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Message(routed) => {
                    if let Message::Row(row) = &routed.read.entry.message {
                        let place = (&routed.place.name, row.kind);
                        *rows.entry(place).or_default() += row.rows;
                    }
                }
                Change::Request(request, at) => self.log_request(request, *at),
                Change::Tick { .. } => {}
            }
        }
        for ((CollectionName { database, name: collection }, kind), rows) in rows {
            tracing::info!(task = self.task, database, collection, ?kind, rows, "dry run: rows");
        }
        Ok(())
    }
}

impl LogOnly {
    fn log_request(&self, request: &Ddl, at: Timestamp) {
        let (task, what) = (&*self.task, request.what());
        tracing::info!(task, request = request.name(), what, %at, "dry run: request");
    }
}
