//! Whether the target is what the source's log stands for: row by row and count for count, as it
//! is, after a flush and a reload, and after a restart; and whether its own log is in order.
//! Never takes the source's word for its rows.

use crate::journal::Journal;
use crate::log::{self, Log};
use crate::truth::{Truth, disorder};
use crate::world::{SOURCE, TARGET, World};
use anyhow::{Context as _, Result, anyhow};
use lab::Server as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::time::Duration;
use testkit::compare::{RowReport, Table};
use testkit::milvus::{Key, Milvus, Reading};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, sleep};

/// From the end of the faults to equality. The settle time of thirty seconds may come more than
/// once.
const EQUAL_WITHIN: Duration = Duration::from_secs(240);

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// How long one look at a target may wait for its ticks.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// How many differing keys are written out with their histories.
const HISTORIES: usize = 40;

/// How many of the calls that the source has lost are written out.
const LOST_MAX: usize = 10;

/// A database and a collection in it.
type Place = (String, String);

/// The ids of a collection on the source and on the target, and a key that differs.
type Differing = (i64, i64, Key);

/// What was seen of both sides.
struct Looked {
    truth: Truth,
    reports: BTreeMap<Place, RowReport>,
    /// What is not a matter of rows.
    other: Vec<String>,
    /// Keys that differ.
    keys: BTreeSet<Differing>,
}

/// What was found equal.
pub(crate) struct Verdict {
    collections: usize,
    rows: u64,
    /// Messages that the source's queue has twice.
    repeated: usize,
    /// Acknowledged calls of which it does not have everything.
    lost: usize,
    /// From the end of the faults until both sides were equal.
    after: Duration,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { collections, rows, repeated, lost, after } = self;
        write!(f, "equal within {:.1} s: {rows} rows in {collections}", after.as_secs_f64())?;
        write!(f, " collections; the source's queue has {repeated} messages twice and lacks {lost}")
    }
}

/// The stages of the judgement, in this order.
#[derive(Clone, Copy)]
enum Stage {
    AsItIs,
    Reloaded,
    Restarted,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsItIs => "the target as it is",
            Self::Reloaded => "after a flush and a reload of the target",
            Self::Restarted => "after a restart of the target",
        })
    }
}

/// Why a run has failed, with the histories of the keys.
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) histories: String,
}

impl Looked {
    fn is_equal(&self) -> bool {
        self.other.is_empty() && self.reports.values().all(RowReport::is_equal)
    }

    fn verdict(&self, journal: &Journal, after: Duration) -> Verdict {
        Verdict {
            collections: self.reports.len(),
            rows: self.reports.values().map(|report| report.target_rows).sum(),
            repeated: self.truth.repeated,
            lost: self.truth.lost_by_the_source(&journal.calls()).len(),
            after,
        }
    }

    fn words(&self) -> String {
        let mut words = self.other.clone();
        let unequal = self.reports.iter().filter(|(_, report)| !report.is_equal());
        words.extend(
            unequal.map(|((database, name), report)| format!("{database}.{name}: {report}")),
        );
        words.join("\n")
    }
}

/// Judges a run whose faults are over and whose writers have ended.
pub(crate) async fn judge(
    world: &mut World,
    journal: &Journal,
) -> Result<std::result::Result<Verdict, Finding>> {
    if let Err(stopped) = world.tasks_run().await {
        return Ok(Err(Finding { what: format!("{stopped:#}"), histories: String::new() }));
    }
    make_readable(&world.at_source).await?;
    let begun = Instant::now();
    let mut verdict = None;
    for stage in [Stage::AsItIs, Stage::Reloaded, Stage::Restarted] {
        match stage {
            Stage::AsItIs => {}
            Stage::Reloaded => flush_and_reload(&world.at_target).await?,
            Stage::Restarted => {
                block_in_place(|| world.target.stop())?;
                block_in_place(|| world.target.bring_back())?;
            }
        }
        match equal(world, journal).await {
            Ok(looked) => {
                verdict.get_or_insert_with(|| looked.verdict(journal, begun.elapsed()));
            }
            Err(mut finding) => {
                finding.what = format!("{stage}: {}", finding.what);
                return Ok(Err(finding));
            }
        }
    }
    Ok(Ok(verdict.context("no stage")?))
}

/// Looks until both sides are equal and the target's log is in order.
async fn equal(world: &World, journal: &Journal) -> std::result::Result<Looked, Finding> {
    let deadline = Instant::now() + EQUAL_WITHIN;
    loop {
        let looked = look(world).await;
        let late = Instant::now() > deadline;
        match looked {
            Ok(looked) if looked.is_equal() || late => {
                let lost = looked.truth.lost_by_the_source(&journal.calls());
                let (there, here) = both_logs(world).map_err(|error| finding(&error))?;
                let disorder = disorder(&there);
                if looked.is_equal() && disorder.is_empty() {
                    return Ok(looked);
                }
                let mut what = looked.words();
                let _ = write!(what, "\nthe target's log: {}", disorder.join("\n  "));
                let _ = write!(what, "\nlost by the source: {}\n  ", lost.len());
                what.push_str(&lost[..lost.len().min(LOST_MAX)].join("\n  "));
                let histories = histories(&looked.keys, journal, &here, &there);
                return Err(Finding { what, histories });
            }
            Err(error) if late => return Err(finding(&error)),
            _ => sleep(LOOK_PAUSE).await,
        }
    }
}

