//! The topics that a sink writes to; creates those that do not exist. Never changes an existing
//! topic.

use super::producer::{Context, Producer};
use crate::kafka_fault::refused_options;
use crate::kafka_sink::fault::{code, fault};
use crate::kafka_sink::options::KafkaSinkOptions;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode as Code;
use replication::error::{Error, Result};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long the brokers may take to create a topic.
const CREATED_WITHIN: Duration = Duration::from_secs(30);

/// How often a new topic is looked for until the brokers know it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Lets the broker decide.
const BROKERS_DEFAULT: i32 = -1;

/// The topics of one session of a sink.
pub(super) struct Topics {
    admin: ClientConfig,
    partitions: i32,
    replication: i32,
    events: String,
    /// The number of partitions of each known topic.
    known: HashMap<String, i32>,
}

impl Topics {
    /// Starts with the topics that exist.
    pub(super) fn new(
        options: &KafkaSinkOptions,
        events: &str,
        known: HashMap<String, i32>,
    ) -> Self {
        let or_default = |number: Option<u16>| number.map_or(BROKERS_DEFAULT, i32::from);
        Self {
            admin: options.administering(),
            partitions: or_default(options.partitions),
            replication: or_default(options.replication),
            events: events.to_owned(),
            known,
        }
    }

    /// How many partitions a topic has. Creates it if it does not exist.
    pub(super) async fn partitions(&mut self, topic: &str, producer: &Producer) -> Result<i32> {
        if let Some(count) = self.known.get(topic) {
            return Ok(*count);
        }
        self.create(topic).await?;
        let deadline = Instant::now() + CREATED_WITHIN;
        loop {
            let count = producer.partitions(topic).await?;
            if count > 0 {
                self.known.insert(topic.to_owned(), count);
                return Ok(count);
            }
            if Instant::now() > deadline {
                return Err(Error::transient(format!(
                    "the new Kafka topic {topic} does not appear"
                )));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn create(&self, topic: &str) -> Result<()> {
        let admin: AdminClient<Context> = self
            .admin
            .create_with_context(Context::default())
            .map_err(|error| refused_options(&error))?;
        // Events are in order: they have one partition.
        let partitions = if topic == self.events { 1 } else { self.partitions };
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(self.replication));
        let options = AdminOptions::new()
            .operation_timeout(Some(CREATED_WITHIN))
            .request_timeout(Some(CREATED_WITHIN));
        let made = admin.create_topics([&new], &options).await;
        let closed = tokio::task::spawn_blocking(move || drop(admin)).await;
        let what = format!("can't create the Kafka topic {topic}");
        closed.map_err(|error| Error::transient(&*what).because(error))?;
        let made = made.map_err(|error| fault(&what, code(&error), error))?;
        for result in made {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(fault(&what, Some(code), code)),
            }
        }
        Ok(())
    }
}
