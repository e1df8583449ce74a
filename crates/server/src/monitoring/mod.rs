//! How the tasks are doing: metrics, lag, what is known of each task now and what happened to it.
//! Never decides whether a task runs.
//!
//! [`task_observer`] listens to the way of a row and feeds [`metrics`] and [`live`]; [`lag`]
//! compares with the end of the source's queue; [`history`] keeps the events of a task.

pub(crate) mod history;
pub(crate) mod lag;
pub(crate) mod last_write;
pub(crate) mod live;
pub(crate) mod metrics;
pub(crate) mod task_observer;
