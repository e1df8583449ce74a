//! A consumer of one channel of the target, as Milvus's query and data nodes are. Source:
//! `MqTtMsgStream` in `pkg/mq/msgstream/mq_msgstream.go` of Milvus 2.3, `bufMsgPackToChannel` and
//! `continueBuffering`. Never asks what time it is: whoever has one says when its ticks are old.

use bytes::Bytes;
use milvus_wire::message::{Message, RowMessage, decode};
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeSet;

/// What a consumer has read and not passed on.
#[derive(Default)]
pub(crate) struct Consumer {
    /// Above every tick so far.
    held: Vec<RowMessage>,
    /// At or below a tick.
    pack: Vec<RowMessage>,
    end: Timestamp,
    passed_on: Timestamp,
}

impl Consumer {
    /// The tick up to which it has passed everything on.
    pub(crate) fn passed_on(&self) -> Timestamp {
        self.passed_on
    }

    /// Whether no row waits for a tick.
    pub(crate) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    /// Reads a message. Returns whether it was a tick, behind which the consumer may pass on what
    /// it has. It goes on collecting while its ticks are more than ten seconds old and what it has
    /// is not large.
    pub(crate) fn read(&mut self, raw: &Bytes) -> bool {
        match decode(raw.clone()).unwrap() {
            Message::Row(row) => self.held.push(row),
            Message::Tick(at) if at > self.passed_on => {
                let (pack, held) =
                    std::mem::take(&mut self.held).into_iter().partition(|r| r.timestamp <= at);
                self.pack.extend::<Vec<_>>(pack);
                (self.held, self.end) = (held, at);
                return true;
            }
            _ => {}
        }
        false
    }

    /// Passes on what it has collected, in the order of its timestamps, without every second
    /// message of the same id.
    pub(crate) fn pass_on(&mut self) -> Vec<RowMessage> {
        self.passed_on = self.end;
        let mut met = BTreeSet::new();
        let mut pack = std::mem::take(&mut self.pack);
        pack.retain(|row| met.insert(row.msg_id));
        pack.sort_by_key(|row| (row.timestamp, row.kind));
        pack
    }
}

/// What a consumer passes on that begins to read long after everything was written, or that starts
/// again from a checkpoint now and then: it passes on behind one tick of `every`, or at the end.
pub(crate) fn read_late(log: &[Bytes], every: usize, rng: &mut fastrand::Rng) -> Vec<RowMessage> {
    let mut consumer = Consumer::default();
    let mut passed_on = Vec::new();
    for raw in log {
        if consumer.read(raw) && rng.usize(0..every) == 0 {
            passed_on.extend(consumer.pass_on());
        }
    }
    passed_on.extend(consumer.pass_on());
    passed_on
}
