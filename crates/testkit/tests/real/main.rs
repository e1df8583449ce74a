//! The test kit itself against a real Milvus: a client that lies or a comparison that cannot fail
//! would make every other test worthless.

#![allow(clippy::unwrap_used)] // A test fails by a panic, and so do its helpers.

mod comparison;
mod every_type;
mod server;
mod workload;
