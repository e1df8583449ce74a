//! `dryRun`: tasks read what they would replicate and log it. Nothing is written to a target, and
//! their progress is lost with the process. Never reaches a target.

use crate::tasks::TaskRecord;
use crate::world::{TargetClient, Targets};
use async_trait::async_trait;
use milvus_wire::ids::CollectionName;
use milvus_wire::message::Message;
use milvus_wire::timestamp::Timestamp;
use replication::error::Result;
use replication::ports::{Change, Ddl, Sink};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes the place of every target.
pub(crate) struct NoTargets;

impl Targets for NoTargets {
    fn open(&self, task: &TaskRecord) -> Result<TargetClient> {
        Ok(TargetClient::Log(Arc::new(LogOnly { task: task.task_id.clone() })))
    }
}

/// A sink that only logs what it gets.
struct LogOnly {
    task: String,
}

#[async_trait]
impl Sink for LogOnly {
    async fn open(&self) -> Result<()> {
        Ok(())
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn holds(&self, _: &str) -> bool {
        false
    }

    async fn append(&self, _: &str, changes: &[Change<'_>]) -> Result<()> {
        let mut rows: BTreeMap<_, u64> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Message(routed) => {
                    if let Message::Row(row) = &routed.read.entry.message {
                        let place = (&routed.place.name, row.kind);
                        *rows.entry(place).or_default() += row.rows;
                    }
                }
                Change::Request(request, at) => self.log_request(request, *at),
                Change::Tick { .. } => {}
            }
        }
        for ((CollectionName { database, name: collection }, kind), rows) in rows {
            tracing::info!(task = self.task, database, collection, ?kind, rows, "dry run: rows");
        }
        Ok(())
    }
}

impl LogOnly {
    fn log_request(&self, request: &Ddl, at: Timestamp) {
        let (task, what) = (&*self.task, request.what());
        tracing::info!(task, request = request.name(), what, %at, "dry run: request");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::conformance::sink::{self, Line, SinkUnderTest, texts};
    use serde_json::Value;
    use std::io::Write;
    use std::sync::Mutex;
    use std::time::Duration;

    #[tokio::test]
    async fn what_a_dry_run_logs_is_a_sink() {
        let logged = Logged::default();
        let subscriber = tracing_subscriber::fmt().json().with_writer({
            let logged = logged.clone();
            move || logged.clone()
        });
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        sink::suite(&logged).await;
    }

    /// The log of this program, to which a dry run writes.
    #[derive(Clone, Default)]
    struct Logged(Arc<Mutex<Vec<u8>>>);

    impl Write for Logged {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line(text: String) -> Line {
        Line { part: String::new(), text }
    }

    #[async_trait]
    impl SinkUnderTest for Logged {
        fn sink(&self, task: &str) -> Arc<dyn Sink> {
            Arc::new(LogOnly { task: task.to_owned() })
        }

        async fn read(&self, task: &str) -> Vec<Line> {
            let logged = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            let lines = logged.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let of_the_task = lines.map(|mut line| line["fields"].take());
            let of_the_task = of_the_task.filter(|fields| fields["task"] == task);
            let text = |fields: Value| {
                let field = |name: &str| fields[name].as_str().unwrap().to_owned();
                match fields["message"].as_str().unwrap() {
                    "dry run: rows" => {
                        let place = format!("{}.{}", field("database"), field("collection"));
                        format!("{} {} of {place}", field("kind"), fields["rows"])
                    }
                    "dry run: request" => format!("{} {}", field("request"), field("what")),
                    other => panic!("a dry run does not log {other}"),
                }
            };
            of_the_task.map(text).map(line).collect()
        }

        /// Requests one by one, then how many rows there are of each kind.
        fn shown(&self, changes: &[Change<'_>]) -> Vec<Line> {
            let is_request = |change: &&Change<'_>| matches!(change, Change::Request(..));
            let mut shown: Vec<_> = changes.iter().filter(is_request).flat_map(texts).collect();
            let all: Vec<_> = changes.iter().flat_map(texts).collect();
            for (kind, verb) in [("Delete", "delete "), ("Insert", "insert ")] {
                let rows = all.iter().filter(|text| text.starts_with(verb)).count();
                let place = format!("{}.{}", sink::DATABASE, sink::COLLECTION);
                shown.extend((rows > 0).then(|| format!("{kind} {rows} of {place}")));
            }
            shown.into_iter().map(line).collect()
        }

        /// It never fails, and never waits.
        async fn cut_off(&self, _: &str, sink: &dyn Sink, mark: &str, changes: &[Change<'_>]) {
            sink.append(mark, changes).await.unwrap();
        }

        fn long(&self) -> (u64, usize) {
            (10, 10)
        }

        fn late_by(&self) -> Duration {
            Duration::ZERO
        }
    }
}
