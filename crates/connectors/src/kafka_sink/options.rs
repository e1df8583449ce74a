//! The options of a Kafka sink and their checks, and the settings of its clients. Never shows a
//! secret, and never connects.

use super::allowed_settings;
use super::topic_template::Template;
use crate::KafkaLogin;
use crate::invalid_option::InvalidOption;
use crate::kafka_fault::refused_options;
use rdkafka::ClientConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A delivery is given up after this time, unless the options say later: a broker restarts in less.
const DELIVERY_MS: u64 = 240_000;

/// The shortest time for a delivery that the options can give.
const DELIVERY_MS_MIN: u64 = 120_000;

/// How long the broker keeps the transaction of a lost client; more than `DELIVERY_MS`.
const TRANSACTION_MS: u64 = 300_000;

/// The form of a record's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The Go tool's format: Milvus's own messages in JSON, one record for a pack of messages of a
    /// channel.
    #[default]
    Replicate,
    /// One record for each row, with Debezium's envelope.
    ChangeEvent,
}

/// How vectors of floats and of signed bytes are written in [`Format::ChangeEvent`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vectors {
    /// As arrays of numbers.
    #[default]
    Array,
    /// As base64 of their bytes, little endian; a third of the size.
    Base64,
}

/// Where a Kafka sink writes, and how.
#[derive(Clone)]
pub struct KafkaSinkOptions {
    /// The task's id: it names the transactions, and `{task}` in topics.
    pub task: String,
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// How we log in to the brokers.
    pub login: KafkaLogin,
    /// Further settings of librdkafka for TLS, the network and throughput, such as
    /// `compression.type`.
    pub producer: BTreeMap<String, String>,
    /// The topic of the records: a template with `{task}` and, for [`Format::ChangeEvent`],
    /// `{database}` and `{collection}`. Characters that Kafka does not allow in a name become `_`.
    pub topic: String,
    /// The topic of schema changes and progress of [`Format::ChangeEvent`], and of an exact sink's
    /// marks: a template with `{task}`.
    pub events_topic: String,
    /// The form of the records.
    pub format: Format,
    /// Whether each append is a transaction (exactly once); otherwise at least once.
    pub exact: bool,
    /// How vectors are written.
    pub vectors: Vectors,
    /// Whether a delete is followed by a record with its key and no value, for compacted topics.
    pub tombstones: bool,
    /// The shortest time between two records of progress.
    pub progress_every: Duration,
    /// Partitions of new topics; `None`: the broker's default.
    pub partitions: Option<u16>,
    /// Replicas of new topics; `None`: the broker's default.
    pub replication: Option<u16>,
    /// The size in bytes from which a [`Format::Replicate`] value takes no further message. The
    /// broker's limit is `message.max.bytes`, by default about 1 MB.
    pub record_bytes: usize,
}

impl fmt::Debug for KafkaSinkOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSinkOptions")
            .field("task", &self.task)
            .field("brokers", &self.brokers)
            .field("login", &self.login)
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

impl KafkaSinkOptions {
    /// Options for the Go tool's format, at least once, without SASL and TLS.
    pub fn new(
        task: impl Into<String>,
        brokers: impl Into<String>,
        topic: impl Into<String>,
    ) -> Self {
        Self {
            task: task.into(),
            brokers: brokers.into(),
            login: KafkaLogin::default(),
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

    /// Whether it may write where another task writes: they have a broker in common, and their
    /// topics may have the same name. A broker that is given by two names counts as two.
    pub fn may_conflict_with(&self, other: &Self) -> bool {
        let templates = [self, other].map(|task| Template::new("topic", &task.topic));
        let [Ok(topic), Ok(others)] = &templates else { return false };
        !brokers(&self.brokers).is_disjoint(&brokers(&other.brokers))
            && topic.may_equal(&self.task, others, &other.task)
    }

    /// Checks the options without connecting.
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
        // Checked before librdkafka sees them: some make it load a library.
        self.producer.keys().try_for_each(|name| allowed_settings::check(name))?;
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
            // Zero means no limit. librdkafka itself refuses what is not a number.
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

    /// The topic of the records, and the topic of the events.
    pub(super) fn topics(&self) -> Result<(Template, Template), InvalidOption> {
        let topic = Template::new("topic", &self.topic)?;
        if self.format == Format::Replicate && topic.names_collections() {
            return Err(InvalidOption::new(
                "topic",
                "a record of the replicate format contains rows of several collections, so its \
                 topic can't name one",
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

    /// The name of the transactions, and of the group with an exact sink's marks.
    pub(super) fn identity(&self) -> String {
        format!("milvus-cdc-{}", self.task)
    }

    /// The settings of the producer.
    pub(super) fn producing(&self) -> ClientConfig {
        let mut config = self.reaching();
        config
            .set("message.timeout.ms", DELIVERY_MS.to_string())
            // Each append waits this long at its end; it is enough to fill requests before.
            .set("linger.ms", "2")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072")
            // The broker decides which records are too large.
            .set("message.max.bytes", "1000000000")
            // Kafka's own clients partition the same way: the rows of a key stay in one partition,
            // whoever writes them.
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

    /// The settings of the client that creates topics.
    pub(super) fn administering(&self) -> ClientConfig {
        self.reaching()
    }

    /// The settings of the client that reads the marks. With `read_committed` librdkafka waits
    /// until offsets of open transactions are settled.
    pub(super) fn remembering(&self) -> ClientConfig {
        let mut config = self.reaching();
        config
            .set("group.id", self.identity())
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// The settings of every client. Those for TLS are among the producer's.
    fn reaching(&self) -> ClientConfig {
        let mut config = self.login.client(&self.brokers);
        for (key, value) in
            self.producer.iter().filter(|(key, _)| allowed_settings::is_for_all(key))
        {
            config.set(key, value);
        }
        config
    }
}

/// The brokers in a list, each in one spelling, without the protocol that librdkafka accepts before
/// it.
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
    use crate::Secret;

    fn options() -> KafkaSinkOptions {
        KafkaSinkOptions::new("t1", "b:9092", "rows")
    }

    #[test]
    fn secrets_are_not_shown_and_settings_reach_the_clients_they_concern() {
        let mut options = KafkaSinkOptions { exact: true, ..options() };
        options.login.password = Secret::new("hunter2");
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
    fn two_tasks_may_conflict_where_they_may_share_a_broker_and_a_topic() {
        let at =
            |task: &str, brokers: &str, topic: &str| KafkaSinkOptions::new(task, brokers, topic);
        let here = at("t1", "a:9092, B:9092", "x.{collection}");
        for brokers in ["b:9092", "c:1,PLAINTEXT://A", "A:9092,"] {
            assert!(here.may_conflict_with(&at("t2", brokers, "x.orders")), "{brokers}");
        }
        assert!(!here.may_conflict_with(&at("t2", "a:9093", "x.orders")));
        assert!(!here.may_conflict_with(&at("t2", "a:9092", "y.orders")));
        let each = "{task}.{database}.{collection}";
        assert!(!at("t1", "a", each).may_conflict_with(&at("t2", "a", each)));
        assert!(at("t1", "[::1]", "rows").may_conflict_with(&at("t2", "[::1]:9092", "rows")));
        assert!(at("t1", "localhost:1", "rows").may_conflict_with(&at(
            "t2",
            "127.0.0.1:1",
            "rows"
        )));
    }

    #[test]
    fn an_unusable_option_is_refused_with_its_field_and_a_remedy() {
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
        // It is refused by its name, although librdkafka would accept it.
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
