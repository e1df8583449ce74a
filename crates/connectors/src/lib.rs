//! Clients of the outside systems: the Kafka or Pulsar and the etcd of a source Milvus, a target Milvus, and
//! the stores. Fulfils the contracts of [`replication::ports`]; never decides anything about the
//! way of a row.
//!
//! [`kafka`] and [`pulsar`] are `Source`s, [`etcd`] a `Catalog`, [`milvus`] a `Target`,
//! [`kafka_sink`] a `Sink`, [`store`] holds the `Store`s. Each has an options struct and one constructor. [`go_records`] reads what the
//! Go tool has left.

pub mod etcd;
pub mod go_records;
pub mod kafka;
mod kafka_login;
pub mod kafka_sink;
pub mod milvus;
mod prefetch_share;
pub mod pulsar;
mod secret;
pub mod store;
mod tls;

pub use secret::Secret;
pub use tls::TlsFiles;
