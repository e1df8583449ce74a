//! A drop that some shards tell later than a tick which covers it. The first message of it ends the
//! collection or partition here, so that the later ones would find nothing, and the target's nodes
//! on those shards would keep what they have of it. Never drops anything that no message drops.

use crate::message::{Entry, Read};
use crate::rows::roster::Roster;
use milvus_wire::message::{DdlMessage, Message};
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;

/// Copies of the drops of a round for the shards that have not told them yet.
pub(super) fn missing(round: &[Read], roster: &Roster) -> Vec<Read> {
    let mut first: BTreeMap<_, &Read> = BTreeMap::new();
    for read in round {
        let Some(drop) = drop_of(read) else { continue };
        let earliest = first.entry((drop.collection_id, drop.partition_id)).or_insert(read);
        if read.entry.order < earliest.entry.order {
            *earliest = read;
        }
    }
    first.into_values().flat_map(|drop| for_others(drop, round, roster)).collect()
}

fn for_others(drop: &Read, round: &[Read], roster: &Roster) -> Vec<Read> {
    let Some(dropped) = drop_of(drop) else { return Vec::new() };
    let Some(collection) = roster.get(dropped.collection_id) else { return Vec::new() };
    let at = drop.entry.order;
    let has = |channel: &str| {
        let is_it = |read: &&Read| &*read.channel == channel && tells(read, dropped, at);
        round.iter().any(|read| is_it(&read))
    };
    let silent = collection.pchannels().filter(|channel| !has(channel));
    // Behind everything that was read of that shard.
    let entry = Entry { seq: u64::MAX, ..drop.entry.clone() };
    silent.map(|channel| Read { channel: channel.into(), entry: entry.clone() }).collect()
}

fn tells(read: &Read, drop: &DdlMessage, at: Timestamp) -> bool {
    let is_same = |told: &DdlMessage| {
        (told.collection_id, told.partition_id) == (drop.collection_id, drop.partition_id)
    };
    read.entry.order == at && drop_of(read).is_some_and(is_same)
}

fn drop_of(read: &Read) -> Option<&DdlMessage> {
    match &read.entry.message {
        Message::DropCollection(drop) | Message::DropPartition(drop) => Some(drop),
        _ => None,
    }
}
