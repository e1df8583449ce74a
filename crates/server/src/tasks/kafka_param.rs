//! A target that is a Kafka, as a task's record has it: the Go tool's keys, and ours after them.
//! Never shown as it is: it contains secrets in clear text.

use crate::secret::{self, Secret};
use connectors::InvalidOption;
use connectors::kafka_sink::{Format, KafkaSinkOptions, Vectors};
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
    /// Settings of librdkafka. Some are secrets.
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
    /// The options of a task's sink.
    pub fn options(&self, task: &str) -> Result<KafkaSinkOptions, InvalidOption> {
        let mut options = KafkaSinkOptions::new(task, &self.address, &self.topic);
        if self.enable_sasl || !self.sasl.username.is_empty() {
            options.login.username.clone_from(&self.sasl.username);
            options.login.password = self.sasl.password.clone();
            options.login.mechanisms.clone_from(&self.sasl.mechanisms);
        }
        options.login.protocol.clone_from(&self.sasl.security_protocol);
        options.producer.clone_from(&self.producer);
        options.format = one_of(
            "format",
            &self.format,
            [("replicate", Format::Replicate), ("change_event", Format::ChangeEvent)],
        )?;
        options.exact =
            one_of("delivery", &self.delivery, [("at_least_once", false), ("exactly_once", true)])?;
        options.vectors = one_of(
            "vectors",
            &self.vectors,
            [("array", Vectors::Array), ("base64", Vectors::Base64)],
        )?;
        options.tombstones = self.tombstones;
        if !self.events_topic.is_empty() {
            options.events_topic.clone_from(&self.events_topic);
        }
        options.partitions = number("partitions", self.partitions)?;
        options.replication = number("replication_factor", self.replication_factor)?;
        options.check().map_err(|invalid| InvalidOption {
            field: match invalid.field {
                "brokers" => "address",
                "replication" => "replication_factor",
                field => field,
            },
            ..invalid
        })?;
        Ok(options)
    }

    /// Whether two tasks may write to one topic, which would then have the same collection twice.
    pub fn may_conflict_with(&self, task: &str, other: &Self, other_task: &str) -> bool {
        let place = |kafka: &Self, task| KafkaSinkOptions::new(task, &kafka.address, &kafka.topic);
        place(self, task).may_conflict_with(&place(other, other_task))
    }

    /// The name of the topic, or of its template.
    pub fn name(&self) -> String {
        let mut brokers: Vec<_> = self.address.split(',').map(str::trim).collect();
        brokers.sort_unstable();
        format!("kafka://{}/{}", brokers.join(","), self.topic)
    }
}

/// The first is the default.
fn one_of<T: Copy>(
    field: &'static str,
    given: &str,
    words: [(&str, T); 2],
) -> Result<T, InvalidOption> {
    let found = words.iter().find(|(word, _)| given.is_empty() || given == *word);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| InvalidOption {
        field,
        problem: format!("{given:?} is not known"),
        remedy: format!("write {} or {}", words[0].0, words[1].0),
    })
}

fn number(field: &'static str, given: i64) -> Result<Option<u16>, InvalidOption> {
    match u16::try_from(given) {
        Ok(number) => Ok(Some(number).filter(|number| *number > 0)),
        Err(_) => Err(InvalidOption {
            field,
            problem: format!("{given} is not possible"),
            remedy: "write a number from 1 to 65535, or 0 for the broker's default".into(),
        }),
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}
