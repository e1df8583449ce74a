//! What a Kafka sink is told, and what is wrong with it. Never shows a secret, never connects.

use super::settings;
use super::topic_template::Template;
use crate::Secret;
use crate::kafka_login::{Login, refused_options};
use rdkafka::ClientConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A delivery is given up after this, unless options say later: a broker that restarts needs less.
const DELIVERY_MS: u64 = 240_000;

/// Options can't give up sooner.
const DELIVERY_MS_MIN: u64 = 120_000;

/// How long the broker keeps a transaction of a client that is gone, above `DELIVERY_MS`.
const TRANSACTION_MS: u64 = 300_000;

/// Of what a record's value is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The Go tool's: Milvus's own messages in JSON, one record for a channel's window.
    #[default]
    Replicate,
    /// One record for each row, with an envelope that readers of Debezium know.
    ChangeEvent,
}

/// How vectors of floats and of signed bytes are shown in a [`Format::ChangeEvent`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vectors {
    /// As arrays of numbers.
    #[default]
    Array,
    /// As base64 of their bytes, little endian: a third of the size.
    Base64,
}

/// Where a Kafka sink writes, and how.
#[derive(Clone)]
pub struct KafkaSinkOptions {
    /// The task's id: it names the transactions, and `{task}` in topics.
    pub task: String,
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Empty: no SASL.
    pub sasl_username: String,
    /// Its password.
    pub sasl_password: Secret,
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`; empty: `PLAIN` if there is a user name.
    pub sasl_mechanisms: String,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT`, `SASL_SSL`; empty: with SASL if there is a user name.
    pub security_protocol: String,
    /// Further settings of librdkafka, such as `compression.type`: those of TLS, of the network and
    /// of speed.
    pub producer: BTreeMap<String, String>,
    /// The topic of the records: a template with `{task}` and, for [`Format::ChangeEvent`],
    /// `{database}` and `{collection}`. What Kafka does not allow in a name becomes `_`.
    pub topic: String,
    /// The topic of schema changes and progress of [`Format::ChangeEvent`], and of an exact sink's
    /// marks: a template with `{task}`.
    pub events_topic: String,
    /// The form of the records.
    pub format: Format,
    /// Whether each append is a transaction. If not: at least once.
    pub exact: bool,
    /// How vectors are shown.
    pub vectors: Vectors,
    /// Whether a delete is followed by a record with its key and no value, for compacted topics.
    pub tombstones: bool,
    /// Progress is told no more often.
    pub progress_every: Duration,
    /// Partitions of topics that are created; `None`: as the broker does by default.
    pub partitions: Option<u16>,
    /// Replicas of topics that are created; `None`: as the broker does by default.
    pub replication: Option<u16>,
    /// Bytes of a [`Format::Replicate`] value beyond which it takes no further message. The broker's
    /// limit is `message.max.bytes`, about 1 MB by default.
    pub record_bytes: usize,
}

impl fmt::Debug for KafkaSinkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSinkOptions")
            .field("task", &self.task)
            .field("brokers", &self.brokers)
            .field("sasl_username", &self.sasl_username)
            .field("sasl_password", &self.sasl_password)
            .field("sasl_mechanisms", &self.sasl_mechanisms)
            .field("security_protocol", &self.security_protocol)
            // The values may be secrets (`ssl.key.password`).
            .field("producer", &self.producer.keys())
            .field("topic", &self.topic)
            .field("events_topic", &self.events_topic)
            .field("format", &self.format)
            .field("exact", &self.exact)
            .field("vectors", &self.vectors)
            .field("tombstones", &self.tombstones)
            .field("progress_every", &self.progress_every)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("record_bytes", &self.record_bytes)
            .finish()
    }
}

/// An option that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct InvalidOption {
    /// The field of [`KafkaSinkOptions`].
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl InvalidOption {
    pub(super) fn new(
        field: &'static str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { field, problem: problem.into(), remedy: remedy.into() }
    }
}

impl KafkaSinkOptions {
    /// The Go tool's format, at least once, without SASL and TLS.
    pub fn new(
        task: impl Into<String>,
        brokers: impl Into<String>,
        topic: impl Into<String>,
    ) -> Self {
        Self {
            task: task.into(),
            brokers: brokers.into(),
            sasl_username: String::new(),
            sasl_password: Secret::default(),
            sasl_mechanisms: String::new(),
            security_protocol: String::new(),
            producer: BTreeMap::new(),
            topic: topic.into(),
            events_topic: "{task}.events".into(),
            format: Format::default(),
            exact: false,
            vectors: Vectors::default(),
            tombstones: false,
            progress_every: Duration::from_secs(5),
            partitions: None,
            replication: None,
            record_bytes: 900_000,
        }
    }

    /// Whether it may write where another task does: they have a broker in common, and their topics
    /// may be one. A broker that has two names is two.
    pub fn meets(&self, other: &Self) -> bool {
        let templates = [self, other].map(|task| Template::new("topic", &task.topic));
        let [Ok(topic), Ok(others)] = &templates else { return false };
        !brokers(&self.brokers).is_disjoint(&brokers(&other.brokers))
            && topic.may_equal(&self.task, others, &other.task)
    }

