//! What a raw reader is asked, how long it waits, and what its reading cost. Never reads by itself.

use crate::process::{Usage, usage_of_this};
use anyhow::Result;
use std::time::{Duration, Instant};

/// How long the broker may take to answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long nothing may come before the end.
pub(super) const STALL: Duration = Duration::from_secs(30);

/// What is read, and how.
#[derive(Clone, Debug)]
pub struct RawRead {
    /// The broker list of a Kafka, or the address of a Pulsar, which begins with `pulsar`.
    pub brokers: String,
    /// The topics; each has one partition.
    pub topics: Vec<String>,
    /// Settings of librdkafka, those of the service. A Pulsar has none.
    pub settings: Vec<(String, String)>,
}

/// What reading cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RawResult {
    /// Payloads read.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// From the assignment to the last message.
    pub seconds: f64,
    /// Of the whole process, while it read.
    pub cpu_seconds: f64,
    /// The most resident memory of the process.
    pub peak_bytes: u64,
}

impl RawResult {
    /// Megabytes (10^6) a second.
    pub fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds.max(1e-9)
    }

    /// As one line for whoever started the program.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "messages": self.messages,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_bytes": self.peak_bytes,
        })
    }

    /// Reads such a line.
    pub(super) fn from_json(line: &serde_json::Value) -> Option<Self> {
        Some(Self {
            messages: line["messages"].as_u64()?,
            bytes: line["bytes"].as_u64()?,
            seconds: line["seconds"].as_f64()?,
            cpu_seconds: line["cpu_seconds"].as_f64()?,
            peak_bytes: line["peak_bytes"].as_u64()?,
        })
    }

    /// Processor seconds per gigabyte (10^9).
    pub fn cpu_seconds_per_gigabyte(&self) -> f64 {
        self.cpu_seconds * 1e9 / (self.bytes.max(1)) as f64
    }
}

/// Measures a reading from the first request for messages on.
pub(super) struct Clock {
    begun: Instant,
    before: Usage,
}

impl Clock {
    pub(super) fn start() -> Result<Self> {
        Ok(Self { before: usage_of_this()?, begun: Instant::now() })
    }

    /// The figures of what was read until now.
    pub(super) fn stop(&self, messages: u64, bytes: u64) -> Result<RawResult> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let after = usage_of_this()?;
        let cpu_seconds = (after.cpu - self.before.cpu).as_secs_f64();
        Ok(RawResult { messages, bytes, seconds, cpu_seconds, peak_bytes: after.peak_bytes })
    }
}
