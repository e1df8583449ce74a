//! Tests of the test kit itself on a real Milvus: a client that is wrong or a comparison that
//! cannot fail would make every other test worthless. Never tests the product.

#![allow(clippy::unwrap_used)] // A test fails by a panic, and so do its helpers.

mod comparison;
mod every_type;
mod server;
mod workload;
