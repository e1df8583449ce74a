//! A target that is a Kafka, as a task's record has it: the Go tool's keys, and ours after them.
//! Never shown to anybody: it holds secrets in clear.

use crate::secret::{self, Secret};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How to reach a target Kafka, and what to write there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KafkaParam {
    /// Brokers, `host:port`, separated by commas.
    pub address: String,
    /// The topic, or a template for it.
    pub topic: String,
    /// Whether SASL is spoken.
    pub enable_sasl: bool,
    /// Its settings.
    pub sasl: KafkaSasl,
    /// `replicate`, which is the Go tool's, or `change_event`; empty: `replicate`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// `at_least_once` or `exactly_once`; empty: `at_least_once`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub delivery: String,
    /// `array` or `base64`; empty: `array`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vectors: String,
    /// Whether a delete is followed by a record without a value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tombstones: bool,
    /// The topic of schema changes and progress; empty: the task's id and `.events`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub events_topic: String,
    /// Partitions of topics that are created; zero: the broker's default.
    #[serde(skip_serializing_if = "is_zero")]
    pub partitions: i64,
    /// Their replicas; zero: the broker's default.
    #[serde(skip_serializing_if = "is_zero")]
    pub replication_factor: i64,
    /// Settings of librdkafka. Some hold secrets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub producer: BTreeMap<String, String>,
}

/// SASL of a target Kafka, and its protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KafkaSasl {
    /// User.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Its password.
    #[serde(with = "secret::stored", skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    /// Mechanisms.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mechanisms: String,
    /// Protocol.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub security_protocol: String,
}

impl KafkaParam {
    /// Names the topic: two tasks that write the same collections there would double them.
    pub fn name(&self) -> String {
        let mut brokers: Vec<_> = self.address.split(',').map(str::trim).collect();
        brokers.sort_unstable();
        format!("kafka://{}/{}", brokers.join(","), self.topic)
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}
