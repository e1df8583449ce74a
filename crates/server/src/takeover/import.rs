//! Takes over the tasks of a Go tool: plans each one and stores it with the records that it starts
//! from. Never changes a task that is stored already.

use super::go_task::GoTask;
use super::plan::{Fate, Planner, TaskPlan};
use crate::tasks::{Book, CreateError};
use replication::error::{Kind, Result};
use replication::ports::{Catalog, Source};

/// What an import needs.
pub struct Importer<'a> {
    /// The stored tasks; of a dry run, those in a copy of the store.
    pub book: &'a Book,
    /// The source's queue.
    pub source: &'a dyn Source,
    /// The source's metadata.
    pub catalog: &'a dyn Catalog,
    /// The source's op channel.
    pub op_channel: &'a str,
    /// How many tasks there may be.
    pub tasks_max: usize,
}

impl Importer<'_> {
    /// Takes over each task that can be, and says what became of each.
    pub async fn import(&self, tasks: &[GoTask]) -> Result<Vec<TaskPlan>> {
        let Self { source, op_channel, .. } = *self;
        let planner = Planner { source, op_channel, snapshot: self.catalog.snapshot().await? };
        let mut plans = Vec::new();
        for task in tasks {
            plans.push(self.import_one(task, &planner).await?);
        }
        Ok(plans)
    }

    async fn import_one(&self, task: &GoTask, planner: &Planner<'_>) -> Result<TaskPlan> {
        let mut plan = TaskPlan::new(task);
        let record = match &task.record {
            Ok(record) => record,
            Err(broken) => return Ok(plan.refused(&broken.to_string())),
        };
        plan.describe(record);
        if self.book.get(&task.id).await?.is_some() {
            plan.fate = Fate::Exists;
            return Ok(plan);
        }
        let takeover = match planner.plan(task, record, &mut plan).await {
            Ok(takeover) => takeover,
            Err(error) if error.kind == Kind::Permanent => return Ok(plan.refused(&error.what)),
            Err(error) => return Err(error),
        };
        let store = self.book.store().as_ref();
        let begin = takeover.records(self.source, store, &task.id).await?;
        match self.book.create(record.clone(), self.tasks_max, None, begin).await {
            Ok(()) => Ok(plan),
            Err(CreateError::Invalid(wrong) | CreateError::Conflict(wrong)) => {
                Ok(plan.refused(&wrong.problem))
            }
            Err(CreateError::Full(max)) => {
                Ok(plan.refused(&format!("there are {max} tasks already; raise maxTaskNum")))
            }
            Err(CreateError::Store(error)) => Err(error),
        }
    }
}
