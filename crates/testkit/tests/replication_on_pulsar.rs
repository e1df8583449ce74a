//! All tests of `replication` with a source on Pulsar. Never adds a test: `bench` only
//! distinguishes the two by the name of the program.

#[path = "replication/main.rs"]
mod replication;
