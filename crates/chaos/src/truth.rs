//! The rows that a source's log stands for, and what a target's log must never contain. Never asks
//! a Milvus: one that restarts forgets rows by itself, its log does not.

use crate::journal::{Call, Deed};
use crate::log::{Body, Log, Rows};
use std::collections::{BTreeMap, HashMap, HashSet};
use testkit::compare::{Partition, Table};
use testkit::milvus::Key;
use testkit::rows::Digest;

/// How many examples of a fault are named.
const EXAMPLES_MAX: usize = 20;

/// A timestamp, whether it is an insert, the key, the partition, what is inserted.
type Change<'a> = (u64, bool, &'a Key, i64, Option<Digest>);

/// A live row: its partition, its timestamp, what it is.
type Live = (i64, u64, Digest);

/// The rows of every collection that ever was, by id.
pub(crate) struct Truth {
    collections: HashMap<i64, BTreeMap<Key, Vec<Live>>>,
    /// Messages that the source's queue has twice.
    pub(crate) repeated: usize,
    /// Each key that was inserted, with its collection and timestamp.
    inserted: HashSet<(i64, Key, u64)>,
    /// How often each key was deleted.
    deleted: HashMap<(i64, Key), usize>,
}

impl Truth {
    /// Replays a log in the order of timestamps, a delete before an insert of the same one:
    /// together they are an upsert.
    pub(crate) fn of(log: &Log) -> Self {
        let mut seen = HashSet::new();
        let mut repeated = 0;
        let mut by_collection: HashMap<i64, Vec<Change<'_>>> = HashMap::new();
        let (mut inserted, mut deleted) = (HashSet::new(), HashMap::new());
        for (topic, entries) in log {
            for rows in entries.iter().filter_map(|entry| entry.body.rows()) {
                if !seen.insert((topic, rows.id)) {
                    repeated += 1;
                    continue;
                }
                let all = by_collection.entry(rows.collection).or_default();
                for row in &rows.rows {
                    let is_insert = row.digest.is_some();
                    let key = (rows.collection, row.key.clone());
                    if is_insert {
                        inserted.insert((key.0, key.1, row.timestamp));
                    } else {
                        *deleted.entry(key).or_default() += 1;
                    }
                    all.push((row.timestamp, is_insert, &row.key, rows.partition, row.digest));
                }
            }
        }
        let replayed = by_collection.into_iter().map(|(id, mut changes)| {
            changes.sort_by_key(|(timestamp, is_insert, ..)| (*timestamp, *is_insert));
            let mut live: BTreeMap<Key, Vec<Live>> = BTreeMap::new();
            for (timestamp, _, key, partition, digest) in changes {
                let rows = live.entry(key.clone()).or_default();
                match digest {
                    Some(digest) => rows.push((partition, timestamp, digest)),
                    None => rows.retain(|(place, of, _)| {
                        *of >= timestamp || (partition > 0 && *place != partition)
                    }),
                }
            }
            (id, live)
        });
        Self { collections: replayed.collect(), repeated, inserted, deleted }
    }

    /// The table of a collection with these partitions, by name.
    pub(crate) fn table(&self, name: &str, id: i64, partitions: &BTreeMap<String, i64>) -> Table {
        let names: HashMap<i64, &String> =
            partitions.iter().map(|(name, id)| (*id, name)).collect();
        let mut table: BTreeMap<String, Partition> =
            partitions.keys().map(|name| (name.clone(), Partition::default())).collect();
        for (key, rows) in self.collections.get(&id).into_iter().flatten() {
            for (partition, _, digest) in rows {
                // One that was dropped took its rows with it.
                let partition = names.get(partition).and_then(|name| table.get_mut(*name));
                if let Some(partition) = partition {
                    partition.rows.insert(key.clone(), *digest);
                    partition.counted += 1;
                }
            }
        }
        let counted = table.values().map(|partition| partition.counted).sum();
        Table {
            collection: name.to_owned(),
            key_field: "id".to_owned(),
            partitions: table,
            counted,
        }
    }

    /// Acknowledged writes that the source's log lacks. None of them is milvus-cdc's fault. Milvus
    /// 2.3.5 does not say when it has deleted, so deletes of a key are only counted.
    pub(crate) fn lost_by_the_source(&self, calls: &[Call]) -> Vec<String> {
        let mut lost = vec![];
        let mut deletes: HashMap<(i64, &Key), usize> = HashMap::new();
        for call in calls {
            let Ok(timestamp) = call.answer else { continue };
            let has = |key: &Key| match call.deed {
                Deed::Insert | Deed::Upsert => {
                    self.inserted.contains(&(call.collection, key.clone(), timestamp))
                }
                Deed::Delete => true,
            };
            let missing = call.keys.iter().filter(|key| !has(key)).count();
            if missing > 0 {
                lost.push(format!("{call}: {missing} of its keys are not in the source's log"));
            }
            if call.deed != Deed::Insert {
                for key in &call.keys {
                    *deletes.entry((call.collection, key)).or_default() += 1;
                }
            }
        }
        for ((collection, key), calls) in deletes {
            let found = self.deleted.get(&(collection, key.clone())).copied().unwrap_or(0);
            if found < calls {
                lost.push(format!("{key} was deleted {calls} times, in the log {found} times"));
            }
        }
        lost
    }
}

impl Body {
    /// The rows of a message that has some.
    pub(crate) fn rows(&self) -> Option<&Rows> {
        match self {
            Self::Rows(rows) => Some(rows),
            _ => None,
        }
    }
}

