//! Reads the topics of a Kafka with librdkafka. Never commits an offset.

use super::reading::{ANSWER_WITHIN, Clock, RawRead, RawResult, STALL};
use anyhow::{Context, Result, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Milvus uses one partition per topic.
const PARTITION: i32 = 0;

pub(super) fn read(asked: &RawRead) -> Result<RawResult> {
    let consumer: BaseConsumer = config(asked).create().context("librdkafka's settings")?;
    let mut left = 0;
    let mut ends = HashMap::new();
    let mut all = TopicPartitionList::new();
    for topic in &asked.topics {
        let marks = consumer.fetch_watermarks(topic, PARTITION, ANSWER_WITHIN);
        let (low, high) = marks.with_context(|| format!("the size of {topic}"))?;
        if high > low {
            all.add_partition_offset(topic, PARTITION, Offset::Offset(low))?;
            ends.insert(topic.as_str(), high);
            left += 1;
        }
    }
    let clock = Clock::start()?;
    consumer.assign(&all).context("assign the topics")?;
    let (mut messages, mut bytes) = (0, 0);
    let mut last = Instant::now();
    while left > 0 {
        let Some(polled) = consumer.poll(Duration::from_millis(100)) else {
            ensure!(last.elapsed() < STALL, "nothing came for {STALL:?}, {left} topics left");
            continue;
        };
        let message = polled.context("read")?;
        let end = ends.get(message.topic()).copied().unwrap_or(0);
        // Messages from after we began are not counted.
        if message.offset() < end {
            messages += 1;
            bytes += message.payload_len() as u64;
            left -= usize::from(message.offset() + 1 == end);
        }
        last = Instant::now();
    }
    clock.stop(messages, bytes)
}

fn config(asked: &RawRead) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &asked.brokers)
        // librdkafka wants a group, even if nobody ever joins it.
        .set("group.id", "raw-reader")
        .set("enable.auto.commit", "false");
    for (key, value) in &asked.settings {
        config.set(key, value);
    }
    config
}
