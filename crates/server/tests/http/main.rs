//! The HTTP API and the supervisor behind it, over a real socket. The outside systems are scripted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod api_tokens;
mod create;
mod dashboard_and_alerts;
mod document;
mod envelope;
mod examples;
mod faults;
mod health;
mod lifecycle;
mod metrics;
mod one_target;
mod options;
mod resources;
mod scripted;
mod secrets;
mod standby;
mod stores;
mod support;
mod tls;
