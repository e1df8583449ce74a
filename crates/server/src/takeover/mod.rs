//! Takes over the tasks of a Go Milvus-CDC from the records that it left in its store.
//! Never changes those records, nor a task that is stored already.
//!
//! `go_task` reads the old records, `plan` decides about each task, `import` carries
//! the plans out.

mod go_task;
mod import;
mod plan;

pub use go_task::{BrokenRecord, GoPosition, GoPositions, GoTask, read};
pub use import::Importer;
pub use plan::{CollectionPlan, Fate, TaskPlan};