/// What is wrong in a target's log: ticks that go back, rows at or below an earlier tick, and
/// messages that come again behind the tick that released them.
pub(crate) fn disorder(log: &Log) -> Vec<String> {
    let mut faults = vec![];
    for (topic, entries) in log {
        let mut last_tick = 0;
        let mut highest = 0;
        let (mut window, mut released) = (HashSet::new(), HashSet::new());
        for entry in entries {
            let offset = entry.offset;
            match &entry.body {
                Body::Tick(tick) => {
                    if *tick < last_tick {
                        faults.push(format!("{topic} {offset}: tick {tick} after {last_tick}"));
                    }
                    if *tick < highest {
                        faults.push(format!("{topic} {offset}: tick {tick} below row {highest}"));
                    }
                    if *tick > last_tick {
                        last_tick = *tick;
                        released.extend(window.drain());
                    }
                }
                Body::Rows(rows) => {
                    let low = rows.rows.iter().map(|row| row.timestamp).min().unwrap_or(u64::MAX);
                    if low <= last_tick {
                        let id = rows.id;
                        faults.push(format!(
                            "{topic} {offset}: row {low} of message {id} at or below tick \
                             {last_tick}"
                        ));
                    }
                    if released.contains(&rows.id) {
                        let id = rows.id;
                        faults
                            .push(format!("{topic} {offset}: message {id} behind its tick again"));
                    }
                    window.insert(rows.id);
                    let top = rows.rows.iter().map(|row| row.timestamp).max().unwrap_or(0);
                    highest = highest.max(top);
                }
                Body::Other => {}
            }
        }
    }
    let more = faults.len().saturating_sub(EXAMPLES_MAX);
    faults.truncate(EXAMPLES_MAX);
    if more > 0 {
        faults.push(format!("and {more} more"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Entry, Row};
    use std::time::Duration;
    use testkit::milvus::CollectionSpec;
    use testkit::rows::{Columns, RowGenerator, RowId};

    fn digest(version: u64) -> Digest {
        let spec = CollectionSpec::small("t", 4);
        let generator = RowGenerator::new(&spec.schema, 0).unwrap();
        Columns::new(generator.columns(&[RowId { key: 1, version }])).unwrap().digest(0)
    }

    /// Messages of key 1: id, timestamp, version of an insert.
    fn log(messages: &[(i64, u64, Option<u64>)], ticks: &[(usize, u64)]) -> Log {
        let mut entries = vec![];
        for (at, &(id, timestamp, version)) in messages.iter().enumerate() {
            for (_, tick) in ticks.iter().filter(|(place, _)| *place == at) {
                entries.push(Body::Tick(*tick));
            }
            let row = Row { key: Key::Int(1), timestamp, digest: version.map(digest) };
            entries.push(Body::Rows(Rows {
                id,
                shard: "c_1v0".to_owned(),
                collection: 1,
                partition: if version.is_some() { 5 } else { -1 },
                rows: vec![row],
            }));
        }
        let entries = entries.into_iter().enumerate();
        let entries = entries.map(|(at, body)| Entry { offset: at as i64, body });
        [("c".to_owned(), entries.collect())].into()
    }

    fn table(messages: &[(i64, u64, Option<u64>)]) -> Table {
        let partitions = [("_default".to_owned(), 5)].into();
        Truth::of(&log(messages, &[])).table("t", 1, &partitions)
    }

    #[test]
    fn rows_are_what_their_timestamps_say_whatever_the_order_in_the_log() {
        assert_eq!(table(&[(1, 10, Some(1))]).counted, 1);
        assert_eq!(table(&[(2, 20, None), (1, 10, Some(1))]).counted, 0);
        assert_eq!(table(&[(1, 10, Some(1)), (2, 5, None)]).counted, 1);
        let upserted = table(&[(1, 10, Some(1)), (3, 20, Some(2)), (2, 20, None)]);
        assert_eq!(upserted.counted, 1);
        assert_eq!(upserted.partitions["_default"].rows[&Key::Int(1)], digest(2));
    }

    #[test]
    fn a_message_that_the_queue_has_twice_counts_once_and_rows_of_one_key_as_they_are() {
        assert_eq!(table(&[(1, 10, Some(1)), (1, 10, Some(1))]).counted, 1);
        assert_eq!(table(&[(1, 10, Some(1)), (2, 11, Some(1))]).counted, 2);
    }

    #[test]
    fn an_acknowledged_write_that_the_log_lacks_is_named() {
        let truth = Truth::of(&log(&[(2, 10, None), (1, 10, Some(1))], &[]));
        let call = |answer| Call {
            at: Duration::ZERO,
            collection: 1,
            deed: Deed::Upsert,
            keys: vec![Key::Int(1)],
            answer,
        };
        assert!(truth.lost_by_the_source(&[call(Ok(10)), call(Err(String::new()))]).is_empty());
        // An upsert is a delete as well.
        assert_eq!(truth.lost_by_the_source(&[call(Ok(11)), call(Ok(10))]).len(), 2);
    }

    #[test]
    fn each_kind_of_disorder_is_found() {
        let row = |id, at| (id, at, Some(1));
        assert!(disorder(&log(&[row(1, 5), row(1, 5), row(2, 9)], &[(2, 5)])).is_empty());
        for (messages, ticks, expected) in [
            (vec![row(1, 9), row(2, 9)], vec![(0, 5), (1, 4)], "tick 4 after 5"),
            (vec![row(1, 5)], vec![(0, 5)], "row 5 of message 1 at or below tick 5"),
            (vec![row(1, 9), row(2, 9)], vec![(1, 8)], "tick 8 below row 9"),
            (vec![row(1, 5), row(1, 9)], vec![(1, 6)], "message 1 behind its tick again"),
        ] {
            let faults = disorder(&log(&messages, &ticks)).join("; ");
            assert!(faults.contains(expected), "{faults}");
        }
    }
}
