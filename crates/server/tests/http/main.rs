//! The HTTP API and the supervisor behind it, over a real socket, with a scripted outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod create;
mod envelope;
mod faults;
mod health;
mod life;
mod metrics;
mod monitoring;
mod secrets;
mod support;
