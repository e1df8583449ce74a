//! The service: configuration, HTTP API, supervisor, metrics and the command line. Never looks into
//! a row, which is up to `replication`, and has no clients of its own, which are in `connectors`.
//!
//! In reading order: [`cli`] is the entrance, [`config`] says what to do, [`compose`] makes the
//! clients of the [`world`] outside, and [`service`] puts the parts together. `http` takes requests
//! and writes [`tasks`], `supervisor` makes what runs equal to what is stored, and `monitoring`
//! says how the tasks are doing. [`takeover`] imports the tasks of a Go tool.

mod api_tokens;
pub mod cli;
pub mod compose;
pub mod config;
mod dry_run;
mod http;
mod listener_tls;
pub mod logging;
mod monitoring;
mod secret;
pub mod service;
mod signal;
mod supervisor;
pub mod takeover;
pub mod tasks;
pub mod world;
