//! The service: configuration, HTTP API, supervisor, metrics and the command line.
//! Never looks into a row; that is `replication`'s, and clients are `connectors`'.
//!
//! In reading order: [`config`] says what is wanted, [`compose`] makes the clients, [`service`]
//! puts the parts together; [`http`] takes requests and writes [`tasks`], [`supervisor`] makes what
//! runs equal to what is stored; [`monitoring`] says how it goes.

pub mod api_tokens;
pub mod cli;
pub mod compose;
pub mod config;
mod dry_run;
pub mod http;
pub mod listener_tls;
pub mod logging;
pub mod monitoring;
pub mod secret;
pub mod service;
pub mod signal;
pub mod supervisor;
pub mod takeover;
pub mod tasks;
pub mod world;