fn finding(error: &anyhow::Error) -> Finding {
    Finding { what: format!("{error:#}"), histories: String::new() }
}

/// The target's log and the source's.
fn both_logs(world: &World) -> Result<(Log, Log)> {
    block_in_place(|| {
        let there = log::read(&world.target_queue.broker(), TARGET)?;
        Ok((there, log::read(&world.queue.broker(), SOURCE)?))
    })
}

/// Looks once at everything.
async fn look(world: &World) -> Result<Looked> {
    let source = block_in_place(|| log::read(&world.queue.broker(), SOURCE))?;
    let truth = Truth::of(&source);
    let clock = world.at_source.clock().await?;
    let (here, there) = (places(&world.at_source).await?, places(&world.at_target).await?);
    let mut other = vec![];
    for (database, name) in there.difference(&here) {
        other.push(format!("{database}.{name} is on the target only"));
    }
    for (database, name) in here.difference(&there) {
        other.push(format!("{database}.{name} is not on the target"));
    }
    let mut reading = JoinSet::new();
    for place in here.intersection(&there).cloned() {
        let source = world.at_source.database(&place.0);
        let target = world.at_target.database(&place.0).patient_for(LOOK_WITHIN);
        let (described, partitions) =
            (source.describe(&place.1).await?, source.partitions(&place.1).await?);
        let expected = truth.table(&place.1, described.collection_id, &partitions);
        reading.spawn(async move {
            let name = place.1.clone();
            let there = target.describe(&name).await.map(|it| it.collection_id);
            let actual = Table::read(&target, &name, Reading::AtLeast(clock)).await;
            let actual = there.map_err(anyhow::Error::from).and_then(|id| Ok((id, actual?)));
            (place, described.collection_id, expected, actual)
        });
    }
    let (mut reports, mut keys) = (BTreeMap::new(), BTreeSet::new());
    while let Some(read) = reading.join_next().await {
        let (place, id, expected, actual) = read?;
        let (there, actual) =
            actual.map_err(|error| anyhow!("reading {}.{}: {error:#}", place.0, place.1))?;
        reports.insert(place, RowReport::of(&expected, &actual));
        keys.extend(differing(&expected, &actual).into_iter().map(|key| (id, there, key)));
    }
    Ok(Looked { truth, reports, other, keys })
}

/// All collections with their databases.
async fn places(milvus: &Milvus) -> Result<BTreeSet<Place>> {
    let mut places = BTreeSet::new();
    for database in milvus.databases().await? {
        let names = milvus.database(&database).collections().await?;
        places.extend(names.into_iter().map(|name| (database.clone(), name)));
    }
    Ok(places)
}

fn differing(expected: &Table, actual: &Table) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    for (name, partition) in &expected.partitions {
        let there = actual.partitions.get(name).map(|partition| &partition.rows);
        let other = partition
            .rows
            .iter()
            .filter(|(key, digest)| there.and_then(|rows| rows.get(key)) != Some(digest));
        keys.extend(other.map(|(key, _)| key.clone()));
    }
    for (name, partition) in &actual.partitions {
        let here = expected.partitions.get(name).map(|partition| &partition.rows);
        let other = partition.rows.keys();
        keys.extend(other.filter(|key| here.is_none_or(|rows| !rows.contains_key(key))).cloned());
    }
    keys
}

/// Loads what a writer has left unloaded, or without an index, because the source was away.
async fn make_readable(source: &Milvus) -> Result<()> {
    for (database, name) in places(source).await? {
        let source = source.database(&database);
        if source.indexes(&name).await?.is_empty() {
            let parameters = [("index_type", "FLAT"), ("metric_type", "L2"), ("params", "{}")];
            source.create_index(&name, "vector", "by_vector", &parameters).await?;
        }
        source.load(&name).await?;
    }
    Ok(())
}

async fn flush_and_reload(target: &Milvus) -> Result<()> {
    for (database, name) in places(target).await? {
        let target = target.database(&database);
        target.flush(&name).await?;
        target.release(&name).await?;
        target.load(&name).await?;
    }
    Ok(())
}

/// What the writers, the source's log and the target's say about some keys.
fn histories(keys: &BTreeSet<Differing>, journal: &Journal, here: &Log, there: &Log) -> String {
    let mut text = String::new();
    let calls = journal.calls();
    for (collection, on_target, key) in keys.iter().take(HISTORIES) {
        let _ = writeln!(text, "key {key} of collection {collection} of the source");
        for call in &calls {
            if call.collection == *collection && call.keys.contains(key) {
                let _ = writeln!(text, "  call    {call}");
            }
        }
        for (side, log, id) in [("source", here, collection), ("target", there, on_target)] {
            for (topic, entries) in log {
                for entry in entries {
                    let Some(rows) = entry.body.rows() else { continue };
                    let concerned = rows.collection == *id;
                    for row in rows.rows.iter().filter(|row| concerned && row.key == *key) {
                        let deed = if row.digest.is_some() { "insert" } else { "delete" };
                        let _ = writeln!(
                            text,
                            "  {side}  {topic} {} {deed} {} in {} of {}: message {}, {:?}",
                            entry.offset,
                            row.timestamp,
                            rows.partition,
                            rows.shard,
                            rows.id,
                            row.digest
                        );
                    }
                }
            }
        }
    }
    if keys.len() > HISTORIES {
        let _ = writeln!(text, "and {} more keys", keys.len() - HISTORIES);
    }
    text
}
