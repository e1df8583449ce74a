//! Clients of the outside systems: etcd, Kafka, the Milvus target and the stores.
