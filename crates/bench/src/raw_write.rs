//! Measures how fast librdkafka can write to a Kafka with the settings of the sink: the limit of
//! the broker and the machine, to compare the sink with. Never reads or encodes anything.

use anyhow::{Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The size of a record of the format `replicate`.
const RECORD_BYTES: usize = 900_000;

const WRITTEN_WITHIN: Duration = Duration::from_secs(600);

/// How long it waits when the client's queue is full.
const FULL_FOR: Duration = Duration::from_millis(2);

/// Counts what the broker has acknowledged.
#[derive(Default)]
struct Acknowledged(AtomicU64);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
    }
}

/// Writes so many bytes into the partitions of a new topic, in turns; returns megabytes a second.
pub(crate) fn raw_write(brokers: &str, topic: &str, partitions: i32, bytes: u64) -> Result<f64> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", "2")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.kbytes", "131072");
    let producer: ThreadedProducer<_> = config.create_with_context(Acknowledged::default())?;
    // Random base64, so that compression gains nothing.
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value: Vec<u8> = (0..RECORD_BYTES).map(|n| letters[(n * n / 7 + n) % 64]).collect();
    let records = bytes.div_ceil(RECORD_BYTES as u64);
    let begun = Instant::now();
    for n in 0..records {
        let partition = i32::try_from(n % u64::from(partitions.unsigned_abs()))?;
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(&value);
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            if begun.elapsed() > WRITTEN_WITHIN {
                bail!("{n} of {records} records after {WRITTEN_WITHIN:?}");
            }
            record = back;
            std::thread::sleep(FULL_FOR);
        }
    }
    producer.flush(WRITTEN_WITHIN)?;
    let acknowledged = producer.context().0.load(Ordering::Relaxed);
    ensure!(acknowledged == records, "{acknowledged} of {records} records were acknowledged");
    Ok((records * RECORD_BYTES as u64) as f64 / 1e6 / begun.elapsed().as_secs_f64())
}
