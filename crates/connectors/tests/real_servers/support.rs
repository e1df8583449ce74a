//! What all tests here need: servers, waiting. Never sleeps where it can wait for something.

use lab::{Kafka, KafkaOptions, READY_WITHIN, Server};
use std::future::Future;
use std::sync::{LazyLock, Once};
use std::time::Duration;
use tempfile::TempDir;

/// Anything that works at all is done by then.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Waits for something that must not take for ever; names the caller if it does.
#[track_caller]
pub(crate) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let done = tokio::time::timeout(SOON, future).await;
        done.unwrap_or_else(|_| panic!("took too long at {caller}"))
    }
}

/// Logs go to the test's output.
pub(crate) fn logged() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().init();
    });
}

/// A broker that all tests share; it ends with this process.
pub(crate) fn shared_kafka() -> &'static Kafka {
    static SHARED: LazyLock<(Kafka, TempDir)> =
        LazyLock::new(|| own_kafka(KafkaOptions::default()));
    &SHARED.0
}

/// A broker for one test.
pub(crate) fn own_kafka(options: KafkaOptions) -> (Kafka, TempDir) {
    logged();
    let installed = lab::install_servers().unwrap();
    let run = tempfile::tempdir().unwrap();
    let mut kafka = Kafka::start(&installed, &run.path().join("kafka"), options).unwrap();
    kafka.wait_ready(READY_WITHIN).unwrap();
    (kafka, run)
}