    /// Says what can't work, without connecting.
    pub fn check(&self) -> Result<(), InvalidOption> {
        let given = |field, value: &str| match value.is_empty() {
            true => Err(InvalidOption::new(field, "it is empty", "give one")),
            false => Ok(()),
        };
        given("task", &self.task)?;
        given("brokers", &self.brokers)?;
        self.topics()?;
        if self.record_bytes == 0 {
            let remedy = "give the bytes of a value, such as 900000";
            return Err(InvalidOption::new("record_bytes", "it is zero", remedy));
        }
        for (field, number) in [("partitions", self.partitions), ("replication", self.replication)]
        {
            if number == Some(0) {
                let remedy = "give at least 1, or nothing for the broker's default";
                return Err(InvalidOption::new(field, "it is zero", remedy));
            }
        }
        // Before librdkafka sees them: it loads what some of them name.
        self.producer.keys().try_for_each(|name| settings::check(name))?;
        self.check_deliveries()?;
        let refused = self.producing().create_native_config().err();
        refused.map_or(Ok(()), |error| {
            let remedy = "see the settings of a producer in librdkafka's CONFIGURATION.md";
            Err(InvalidOption::new("producer", refused_options(&error).what, remedy))
        })
    }

    fn check_deliveries(&self) -> Result<(), InvalidOption> {
        for key in ["message.timeout.ms", "delivery.timeout.ms"] {
            let Some(given) = self.producer.get(key) else { continue };
            // Zero is librdkafka's word for no limit. What is no number, it says itself.
            let Ok(ms) = given.parse::<u64>() else { continue };
            let refuse =
                |remedy| Err(InvalidOption::new("producer", format!("{key} is {given}"), remedy));
            if ms != 0 && ms < DELIVERY_MS_MIN {
                return refuse(format!("give at least {DELIVERY_MS_MIN}: a broker may restart"));
            }
            if self.exact && (ms == 0 || ms > TRANSACTION_MS) {
                return refuse(format!("give at most {TRANSACTION_MS}, as long as a transaction"));
            }
        }
        Ok(())
    }

    /// The topic of the records and that of the events.
    pub(super) fn topics(&self) -> Result<(Template, Template), InvalidOption> {
        let topic = Template::new("topic", &self.topic)?;
        if self.format == Format::Replicate && topic.names_collections() {
            return Err(InvalidOption::new(
                "topic",
                "a record of the replicate format holds rows of several collections, so its topic \
                 can't name one",
                "use {task} only, or the format of change events",
            ));
        }
        let events = Template::new("events_topic", &self.events_topic)?;
        if events.names_collections() {
            return Err(InvalidOption::new(
                "events_topic",
                "events of all collections go to one topic",
                "use {task} only",
            ));
        }
        let is_same = topic.name(&self.task, "", "") == events.name(&self.task, "", "");
        if self.format == Format::ChangeEvent && !topic.names_collections() && is_same {
            return Err(InvalidOption::new(
                "events_topic",
                "events would be among the rows",
                "give the events a topic of their own",
            ));
        }
        Ok((topic, events))
    }

    /// The name of the transactions and of the group that keeps an exact sink's marks.
    pub(super) fn identity(&self) -> String {
        format!("milvus-cdc-{}", self.task)
    }

    /// For the producer.
    pub(super) fn producing(&self) -> ClientConfig {
        let mut config = self.reaching();
        config
            .set("message.timeout.ms", DELIVERY_MS.to_string())
            // Waited for at the end of each append, and enough to fill requests before.
            .set("linger.ms", "2")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072")
            // What is too large for a record is for the broker to say.
            .set("message.max.bytes", "1000000000")
            // As Kafka's own clients do: a key's rows stay in one partition whoever writes them.
            .set("partitioner", "murmur2_random");
        for (key, value) in &self.producer {
            config.set(key, value);
        }
        config.set("acks", "all").set("enable.idempotence", "true");
        if self.exact {
            config
                .set("transactional.id", self.identity())
                .set("transaction.timeout.ms", TRANSACTION_MS.to_string());
        }
        config
    }

    /// For the client that creates topics.
    pub(super) fn administering(&self) -> ClientConfig {
        self.reaching()
    }

