//! The first records of a task that goes on where another tool stopped. It begins at message ids that
//! the other one saved, which may lie behind what it had sent; so everything up to the source's
//! present end is fenced: what is on the target already is replaced there, not doubled.
//! Never touches the target; the task finds these records when it starts, as if it had left them.

use crate::context::Ports;
use crate::error::Result;
use crate::message::timestamp;
use crate::ports::{Source, Store, Transaction};
use crate::records::checkpoint::{Checkpoint, Covered, OpPosition, Stage, fence};
use crate::records::checkpoint::{covered, starts};
use crate::records::keys::fence_key;
use crate::records::position::Position;
use crate::task::Task;
use milvus_wire::catalog::Collection;
use milvus_wire::message::decode;
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;

/// Among so many of the newest entries of a channel is a tick, or a row above it. Ticks it is that count: the
/// other tool sends nothing that no tick covers.
const NEWEST: usize = 32;

/// A collection, and where it goes on by physical channel; on a channel that is not named it begins
/// with its first message.
#[derive(Clone, Debug)]
pub struct Taken<'a> {
    /// As the source's catalog has it.
    pub collection: &'a Collection,
    /// The first message to read; what lies before it is done.
    pub from: BTreeMap<String, MessageId>,
    /// What it was called when that was saved, and so is called on the target; the source may have renamed
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
    /// What has a source timestamp at or below it may be on the target already.
    pub fence: Timestamp,
}

impl Takeover<'_> {
    /// Where each channel is to be read from: at the first message that any collection needs.
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
            let mut from = starts(taken.collection);
            for (channel, from) in &mut from {
                if let Some(id) = taken.from.get(channel) {
                    from.id = id.clone();
                }
            }
            // The target may lack it, as one that exists when its task begins. One of which nothing was
            // saved is met in the log, where a namesake that the target still has is dropped before.
            let stage = if taken.from.is_empty() { Stage::Awaited } else { Stage::Existing };
            let covered = covered(taken.collection, from, stage)?;
            let name = taken.called.clone().unwrap_or_else(|| covered.name.clone());
            Covered { name, by_name: true, ..covered }.put(task, &mut stored);
        }
        let position = |id| Position { id, tick: Timestamp::ZERO };
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

/// How far the fence of a task reaches that starts for the first time, which may be long after its import:
/// the other tool may have gone on since. Stored before anything is sent.
pub(crate) async fn fence_at_start(
    task: &Task,
    ports: &Ports,
    begun: &Checkpoint,
) -> Result<Timestamp> {
    let store = &*ports.store;
    let end = present_end(&*ports.source, begun.channels.keys()).await?;
    let mut stored = Transaction::default();
    stored.puts.push((fence_key(&task.id), fence(store, &task.id, end).await?));
    ports.destination.lease().commit_of(store, &task.id, stored).await?;
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
        end = times.map(|message| timestamp(&message)).max().unwrap_or_default().max(end);
    }
    Ok(end)
}
