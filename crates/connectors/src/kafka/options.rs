//! How to reach a Kafka, and what librdkafka is told. Never shows a secret.

use crate::kafka_login::Login;
use crate::{Secret, prefetch_share};
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::fmt;

/// A response is kept in memory as long as one of its messages is: small ones go sooner.
const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// Prefetched messages of one channel: ticks are tiny, and each may keep a response alive.
const CHANNEL_MESSAGES_MAX: usize = 4096;

/// How to reach the Kafka of a source Milvus.
#[derive(Clone)]
pub struct KafkaOptions {
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
    /// Further settings of librdkafka, such as `ssl.ca.location`. They can't switch on commits or
    /// the creation of topics.
    pub consumer: BTreeMap<String, String>,
    /// How many channels are expected to be open at a time: each gets its share of the memory.
    pub channels: usize,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self::new("")
    }
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("brokers", &self.brokers)
            .field("sasl_username", &self.sasl_username)
            .field("sasl_password", &self.sasl_password)
            .field("sasl_mechanisms", &self.sasl_mechanisms)
            .field("security_protocol", &self.security_protocol)
            // The values may be secrets (`ssl.key.password`).
            .field("consumer", &self.consumer.keys())
            .field("channels", &self.channels)
            .finish()
    }
}

impl KafkaOptions {
    /// Without SASL and TLS.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            sasl_username: String::new(),
            sasl_password: Secret::default(),
            sasl_mechanisms: String::new(),
            security_protocol: String::new(),
            consumer: BTreeMap::new(),
            channels: prefetch_share::CHANNELS,
        }
    }

    /// What librdkafka is told by the client that reads channels, for whoever wants to read as it
    /// does. Holds the secrets.
    pub fn reading_settings(&self) -> BTreeMap<String, String> {
        let config = self.reading();
        let settings = config.config_map().into_iter();
        settings.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// For the client that reads channels.
    pub(super) fn reading(&self) -> ClientConfig {
        // A channel holds its queue, and one fetch on top of it.
        let half = prefetch_share::of_a_channel(self.channels) / 2;
        self.config(&[
            ("queued.max.messages.kbytes", (half >> 10).to_string()),
            ("queued.min.messages", CHANNEL_MESSAGES_MAX.to_string()),
            ("max.partition.fetch.bytes", half.to_string()),
            ("fetch.max.bytes", RESPONSE_BYTES_MAX.to_string()),
            // How long a channel whose queue is full is not fetched. The default of a second would
            // stall catching up: a queue is emptied within milliseconds.
            ("fetch.queue.backoff.ms", "1".to_owned()),
            // A fetch is under way for one channel after the other: if all others have enough, it waits
            // so long at the end of a quiet one, and nothing else is fetched. The default of half a
            // second stalled catching up to a tenth of its rate (seen).
            ("fetch.wait.max.ms", "20".to_owned()),
            // Topics are created by Milvus at any time and must be noticed within about a second.
            ("topic.metadata.refresh.interval.ms", "1000".to_owned()),
            // Unknown topics are retried for ever; nobody is interested in hearing of it.
            ("topic.metadata.propagation.max.ms", "1000".to_owned()),
        ])
    }

    /// For the client that looks at the ends of channels: one channel at a time.
    pub(super) fn probing(&self) -> ClientConfig {
        self.config(&[
            ("queued.max.messages.kbytes", "1024".to_owned()),
            ("max.partition.fetch.bytes", (256 << 10).to_string()),
            ("fetch.max.bytes", (1 << 20).to_string()),
            // A fetch of the channel looked at before delays the next one by no more than this.
            ("fetch.wait.max.ms", "10".to_owned()),
        ])
    }

    fn config(&self, own: &[(&str, String)]) -> ClientConfig {
        let login = Login {
            username: &self.sasl_username,
            password: &self.sasl_password,
            mechanisms: &self.sasl_mechanisms,
            protocol: &self.security_protocol,
        };
        let mut config = login.client(&self.brokers);
        // Required by the client; nothing is ever stored under it.
        config.set("group.id", "milvus-cdc");
        for (key, value) in own {
            config.set(*key, value);
        }
        for (key, value) in &self.consumer {
            config.set(key, value);
        }
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "false")
            .set("allow.auto.create.topics", "false")
            .set("auto.offset.reset", "error");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_extra_settings_cannot_switch_on_commits() {
        let mut options = KafkaOptions::new("b:9092");
        options.sasl_password = Secret::new("hunter2");
        options.consumer.insert("ssl.key.password".into(), "hunter3".into());
        options.consumer.insert("enable.auto.commit".into(), "true".into());
        options.consumer.insert("fetch.max.bytes".into(), "1000001".into());
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter"), "{shown}");
        let config = options.reading();
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("fetch.max.bytes"), Some("1000001"));
    }

    #[test]
    fn brokers_that_speak_tls_are_checked_by_the_systems_authorities_or_those_given() {
        let authorities = |protocol: &str, given: Option<&str>| {
            let mut options = KafkaOptions::new("b:9093");
            options.security_protocol = protocol.into();
            options.consumer.extend(given.map(|file| ("ssl.ca.location".into(), file.into())));
            options.reading().get("ssl.ca.location").map(str::to_owned)
        };
        assert_eq!(authorities("SASL_PLAINTEXT", None), None);
        assert_eq!(authorities("SASL_SSL", None).as_deref(), Some("probe"));
        assert_eq!(authorities("SSL", Some("ca.pem")).as_deref(), Some("ca.pem"));
    }

    #[test]
    fn all_expected_channels_together_stay_within_the_prefetch_budget() {
        for channels in [1, 17, 64] {
            let options = KafkaOptions { channels, ..KafkaOptions::new("b:9092") };
            let config = options.reading();
            let number = |key| config.get(key).unwrap().parse::<usize>().unwrap();
            let share =
                number("queued.max.messages.kbytes") * 1024 + number("max.partition.fetch.bytes");
            assert!(share * channels <= prefetch_share::PREFETCH_BYTES_MAX, "{channels}");
        }
    }
}