    /// For the client that reads the marks; librdkafka asks for what is stable only if it reads what
    /// is committed.
    pub(super) fn remembering(&self) -> ClientConfig {
        let mut config = self.reaching();
        config
            .set("group.id", self.identity())
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// What every client needs. Settings of TLS are among those of the producer.
    fn reaching(&self) -> ClientConfig {
        let login = Login {
            username: &self.sasl_username,
            password: &self.sasl_password,
            mechanisms: &self.sasl_mechanisms,
            protocol: &self.security_protocol,
        };
        let mut config = login.client(&self.brokers);
        for (key, value) in self.producer.iter().filter(|(key, _)| settings::is_of_all(key)) {
            config.set(key, value);
        }
        config
    }
}

/// In one spelling each, without the protocol that librdkafka takes before them.
fn brokers(list: &str) -> BTreeSet<String> {
    let spelled = |broker: &str| {
        let broker = broker.trim().to_ascii_lowercase();
        let broker = broker.rsplit_once("//").map_or(&*broker, |(_, broker)| broker);
        let (host, port) = match broker.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (broker, "9092"),
        };
        let host = if host == "localhost" { "127.0.0.1" } else { host };
        format!("{host}:{port}")
    };
    list.split(',').filter(|broker| !broker.trim().is_empty()).map(spelled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> KafkaSinkOptions {
        KafkaSinkOptions::new("t1", "b:9092", "rows")
    }

    #[test]
    fn secrets_are_not_shown_and_settings_reach_the_clients_they_concern() {
        let mut options = KafkaSinkOptions { exact: true, ..options() };
        options.sasl_password = Secret::new("hunter2");
        options.producer.insert("ssl.key.password".into(), "hunter3".into());
        options.producer.insert("compression.type".into(), "lz4".into());
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        let config = options.producing();
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("transactional.id"), Some("milvus-cdc-t1"));
        assert_eq!(config.get("compression.type"), Some("lz4"));
        assert_eq!(options.remembering().get("ssl.key.password"), Some("hunter3"));
        assert_eq!(options.remembering().get("compression.type"), None);
    }

    #[test]
    fn two_tasks_meet_where_a_broker_and_a_topic_may_be_one() {
        let at =
            |task: &str, brokers: &str, topic: &str| KafkaSinkOptions::new(task, brokers, topic);
        let here = at("t1", "a:9092, B:9092", "x.{collection}");
        for brokers in ["b:9092", "c:1,PLAINTEXT://A", "A:9092,"] {
            assert!(here.meets(&at("t2", brokers, "x.orders")), "{brokers}");
        }
        assert!(!here.meets(&at("t2", "a:9093", "x.orders")));
        assert!(!here.meets(&at("t2", "a:9092", "y.orders")));
        let each = "{task}.{database}.{collection}";
        assert!(!at("t1", "a", each).meets(&at("t2", "a", each)));
        assert!(at("t1", "[::1]", "rows").meets(&at("t2", "[::1]:9092", "rows")));
        assert!(at("t1", "localhost:1", "rows").meets(&at("t2", "127.0.0.1:1", "rows")));
    }

    #[test]
    fn what_cannot_work_is_told_with_its_field_and_a_remedy() {
        let field = |change: fn(&mut KafkaSinkOptions)| {
            let mut options = options();
            change(&mut options);
            let refused = options.check().unwrap_err();
            assert!(!refused.problem.is_empty() && !refused.remedy.is_empty(), "{refused}");
            refused.field
        };
        assert_eq!(options().check(), Ok(()));
        assert_eq!(field(|o| o.task.clear()), "task");
        assert_eq!(field(|o| o.brokers.clear()), "brokers");
        assert_eq!(field(|o| o.topic.clear()), "topic");
        assert_eq!(field(|o| o.topic = "a.{shard}".into()), "topic");
        assert_eq!(field(|o| o.topic = "a.{collection}".into()), "topic");
        assert_eq!(field(|o| o.events_topic = "a.{database}".into()), "events_topic");
        assert_eq!(field(|o| o.record_bytes = 0), "record_bytes");
        assert_eq!(field(|o| o.partitions = Some(0)), "partitions");
        let setting = |key: &'static str, value: &'static str| {
            let mut options = options();
            options.producer.insert(key.into(), value.into());
            options.check()
        };
        assert!(setting("delivery.timeout.ms", "1000").is_err());
        assert_eq!(setting("delivery.timeout.ms", "0"), Ok(()));
        let endless = |o: &mut KafkaSinkOptions| {
            o.producer.insert("message.timeout.ms".into(), "0".into());
        };
        let mut exact = KafkaSinkOptions { exact: true, ..options() };
        assert_eq!(exact.check(), Ok(()));
        endless(&mut exact);
        assert_eq!(exact.check().unwrap_err().field, "producer");
        assert!(setting("ssl.no.such.thing", "1").is_err());
        let odd = setting("compression.type", "hunter2").unwrap_err().to_string();
        assert!(odd.contains("compression.type") && !odd.contains("hunter"), "{odd}");
        // Refused by name, though librdkafka would take it.
        let code = setting("plugin.library.paths", "/tmp/code.so").unwrap_err();
        assert!(code.remedy.contains("load code"), "{code}");
        assert_eq!(setting("compression.type", "zstd"), Ok(()));
        let by_row = KafkaSinkOptions { format: Format::ChangeEvent, ..options() };
        let by_row = KafkaSinkOptions { topic: "a.{database}.{collection}".into(), ..by_row };
        assert_eq!(by_row.check(), Ok(()));
        let mixed = KafkaSinkOptions { topic: "t1.events".into(), ..by_row };
        assert_eq!(mixed.check().unwrap_err().field, "events_topic");
    }
}
