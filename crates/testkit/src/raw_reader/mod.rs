//! The yardstick of the benchmark: reads topics from beginning to end with the queue's client and
//! does nothing with what it reads. Never decodes a message, and never commits an offset.

mod kafka;
mod pulsar;
mod reading;

pub use reading::{RawRead, RawResult};

use crate::process::built_program;
use anyhow::{Context, Result, ensure};
use std::process::Command;

impl RawRead {
    /// Reads all that the topics hold when it begins. Blocks.
    ///
    /// # Errors
    /// If the broker does not answer, or stops to answer.
    pub fn run(&self) -> Result<RawResult> {
        if self.brokers.starts_with("pulsar") { pulsar::read(self) } else { kafka::read(self) }
    }

    /// The same in the program `raw-reader` that Cargo has built, so that its processor time and
    /// memory are its own. Blocks.
    ///
    /// # Errors
    /// If it is not built or fails.
    pub fn run_apart(&self) -> Result<RawResult> {
        let mut command = Command::new(built_program("raw-reader", "TESTKIT_READER_BIN")?);
        command.args(["--brokers", &self.brokers]);
        for topic in &self.topics {
            command.args(["--topic", topic]);
        }
        for (key, value) in &self.settings {
            command.args(["--set", &format!("{key}={value}")]);
        }
        let output = command.output().context("start the raw reader")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the raw reader failed: {errors}");
        let line = serde_json::from_slice(&output.stdout).context("the raw reader's answer")?;
        RawResult::from_json(&line).context("the raw reader's answer lacks something")
    }
}
