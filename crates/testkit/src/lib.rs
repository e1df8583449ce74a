//! What tests, demo and benchmark share: the faulty target, the Milvus client, the workload.
