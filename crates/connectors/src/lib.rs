//! Clients of the outside systems: the Kafka or Pulsar and the etcd of a source Milvus, a target
//! Milvus, a target Kafka, and the stores. They implement [`replication::ports`] and never decide
//! where a row goes.
//!
//! [`kafka`] and [`pulsar`] are a `Source`, [`etcd`] is a `Catalog`, [`milvus`] a `Target`,
//! [`kafka_sink`] a `Sink`, and [`store`] contains four `Store`s. Each has an options struct and
//! one constructor. [`go_records`] reads the records that a Go Milvus-CDC left behind.

pub mod etcd;
pub mod go_records;
mod invalid_option;
pub mod kafka;
mod kafka_fault;
mod kafka_login;
pub mod kafka_sink;
mod key_range;
pub mod milvus;
mod prefetch_share;
pub mod pulsar;
mod secret;
pub mod store;
mod tls;
mod unsent;

pub use invalid_option::InvalidOption;
pub use kafka_login::KafkaLogin;
pub use secret::Secret;
pub use tls::TlsFiles;
