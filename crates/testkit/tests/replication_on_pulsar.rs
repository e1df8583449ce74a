//! The tests of `replication`, all of them, with a source on Pulsar. The bench tells the two apart by
//! the name of the program.

#[path = "replication/main.rs"]
mod replication;
