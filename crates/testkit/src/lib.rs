//! What the tests on real servers, the demo and the benchmark share. Never part of the product, and
//! never built on the crates under test: the judge must not share a fault with the judged.
//!
//! In reading order: [`milvus`] talks to a real Milvus, [`rows`] makes and digests its rows,
//! [`workload`] writes without pause, [`log`] what only a newer source writes, [`compare`] judges whether two sides are equal. [`flink`]
//! reads change events as a user's job would, out of a [`topic`]. [`service`] runs the product's binary. [`counting`] is a target that only acknowledges, [`raw_reader`] the
//! yardstick of the benchmark. [`wait`] and [`process`] are what all of them stand on.

#![allow(deprecated)] // ReplicateMessage and `Status.error_code`: 2.3 has nothing else.

pub mod compare;
pub mod counting;
pub mod flink;
pub mod log;
pub mod milvus;
pub mod process;
pub mod raw_reader;
pub mod replicate_log;
pub mod rows;
pub mod service;
pub mod topic;
pub mod wait;
pub mod workload;
