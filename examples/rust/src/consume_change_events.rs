//! Follows a topic of change events (`"format": "change_event"`) and prints each change as one line
//! of JSON: `put` with the row, or `delete` with the key. A real consumer writes to its own system
//! where this one prints; it puts and deletes by key, so that a change that comes twice does no
//! harm. Never counts a record as read before it was printed.

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// A broker that is up answers at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long one look for a record takes at most.
const POLL: Duration = Duration::from_millis(500);

/// Prints the changes in a topic of change events.
///
/// Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong command line.
#[derive(Parser)]
struct Arguments {
    /// `host:port`, separated by commas.
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    topic: String,
    /// Who remembers how far was read.
    #[arg(long)]
    group: String,
    /// Stop when nothing more is there at the moment.
    #[arg(long)]
    until_end: bool,
    /// A setting of librdkafka, such as `security.protocol=SASL_SSL`. Repeatable.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("example-consume-change-events: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let consumer = consumer(arguments)?;
    must_be_there(&consumer, arguments)?;
    consumer.subscribe(&[&arguments.topic])?;
    let mut ended = BTreeSet::new();
    let mut out = std::io::stdout();
    loop {
        match consumer.poll(POLL) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            Some(Err(error)) => {
                return Err(error).with_context(|| format!("{} can't be read", arguments.topic));
            }
            Some(Ok(record)) => {
                ended.remove(&record.partition());
                let place = || {
                    let (partition, offset) = (record.partition(), record.offset());
                    format!("partition {partition}, offset {offset} is not a change event")
                };
                if let Some(change) = change_of(&record).with_context(place)? {
                    writeln!(out, "{change}")?;
                    out.flush()?;
                }
                consumer.store_offset_from_message(&record)?;
            }
        }
        if arguments.until_end && is_at_the_end(&consumer, &ended)? {
            // Here the consumer is dropped: it says to the brokers how far was read, and leaves.
            return Ok(());
        }
    }
}

/// Whether all partitions that this reader of the group has are among those.
fn is_at_the_end(consumer: &BaseConsumer, ended: &BTreeSet<i32>) -> Result<bool> {
    // The list must not outlive the consumer, which waits for it when it is dropped.
    let mine = consumer.assignment()?;
    Ok(mine.count() > 0 && mine.elements().iter().all(|it| ended.contains(&it.partition())))
}

fn consumer(arguments: &Arguments) -> Result<BaseConsumer> {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", &arguments.brokers)
        .set("group.id", &arguments.group)
        .set("auto.offset.reset", "earliest")
        // What was read and not yet handled must not count as read.
        .set("enable.auto.offset.store", "false")
        // Rows of an append that failed are in the topic, too, but not for this level.
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set_log_level(RDKafkaLogLevel::Critical);
    for (name, value) in &arguments.settings {
        settings.set(name, value);
    }
    settings.create().context("the settings of librdkafka")
}

/// Without this a wrong address or topic would look like a topic without records.
fn must_be_there(consumer: &BaseConsumer, arguments: &Arguments) -> Result<()> {
    let Arguments { brokers, topic, .. } = arguments;
    let found = consumer
        .fetch_metadata(Some(topic), ANSWER_WITHIN)
        .with_context(|| format!("no answer from the brokers {brokers}"))?;
    let error = found.topics().first().and_then(|topic| topic.error());
    if let Some(error) = error {
        bail!("the topic {topic} can't be read: {}", KafkaError::MetadataFetch(error.into()));
    }
    Ok(())
}

/// What a record says, or nothing: a tombstone only tells Kafka to forget the key.
fn change_of(record: &BorrowedMessage<'_>) -> Result<Option<Value>> {
    let Some(event) = record.payload() else { return Ok(None) };
    let key: Value = serde_json::from_slice(record.key().context("it has no key")?)?;
    let mut event: Value = serde_json::from_slice(event)?;
    let member = |name: &str| {
        event["source"][name].as_str().ok_or_else(|| anyhow!("it has no source.{name}"))
    };
    let table = format!("{}.{}", member("db")?, member("table")?);
    let tt = event["source"]["tt"].clone();
    Ok(Some(match event["op"].as_str() {
        Some("c") => {
            let row = event["after"].take();
            json!({"change": "put", "table": table, "key": key, "row": row, "tt": tt})
        }
        Some("d") => json!({"change": "delete", "table": table, "key": key, "tt": tt}),
        other => bail!("the operation {other:?} is not known"),
    }))
}
