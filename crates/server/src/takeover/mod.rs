//! Takes over the tasks of a Go Milvus-CDC from what it has left in its store.
//! Never changes the old records, nor a task that is stored already.
//!
//! [`go_task`] reads the old records, [`plan`] says for each task what is to become of it and what
//! differs, and carries that out.

pub mod go_task;
pub mod plan;
