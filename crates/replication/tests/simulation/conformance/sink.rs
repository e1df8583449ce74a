//! The simulated logs against the suite of sinks. Never asks a log that is a task's.

use super::quiet::{block_on, no_faults};
use crate::faults::{Fault, Faults, Verdict};
use crate::script::Script;
use crate::topic::Topic;
use ::conformance::sink::{self, Line, SinkUnderTest};
use async_trait::async_trait;
use replication::ports::{Change, Sink};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn a_log_that_keeps_marks_and_one_that_does_not_are_sinks() {
    for exact in [true, false] {
        // All ways in which an append of the simulation fails.
        for fault in [Fault::LoseAnswer, Fault::Late, Fault::LoseCall, Fault::Refuse] {
            let verdict = Verdict::default();
            block_on(async {
                let logs =
                    Logs { exact, fault, verdict: verdict.clone(), topics: Mutex::default() };
                sink::suite(&logs).await;
                let (away, faults) = logs.topic("away");
                faults.force(Fault::Refuse);
                sink::absence(&[Arc::new(away)]).await;
            });
            assert_eq!(verdict.first(), None, "{fault:?}");
        }
    }
}

/// The logs of some tasks.
struct Logs {
    exact: bool,
    /// What becomes of an append that is cut off.
    fault: Fault,
    verdict: Verdict,
    topics: Mutex<BTreeMap<String, (Topic, Faults)>>,
}

impl Logs {
    fn topic(&self, task: &str) -> (Topic, Faults) {
        let made = || {
            let faults = no_faults();
            let script = Script::new(0, faults.clone(), self.verdict.clone());
            let topic = Topic::new(self.exact, faults.clone(), script, self.verdict.clone());
            (topic.with_reader(), faults)
        };
        self.topics.lock().unwrap().entry(task.to_owned()).or_insert_with(made).clone()
    }
}

#[async_trait]
impl SinkUnderTest for Logs {
    fn sink(&self, task: &str) -> Arc<dyn Sink> {
        Arc::new(self.topic(task).0.anew())
    }

    async fn read(&self, task: &str) -> Vec<Line> {
        let seen = self.topic(task).0.seen().into_iter();
        seen.map(|text| Line { part: String::new(), text }).collect()
    }

    async fn cut_off(&self, task: &str, sink: &dyn Sink, mark: &str, changes: &[Change<'_>]) {
        let (_, faults) = self.topic(task);
        faults.force(self.fault);
        sink.append(mark, changes).await.unwrap_err();
        faults.heal();
    }

    fn long(&self) -> (u64, usize) {
        (20, 10)
    }

    fn late_by(&self) -> Duration {
        Duration::from_secs(4)
    }
}
