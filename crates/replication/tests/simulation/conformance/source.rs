//! The scripted source against the suite of sources. Never acts by itself: the suite says what is
//! written.

use super::quiet::{block_on, no_faults};
use crate::faults::Verdict;
use crate::script::Script;
use ::conformance::source::{self, Leaving, Losing, SourceUnderTest};
use async_trait::async_trait;
use replication::ports::Source;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn the_scripted_source_is_a_source() {
    block_on(async {
        let script = Script::new(0, no_faults(), Verdict::default());
        script.change(|world| world.log.any_channel = true);
        let queue = Queue(script);
        source::suite(&queue).await;
        source::losses(&queue).await;
        source::absence(&queue).await;
    });
}

struct Queue(Script);

#[async_trait]
impl SourceUnderTest for Queue {
    fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.0.clone())
    }

    async fn create(&self, channel: &str) {
        self.0.change(|world| world.log.create(channel));
    }

    async fn append(&self, channel: &str, payloads: Vec<Vec<u8>>) {
        self.0.change(|world| {
            for payload in payloads {
                world.log.append_bytes(channel, payload.into());
            }
        });
    }

    async fn kept(&self, channel: &str) -> Vec<String> {
        self.0.world().log.has(channel).then(|| channel.to_owned()).into_iter().collect()
    }

    fn doubts_for(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn finds_within(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[async_trait]
impl Losing for Queue {
    async fn lose(&self, channel: &str, entries: usize) {
        self.0.change(|world| world.log.lose(channel, entries));
    }
}

#[async_trait]
impl Leaving for Queue {
    async fn leave(&self) {
        self.0.set_away(true);
    }

    async fn come_back(&self) {
        self.0.set_away(false);
    }
}
