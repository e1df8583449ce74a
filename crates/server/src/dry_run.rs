//! `dryRun`: tasks read all that they would replicate and say so in the log; nothing is written to a
//! target, and how far they come is forgotten with the process. Never reaches a target.

use crate::tasks::TaskRecord;
use crate::world::{Client, Targets};
use async_trait::async_trait;
use milvus_wire::ids::CollectionName;
use milvus_wire::message::Message;
use replication::error::Result;
use replication::ports::{Change, Ddl, Sink};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Stands in the place of every target.
pub(crate) struct NoTargets;

impl Targets for NoTargets {
    fn open(&self, task: &TaskRecord) -> Result<Client> {
        Ok(Client::Log(Arc::new(Saying { task: task.task_id.clone() })))
    }
}

/// A log that is only said aloud.
struct Saying {
    task: String,
}

#[async_trait]
impl Sink for Saying {
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
                Change::Request(request, at) => self.say(request, *at),
                Change::Tick { .. } => {}
            }
        }
        for ((CollectionName { database, name: collection }, kind), rows) in rows {
            tracing::info!(task = self.task, database, collection, ?kind, rows, "dry run: rows");
        }
        Ok(())
    }
}

impl Saying {
    fn say(&self, request: &Ddl, at: milvus_wire::timestamp::Timestamp) {
        tracing::info!(task = self.task, request = request.name(), what = request.what(), %at, "dry run: request");
    }
}
