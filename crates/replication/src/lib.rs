//! The way of a row from the source to where its task's changes go. Knows traits and no client.
//!
//! In reading order, from the top down; each module uses only modules below it:
//!
//! 1. [`run`] begins or resumes a task, and runs its rows and its op channel side by side.
//! 2. `path` is the way of a row, step by step: start here.
//! 3. [`collections`]: what the task replicates, at the pace of its rows.
//! 4. `metadata`: what rows do not depend on, such as the op channel, indexes, loads and roles.
//! 5. [`destination`]: where changes go, a Milvus or a log, and how a window arrives once.
//! 6. `rows`: reading, ordering, merging and routing.
//! 7. [`records`]: what is stored, under which key, and the lease without which nothing is.
//! 8. [`ports`]: the traits to the outside; their documentation is the contract.
//! 9. [`message`]: what a row is on each stretch of its way.
//!
//! Beside them: [`takeover`] and [`unsupported`], the small values [`task`], [`selection`],
//! [`stop`], [`pauses`], and [`observer`] and [`error`], which tell the outside what happens.

pub mod collections;
pub mod context;
pub mod destination;
pub mod error;
mod late;
pub mod message;
mod metadata;
pub mod observer;
mod overdue;
mod path;
pub mod pauses;
pub mod ports;
mod progress;
pub mod records;
mod replay;
mod rows;
pub mod run;
pub mod selection;
pub mod stop;
mod sync;
pub mod takeover;
pub mod task;
pub mod unsupported;
#[cfg(test)]
mod written;
