//! Tests of the connectors on real servers of the lab. Each test has topics, prefixes or
//! collections of its own. Never restarts a server that other tests use.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

mod conformance;
mod etcd;
mod etcd_members;
mod kafka;
mod kafka_sink;
mod kafka_without_brokers;
mod milvus;
mod pulsar;
mod pulsar_topics;
mod replica_setting;
mod stores;
mod support;
mod topics;
