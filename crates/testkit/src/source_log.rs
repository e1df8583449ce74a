//! Appends messages to the log of a source that only a newer Milvus, or one with further servers,
//! would write. Never writes rows.

use anyhow::{Context as _, Result};
use prost::Message;
use pulsar::{Pulsar, TokioExecutor, producer};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::time::Duration;

/// A broker that is up answers at once.
const WRITTEN_WITHIN: Duration = Duration::from_secs(20);

/// Appends one message to a topic of a queue, a Pulsar if it begins with `pulsar`, else a Kafka,
/// and waits until it is there.
///
/// # Errors
/// If the broker does not take it.
pub async fn append(queue: &str, topic: &str, message: &impl Message) -> Result<()> {
    let payload = message.encode_to_vec();
    let appended = if queue.starts_with("pulsar") {
        tokio::time::timeout(WRITTEN_WITHIN, append_to_pulsar(queue, topic, payload))
            .await
            .context("the time is over")
            .flatten()
    } else {
        append_to_kafka(queue, topic, payload).await
    };
    appended.with_context(|| format!("append to {topic}"))
}

async fn append_to_pulsar(url: &str, topic: &str, payload: Vec<u8>) -> Result<()> {
    // The futures of this client are large.
    let client = Box::pin(Pulsar::builder(url, TokioExecutor).build()).await?;
    let topic = format!("persistent://public/default/{topic}");
    let mut producer = Box::pin(client.producer().with_topic(topic).build()).await?;
    let message = producer::Message { payload, ..Default::default() };
    Box::pin(producer.send_non_blocking(message)).await?.await?;
    Box::pin(producer.close()).await?;
    Ok(())
}

async fn append_to_kafka(broker: &str, topic: &str, payload: Vec<u8>) -> Result<()> {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", broker).create().context("a producer")?;
    let record = FutureRecord::<(), _>::to(topic).partition(0).payload(&payload);
    let sent = producer.send(record, WRITTEN_WITHIN).await;
    sent.map_err(|(error, _)| error)?;
    Ok(())
}
