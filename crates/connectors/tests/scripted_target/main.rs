//! Tests the Milvus target on a scripted server: requests that the lab's Milvus does not have, and
//! answers that can't be provoked. Never needs a real server.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

mod closed_connections;
mod conformance;
mod requests;
mod server;
