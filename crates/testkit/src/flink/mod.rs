//! Apache Flink as a consumer of change events in Kafka, the way a user would have it: SQL over
//! Debezium's JSON. Never looks into an event itself: only Flink's result is tested.
//!
//! [`Flink`] runs a script to its end, [`Table`] is what a topic's events are about, and
//! [`Flink::materialise`] returns the rows that are left after all of them.

mod job;
mod table;

pub use job::Flink;
pub use table::Table;
