//! How to reach the Kafka of a source, and the settings of librdkafka for it. Never shows a secret.

use crate::{KafkaLogin, prefetch_share};
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::fmt;

/// A response stays in memory as long as one of its messages: small responses are freed sooner.
const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// The most prefetched messages of one channel: ticks are tiny, and each may keep a response in
/// memory.
const CHANNEL_MESSAGES_MAX: usize = 4096;

/// How to reach the Kafka of a source Milvus.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// How we log in to the brokers.
    pub login: KafkaLogin,
    /// Further settings of librdkafka, such as `ssl.ca.location`. They can't switch on commits or
    /// the creation of topics.
    pub consumer: BTreeMap<String, String>,
    /// How many channels are expected to be open at a time; they share the memory for prefetching.
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
            .field("login", &self.login)
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
            login: KafkaLogin::default(),
            consumer: BTreeMap::new(),
            channels: prefetch_share::CHANNELS,
        }
    }

    /// The settings of librdkafka for the client that reads channels, for a tool that wants to read
    /// the same way. They contain the secrets.
    pub fn reading_settings(&self) -> BTreeMap<String, String> {
        let config = self.reading();
        let settings = config.config_map().into_iter();
        settings.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// The settings of the client that reads channels.
    pub(super) fn reading(&self) -> ClientConfig {
        // A channel takes its queue, and one fetch on top of it.
        let half = prefetch_share::of_a_channel(self.channels) / 2;
        self.config(&[
            ("queued.max.messages.kbytes", (half >> 10).to_string()),
            ("queued.min.messages", CHANNEL_MESSAGES_MAX.to_string()),
            ("max.partition.fetch.bytes", half.to_string()),
            ("fetch.max.bytes", RESPONSE_BYTES_MAX.to_string()),
            // How long a channel with a full queue is not fetched. The default of a second would
            // stall catching up: a queue is emptied within milliseconds.
            ("fetch.queue.backoff.ms", "1".to_owned()),
            // The client fetches one channel after the other. If all others have enough, a fetch
            // waits this long at the end of a quiet channel, and nothing else is fetched. The
            // default of half a second made catching up ten times slower (measured).
            ("fetch.wait.max.ms", "20".to_owned()),
            // Milvus creates topics at any time; they have to be noticed within about a second.
            ("topic.metadata.refresh.interval.ms", "1000".to_owned()),
            // Unknown topics are looked for again for ever, without a report of each attempt.
            ("topic.metadata.propagation.max.ms", "1000".to_owned()),
        ])
    }

    /// The settings of the client that looks at the ends of channels, one channel at a time.
    pub(super) fn probing(&self) -> ClientConfig {
        self.config(&[
            ("queued.max.messages.kbytes", "1024".to_owned()),
            ("max.partition.fetch.bytes", (256 << 10).to_string()),
            ("fetch.max.bytes", (1 << 20).to_string()),
            // A fetch of the previous channel delays the next one by no more than this.
            ("fetch.wait.max.ms", "10".to_owned()),
        ])
    }

    fn config(&self, own: &[(&str, String)]) -> ClientConfig {
        let mut config = self.login.client(&self.brokers);
        // librdkafka requires a group; nothing is ever stored under it.
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
    use crate::Secret;

    #[test]
    fn secrets_are_not_shown_and_extra_settings_cannot_switch_on_commits() {
        let mut options = KafkaOptions::new("b:9092");
        options.login.password = Secret::new("hunter2");
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
            options.login.protocol = protocol.into();
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
