//! The HTTP API and the supervisor behind it, over a real socket, with a scripted outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod api_tokens;
mod create;
mod document;
mod envelope;
mod faults;
mod health;
mod life;
mod metrics;
mod monitoring;
mod resources;
mod secrets;
mod standby;
mod support;
mod tls;
