//! Tests what the crate guarantees, against prost's own decoding of the same bytes. Never needs a
//! server.

#![allow(deprecated)] // ReplicateMessage and the header's replicateInfo are, since 3.0.
#![allow(clippy::unwrap_used)] // The helpers of tests are not in tests, for clippy.

mod everything;
mod fuzz;
mod hostile;
mod rows;
mod samples;

mod calls;
mod columns;
mod ddl;
mod fences;
mod operations;
mod records;
