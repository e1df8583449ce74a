//! The first records of a task that goes on where another tool stopped. The task starts at the
//! message ids that the other tool saved. The other tool may have sent more than that, so
//! everything up to the source's present end is fenced: rows that are on the target already are
//! replaced there. Never touches the target. The task finds these records at its start as if it had
//! written them.

use crate::context::Context;
use crate::error::Result;
use crate::ports::{Source, Store, Transaction};
use crate::records::checkpoint::{Checkpoint, OpPosition, ReplicatedCollection, Stage, fence};
use crate::records::keys::fence_key;
use crate::records::position::Position;
use milvus_wire::catalog::Collection;
use milvus_wire::message::decode;
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;

/// The newest 32 entries of a channel contain a tick, or a row above one. Only ticks matter,
/// because the other tool sends nothing that no tick covers.
const NEWEST: usize = 32;

/// A collection, and where it goes on, by physical channel. On a channel that is not named the
/// collection starts with its first message.
#[derive(Clone, Debug)]
pub struct Taken<'a> {
    /// As the source's catalog has it.
    pub collection: &'a Collection,
    /// The first message to read; what lies before it is done.
    pub from: BTreeMap<String, MessageId>,
    /// Its name when that was saved, which is its name on the target. The source may have renamed
    /// it since.
    pub called: Option<String>,
}

/// Where a task goes on.
#[derive(Clone, Debug, Default)]
pub struct Takeover<'a> {
    /// Its collections.
    pub collections: Vec<Taken<'a>>,
    /// The first message of the op channel.
    pub op: MessageId,
    /// Messages with a source timestamp at or below it may be on the target already.
    pub fence: Timestamp,
}

impl Takeover<'_> {
    /// Where to start reading each channel: at the first message that any collection needs.
    pub fn channels(&self, source: &dyn Source) -> BTreeMap<String, MessageId> {
        let mut channels: BTreeMap<String, MessageId> = BTreeMap::new();
        for taken in &self.collections {
            for (channel, from) in begins(taken) {
                let first = channels.entry(channel).or_insert_with(|| from.clone());
                if source.compare(&from, first).is_lt() {
                    *first = from;
                }
            }
        }
        channels
    }

    /// The records, to be stored together with the task itself.
    pub async fn records(
        &self,
        source: &dyn Source,
        store: &dyn Store,
        task: &str,
    ) -> Result<Transaction> {
        let mut stored = Transaction::default();
        for taken in &self.collections {
            let mut start = ReplicatedCollection::starts_of(taken.collection);
            for (channel, start) in &mut start {
                if let Some(id) = taken.from.get(channel) {
                    start.id = id.clone();
                }
            }
            // The target may lack a collection that existed when the other tool began. A collection
            // of which nothing was saved is created when the log announces it; a namesake that the
            // target still has is dropped by the log before.
            let stage = if taken.from.is_empty() { Stage::Awaited } else { Stage::Existing };
            let new = ReplicatedCollection::new(taken.collection, start, stage)?;
            let name = taken.called.clone().unwrap_or_else(|| new.name.clone());
            ReplicatedCollection { name, by_name: true, ..new }.put(task, &mut stored);
        }
        let position = |id| Position::new(id, Timestamp::ZERO);
        let channels = self.channels(source).into_iter().map(|(name, id)| (name, position(id)));
        let checkpoint = Checkpoint::new(channels.collect(), None);
        Checkpoint { taken_over: true, ..checkpoint }.put(task, &mut stored);
        OpPosition::new(self.op.clone(), Timestamp::ZERO).put(task, &mut stored);
        if self.fence > Timestamp::ZERO {
            stored.puts.push((fence_key(task), fence(store, task, self.fence).await?));
        }
        Ok(stored)
    }
}

fn begins(taken: &Taken<'_>) -> BTreeMap<String, MessageId> {
    let starts = taken.collection.start_positions.iter();
    starts
        .map(|(channel, start)| (channel.clone(), taken.from.get(channel).unwrap_or(start).clone()))
        .collect()
}

/// How far the fence of a task reaches at its first start. The other tool may have gone on since
/// the import, so the fence is moved up to the present end, and stored before anything is sent.
pub(crate) async fn fence_at_start(context: &Context, begun: &Checkpoint) -> Result<Timestamp> {
    let end = present_end(&*context.ports.source, begun.channels.keys()).await?;
    let mut stored = Transaction::default();
    stored.puts.push(context.records().fence(end).await?);
    context.records().commit(stored).await?;
    Ok(end)
}

/// The newest timestamp at the end of any of these channels. Whoever read them before now has sent
/// nothing above it.
pub async fn present_end(
    source: &dyn Source,
    channels: impl IntoIterator<Item = &String>,
) -> Result<Timestamp> {
    let mut end = Timestamp::ZERO;
    for channel in channels {
        let newest = source.newest(channel, NEWEST).await?;
        let times = newest.into_iter().filter_map(|record| decode(record.payload).ok());
        end = times.map(|message| message.timestamp()).max().unwrap_or_default().max(end);
    }
    Ok(end)
}
