//! What the tests on real servers, the demo and the benchmark share. Never part of the product, and
//! never built on the crates under test: the judge must not share a fault with the judged.
//!
//! In reading order: [`milvus`] talks to a real Milvus, [`rows`] makes and digests its rows,
//! [`workload`] writes without pause, [`source_log`] appends what only a newer source would log,
//! [`compare`] decides whether two sides are equal. [`flink`] reads change events from a [`topic`]
//! as a user's job would, [`replicate_log`] reads a topic in the Go tool's format. [`service`] runs
//! the product's binary, [`stores`] is what earlier versions of it wrote. [`counting`] is a target
//! that only acknowledges, and [`raw_reader`] is the yardstick of the benchmark. [`relay`] is a
//! network that fails. [`wait`], [`process`] and [`run_folder`] are used by all of them.

#![allow(deprecated)] // ReplicateMessage and `Status.error_code`: 2.3 has nothing else.

pub mod compare;
pub mod counting;
pub mod flink;
pub mod milvus;
pub mod process;
pub mod raw_reader;
pub mod relay;
pub mod replicate_log;
pub mod rows;
pub mod run_folder;
pub mod service;
pub mod source_log;
pub mod stores;
pub mod topic;
pub mod wait;
pub mod workload;
