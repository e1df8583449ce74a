//! milvus-cdc as a whole, from a real Milvus into a real Milvus. The source is on Kafka here, and
//! on Pulsar in `replication_on_pulsar`. Both sides are compared row by row and count for count: a
//! test never trusts what the service says of itself.
//!
//! All tests share one pair of servers and take turns; each has a milvus-cdc, a task and names of
//! its own. See `bench` for how a test begins.

#![allow(clippy::unwrap_used)] // A test fails by a panic, and so do its helpers.

mod bench;
mod capture;
mod channels;
mod churn;
mod collections;
mod drained;
mod etcd_members;
mod examples;
mod faults;
mod forgotten;
mod go_store;
mod kafka_sink;
mod load;
mod namesakes;
mod naming;
mod one_target;
mod promoted;
mod requests;
mod returned;
mod shared_store;
mod structure;
mod takeover;
mod tls;
mod upgrade;
