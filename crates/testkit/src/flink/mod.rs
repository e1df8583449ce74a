//! Apache Flink as a consumer of change events in Kafka, the way a user would have it: SQL over
//! Debezium's JSON. Never looks into an event itself: what Flink makes of them is what is judged.
//!
//! [`Flink`] runs a script to its end, [`Table`] is what a topic's events are about, and
//! [`Flink::materialise`] tells the rows that are left after all of them.

mod job;
mod table;

pub use job::Flink;
pub use table::Table;
