//! Writes into the log of a source what a Milvus newer than the one at hand would write, or what it
//! writes only with servers that are not here. Never writes rows.

use anyhow::{Context as _, Result};
use prost::Message;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::time::Duration;

/// A broker that is up answers at once.
const WRITTEN_WITHIN: Duration = Duration::from_secs(20);

/// Appends one message to a topic and waits until it is there.
///
/// # Errors
/// If the broker does not take it.
pub async fn append(broker: &str, topic: &str, message: &impl Message) -> Result<()> {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", broker).create().context("a producer")?;
    let payload = message.encode_to_vec();
    let record = FutureRecord::<(), _>::to(topic).partition(0).payload(&payload);
    let sent = producer.send(record, WRITTEN_WITHIN).await;
    sent.map_err(|(error, _)| error).with_context(|| format!("append to {topic}"))?;
    Ok(())
}
