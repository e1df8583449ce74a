//! Writes to one collection: inserts, upserts and deletes of few keys, again and again. Never gives
//! a key a second row, and never minds a call that fails: it is written down.

use crate::journal::{Deed, Journal};
use anyhow::Result;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::milvus::{CollectionSpec, Fault, Key, Milvus};
use testkit::rows::{Random, RowGenerator, RowId};
use tokio::sync::watch;

/// A source that stands still must not keep a writer for longer.
const CALL_WITHIN: Duration = Duration::from_secs(10);

/// Different keys of a collection: few, so that keys have long histories.
const KEYS: u64 = 1500;

/// The most rows of a call.
const ROWS: u64 = 40;

/// From one call to the next one, in milliseconds.
const BEAT: [u64; 2] = [20, 160];

/// The partition beside the default one.
const PARTITION: &str = "beside";

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The source has a row.
    There,
    /// It has none.
    Gone,
    /// A call was not acknowledged.
    Perhaps,
}

/// Writes to one collection.
pub(crate) struct Writer {
    source: Milvus,
    name: String,
    id: i64,
    generator: RowGenerator,
    journal: Journal,
    known: BTreeMap<u64, Known>,
    /// Unlike in every earlier call, so that a row shows which call wrote it.
    version: u64,
}

impl Writer {
    /// Creates the collection with two partitions, ready for questions.
    pub(crate) async fn begin(
        source: &Milvus,
        spec: &CollectionSpec,
        journal: &Journal,
        seed: u64,
    ) -> Result<Self> {
        source.create_collection(spec).await?;
        source.create_partition(spec.name(), PARTITION).await?;
        source.make_ready(spec).await?;
        Self::of(source, spec, journal, seed).await
    }

    /// For a collection that is there.
    pub(crate) async fn of(
        source: &Milvus,
        spec: &CollectionSpec,
        journal: &Journal,
        seed: u64,
    ) -> Result<Self> {
        Ok(Self {
            source: source.patient_for(CALL_WITHIN),
            name: spec.name().to_owned(),
            id: source.describe(spec.name()).await?.collection_id,
            generator: RowGenerator::new(&spec.schema, seed)?,
            journal: journal.clone(),
            known: BTreeMap::new(),
            version: 0,
        })
    }

    /// The collection has another name from now on.
    pub(crate) fn renamed(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// Writes until it is told to stop.
    pub(crate) async fn run(mut self, mut random: Random, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow_and_update() {
            self.write(&mut random).await;
            let beat = BEAT[0] + random.below(BEAT[1] - BEAT[0]);
            tokio::time::sleep(Duration::from_millis(beat)).await;
        }
    }

    /// One call. A partition is chosen by its keys: an upsert replaces a row only in its own.
    pub(crate) async fn write(&mut self, random: &mut Random) {
        let side = random.below(2);
        let partition = if side == 0 { "" } else { PARTITION };
        let chosen = self.choose(random, side);
        let deed = match random.below(100) {
            0..40 => Deed::Insert,
            40..75 => Deed::Upsert,
            _ => Deed::Delete,
        };
        self.call(deed, partition, chosen).await;
    }

    /// Some keys of a partition, neighbours half of the time.
    fn choose(&self, random: &mut Random, side: u64) -> Vec<u64> {
        let count = 1 + random.below(ROWS);
        let first = random.below(KEYS / 2);
        let scattered = random.below(2) == 0;
        let mut keys: Vec<u64> = (0..count)
            .map(|at| if scattered { random.below(KEYS / 2) } else { (first + at) % (KEYS / 2) })
            .map(|half| half * 2 + side)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Makes a call and writes it down. Only keys that the source surely lacks are inserted: a
    /// second row of a key would be the source's own fault.
    pub(crate) async fn call(&mut self, deed: Deed, partition: &str, mut chosen: Vec<u64>) {
        if deed == Deed::Insert {
            chosen.retain(|key| *self.known.get(key).unwrap_or(&Known::Gone) == Known::Gone);
        }
        if chosen.is_empty() {
            return;
        }
        self.version += 1;
        let version = self.version;
        let rows: Vec<RowId> = chosen.iter().map(|&key| RowId { key, version }).collect();
        let keys: Vec<Key> = chosen.iter().map(|&key| self.generator.key(key)).collect();
        let batch = || self.generator.batch(&self.name, partition, &rows);
        let answer = match deed {
            Deed::Insert => self.source.insert(batch()).await,
            Deed::Upsert => self.source.upsert(batch()).await,
            Deed::Delete => self.source.delete_keys(&self.name, "id", &keys).await,
        };
        let answer: Result<u64, Fault> = answer.map(|answer| answer.timestamp);
        let known = match (&answer, deed) {
            (Err(_), _) => Known::Perhaps,
            (Ok(_), Deed::Delete) => Known::Gone,
            (Ok(_), _) => Known::There,
        };
        self.known.extend(chosen.into_iter().map(|key| (key, known)));
        self.journal.enter(self.id, deed, keys, &answer);
    }
}
