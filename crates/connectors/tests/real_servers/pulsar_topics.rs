//! Topics of a Pulsar as anybody writes them and looks at them. Never reads one with the product's
//! source.

use crate::support::soon;
use connectors::pulsar::PulsarOptions;
use pulsar::producer::Message;
use pulsar::{ProducerOptions, TokioExecutor};
use std::time::{Duration, Instant};

/// How the source reaches a server.
pub(crate) fn options(server: &lab::Pulsar) -> PulsarOptions {
    PulsarOptions::new(server.url().strip_prefix("pulsar://").unwrap())
}

/// Appends messages to a topic.
pub(crate) async fn produce(
    server: &lab::Pulsar,
    topic: &str,
    payloads: impl Iterator<Item = Vec<u8>>,
) {
    produce_with(server, topic, ProducerOptions::default(), payloads).await;
}

/// The same in batches or compressed.
pub(crate) async fn produce_with(
    server: &lab::Pulsar,
    topic: &str,
    options: ProducerOptions,
    payloads: impl Iterator<Item = Vec<u8>>,
) {
    // The futures of this client are large.
    let client = pulsar::Pulsar::builder(server.url(), TokioExecutor);
    let client = Box::pin(client.build()).await.unwrap();
    let topic = format!("persistent://public/default/{topic}");
    let is_batching = options.batch_size.is_some();
    let options = ProducerOptions { block_queue_if_full: true, ..options };
    let producer = client.producer().with_topic(topic).with_options(options);
    let mut producer = Box::pin(producer.build()).await.unwrap();
    let mut sent = Vec::new();
    for payload in payloads {
        let message = Message { payload, ..Message::default() };
        sent.push(Box::pin(producer.send_non_blocking(message)).await.unwrap());
    }
    if is_batching {
        producer.send_batch().await.unwrap();
    }
    for sent in sent {
        soon(sent).await.unwrap();
    }
    soon(Box::pin(producer.close())).await.unwrap();
}

/// The subscriptions of a topic.
pub(crate) fn subscriptions(server: &lab::Pulsar, topic: &str) -> serde_json::Value {
    let path = format!("persistent/public/default/{topic}/stats");
    let stats: serde_json::Value =
        serde_json::from_str(&server.admin("GET", &path, "").unwrap()).unwrap();
    stats["subscriptions"].clone()
}

/// Waits for what the broker does behind a closed connection or a request.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
