//! The connectors pass the suites that every implementation of a port has to pass, each against
//! its real server. Never checks what only one of them promises: that is beside this folder.

mod etcd;
mod kafka;
mod kafka_sink;
mod milvus;
pub(crate) mod pulsar;
