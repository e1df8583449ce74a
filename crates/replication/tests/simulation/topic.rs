//! A log that a task appends to, as Kafka would keep it: either each append is all or nothing, or
//! one that failed leaves a part of itself.
//! Never forgives a violation: it is in the verdict.

use crate::faults::{Fault, Faults, Verdict};
use crate::milvus::key_of;
use crate::script::Script;
use async_trait::async_trait;
use milvus_wire::message::{Message, RowKind, RowMessage};
use milvus_wire::proto::{msg, schema::i_ds};
use milvus_wire::timestamp::Timestamp;
use prost::Message as _;
use replication::error::{Error, Result};
use replication::message::Routed;
use replication::ports::{Change, Ddl, MARKS, Sink};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How late an append may still come whose answer was lost.
const LATE_MAX_MS: u64 = 3000;

#[derive(Clone, Debug)]
enum Entry {
    Row(RowMessage),
    Create { id: i64, name: String },
    Drop { name: String },
    Rename { name: String, to: String },
    CreatePartition { collection: String, partition: String },
    DropPartition { collection: String, partition: String },
    Tick(Timestamp),
}

/// What a reader of the log knows of a collection.
#[derive(Default)]
struct Collection {
    id: i64,
    partitions: BTreeSet<String>,
    /// The ids that rows have given to partitions.
    named: BTreeMap<String, i64>,
    /// Version and partition by key.
    rows: BTreeMap<i64, (i64, i64)>,
    /// The place of the last message by channel.
    last: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Kept {
    marks: Vec<String>,
    /// Whoever opened it last; what others append does not appear.
    owner: u64,
    ticked: Timestamp,
    collections: BTreeMap<String, Collection>,
    met: BTreeSet<i64>,
    /// What a reader has seen, in order, if there is one that wants all of it.
    seen: Option<Vec<String>>,
}

/// The log. A clone is another process's way to it.
#[derive(Clone)]
pub(crate) struct Topic {
    exact: bool,
    kept: Arc<Mutex<Kept>>,
    /// As whom this process appends, and the marks it knows.
    mine: Arc<Mutex<(u64, Vec<String>)>>,
    faults: Faults,
    script: Script,
    verdict: Verdict,
}

impl Topic {
    pub(crate) fn new(exact: bool, faults: Faults, script: Script, verdict: Verdict) -> Self {
        Self { exact, kept: Arc::default(), mine: Arc::default(), faults, script, verdict }
    }

    /// For a process that knows nothing yet.
    pub(crate) fn anew(&self) -> Self {
        Self { mine: Arc::default(), ..self.clone() }
    }

    /// The same, with a reader of all that is appended from now on.
    pub(crate) fn with_reader(self) -> Self {
        self.kept.lock().unwrap().seen = Some(Vec::new());
        self
    }

    /// All that its reader has seen, in order.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.kept.lock().unwrap().seen.clone().unwrap_or_default()
    }

    /// Up to where its readers know that they have all.
    pub(crate) fn ticked(&self) -> Timestamp {
        self.kept.lock().unwrap().ticked
    }

    /// What its readers have wrong; `None` if nothing.
    pub(crate) fn difference(&self) -> Option<String> {
        let kept = self.kept.lock().unwrap();
        let world = self.script.world();
        let there: BTreeSet<_> = kept.collections.iter().map(|(n, c)| (n.clone(), c.id)).collect();
        let here = world.live();
        if here != there {
            return Some(format!("collections: source {here:?}, log {there:?}"));
        }
        kept.collections.iter().find_map(|(name, c)| {
            let mut partitions = world.partitions_of(c.id);
            partitions.remove("_default");
            if partitions != c.partitions {
                return Some(format!("partitions of {name}: {:?}", c.partitions));
            }
            let truth = world.truth(c.id)?;
            (*truth != c.rows).then(|| format!("{name}: expected {truth:?}, found {:?}", c.rows))
        })
    }

    fn add(&self, kept: &mut Kept, entry: Entry) {
        if let Some(seen) = &mut kept.seen {
            seen.extend(entry.text());
        }
        match entry {
            Entry::Row(row) => self.add_row(kept, &row),
            Entry::Create { id, name } => {
                let known = kept.collections.get(&name).map(|c| c.id);
                match known {
                    Some(known) if known == id && !self.exact => {}
                    Some(known) => self.violated(format!("{name} is created as {id} over {known}")),
                    None => {
                        kept.collections.insert(name, Collection { id, ..Default::default() });
                    }
                }
            }
            Entry::Drop { name } => match kept.collections.remove(&name) {
                // Told of, not known to be told of, and gone on the source before it was its turn.
                Some(gone) if !self.exact && gone.last.is_empty() => {}
                // Everything before the drop must have come before it.
                Some(gone) if self.script.world().truth(gone.id) != Some(&gone.rows) => {
                    self.violated(format!("I2: {name} dropped too early: {:?}", gone.rows));
                }
                None if self.exact => self.violated(format!("{name} is dropped twice")),
                _ => {}
            },
            Entry::Rename { name, to } => match kept.collections.remove(&name) {
                Some(_) if kept.collections.contains_key(&to) => {
                    self.violated(format!("{name} is renamed to {to}, which exists"));
                }
                Some(it) => {
                    kept.collections.insert(to, it);
                }
                None if self.exact => self.violated(format!("{name} is renamed twice")),
                None => {}
            },
            Entry::CreatePartition { collection, partition } => {
                if let Some(c) = kept.collections.get_mut(&collection)
                    && !c.partitions.insert(partition)
                    && self.exact
                {
                    self.violated(format!("a partition of {collection} is created twice"));
                }
            }
            Entry::DropPartition { collection, partition } => {
                if let Some(c) = kept.collections.get_mut(&collection) {
                    let there = c.partitions.remove(&partition);
                    if !there && self.exact {
                        self.violated(format!("a partition of {collection} is dropped twice"));
                    }
                    let gone = c.named.remove(&partition);
                    c.rows.retain(|_, (_, partition)| Some(*partition) != gone);
                }
            }
            Entry::Tick(at) => {
                if at < kept.ticked && self.exact {
                    self.violated(format!("I3: the tick {at} after {}", kept.ticked));
                }
                kept.ticked = kept.ticked.max(at);
            }
        }
    }

    fn add_row(&self, kept: &mut Kept, row: &RowMessage) {
        let Some(c) = kept.collections.get_mut(&row.collection) else {
            self.violated(format!("a row of {} before its creation", row.collection));
            return;
        };
        if !kept.met.insert(row.msg_id) && self.exact {
            self.verdict.violated(format!("I7: the message {} comes twice", row.msg_id));
        }
        if let Some(place) = self.script.world().order_of(row.msg_id) {
            let last = c.last.insert(row.vchannel.clone(), place);
            if self.exact && last.is_some_and(|last| place < last) {
                self.verdict
                    .violated(format!("I2: {} at place {place} after {last:?}", row.msg_id));
            }
        }
        match row.kind {
            RowKind::Insert => {
                let (version, key) = inserted(row);
                c.named.insert(row.partition.clone(), row.partition_id.0);
                c.rows.insert(key, (version, row.partition_id.0));
            }
            RowKind::Delete => {
                let keys = deleted(row);
                c.rows.retain(|key, _| !keys.contains(key));
            }
        }
    }

    fn violated(&self, what: String) {
        self.verdict.violated(what);
    }

    /// Appends as whoever opened it under this number, unless somebody else has since.
    fn append_as(&self, owner: u64, mark: &str, entries: Vec<Entry>) -> Result<()> {
        let mut kept = self.kept.lock().unwrap();
        if kept.owner != owner {
            return Err(Error::transient("simulated: another one has opened the log"));
        }
        for entry in entries {
            self.add(&mut kept, entry);
        }
        kept.marks.push(mark.to_owned());
        Ok(())
    }
}

impl Entry {
    /// As a reader tells it; ticks go without saying.
    fn text(&self) -> Option<String> {
        Some(match self {
            Self::Row(row) => match row.kind {
                RowKind::Insert => format!("insert {}", inserted(row).1),
                RowKind::Delete => {
                    let keys: Vec<_> = deleted(row).iter().map(i64::to_string).collect();
                    format!("delete {}", keys.join(" "))
                }
            },
            Self::Create { name, .. } => format!("CreateCollection {name}"),
            Self::Drop { name } => format!("DropCollection {name}"),
            Self::Rename { name, .. } => format!("RenameCollection {name}"),
            Self::CreatePartition { partition, .. } => format!("CreatePartition {partition}"),
            Self::DropPartition { partition, .. } => format!("DropPartition {partition}"),
            Self::Tick(_) => return None,
        })
    }
}

/// Version and key of an inserted row.
fn inserted(row: &RowMessage) -> (i64, i64) {
    let insert = msg::InsertRequest::decode(row.raw.clone()).unwrap();
    let key = insert.fields_data.first().and_then(key_of).unwrap();
    (insert.row_i_ds[0], key)
}

/// The keys of deleted rows.
fn deleted(row: &RowMessage) -> Vec<i64> {
    let delete = msg::DeleteRequest::decode(row.raw.clone()).unwrap();
    match delete.primary_keys.unwrap().id_field {
        Some(i_ds::IdField::IntId(keys)) => keys.data,
        _ => vec![],
    }
}

fn entry_of(change: &Change<'_>) -> Option<Entry> {
    Some(match change {
        Change::Message(Routed { read, place, .. }) => match &read.entry.message {
            Message::Row(row) => {
                Entry::Row(RowMessage { collection: place.name.name.clone(), ..row.clone() })
            }
            // Requests tell of drops.
            _ => return None,
        },
        Change::Tick { at, .. } => Entry::Tick(*at),
        Change::Request(ddl, _) => match (*ddl).clone() {
            Ddl::CreateCollection { name, collection, .. } => {
                Entry::Create { id: collection.id.0, name: name.name }
            }
            Ddl::DropCollection(name) => Entry::Drop { name: name.name },
            Ddl::CreatePartition { collection, partition, .. } => {
                Entry::CreatePartition { collection: collection.name, partition }
            }
            Ddl::DropPartition { collection, partition, .. } => {
                Entry::DropPartition { collection: collection.name, partition }
            }
            Ddl::RenameCollection { from, to, .. } => {
                Entry::Rename { name: from.name, to: to.name }
            }
            Ddl::CreateDatabase(_)
            | Ddl::AlterCollection { .. }
            | Ddl::GiveAlias { .. }
            | Ddl::DropAlias { .. }
            | Ddl::Op(_) => return None,
        },
    })
}

#[async_trait]
impl Sink for Topic {
    async fn open(&self) -> Result<()> {
        self.faults.reading().await?;
        let mut kept = self.kept.lock().unwrap();
        kept.owner += 1;
        let from = kept.marks.len().saturating_sub(MARKS);
        let known = if self.exact { kept.marks[from..].to_vec() } else { Vec::new() };
        *self.mine.lock().unwrap() = (kept.owner, known);
        Ok(())
    }

    async fn ping(&self) -> Result<()> {
        self.faults.reading().await
    }

    fn is_exact(&self) -> bool {
        self.exact
    }

    fn holds(&self, mark: &str) -> bool {
        self.mine.lock().unwrap().1.iter().any(|known| known == mark)
    }

    async fn append(&self, mark: &str, changes: &[Change<'_>]) -> Result<()> {
        let mut entries: Vec<_> = changes.iter().filter_map(entry_of).collect();
        let fault = self.faults.next();
        tracing::debug!(now = %self.script.now(), mark, entries = entries.len(), ?fault, "append");
        let owner = self.mine.lock().unwrap().0;
        let late = Duration::from_millis(self.faults.below(LATE_MAX_MS));
        let failed = || Err(Error::transient("simulated: not appended, or nobody knows"));
        if !self.exact && !matches!(fault, Fault::None | Fault::Slow) {
            let left = usize::try_from(self.faults.below(entries.len() as u64 + 1)).unwrap();
            entries.truncate(left);
        }
        let later = |entries: Vec<Entry>| {
            let (this, mark) = (self.clone(), mark.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                let appended = this.append_as(owner, &mark, entries);
                tracing::debug!(?appended, mark, "late append");
            });
        };
        match fault {
            Fault::None | Fault::Slow => self.append_as(owner, mark, entries),
            Fault::Refuse | Fault::LoseCall => failed(),
            Fault::LoseAnswer => {
                self.append_as(owner, mark, entries)?;
                failed()
            }
            Fault::Late => {
                later(entries);
                failed()
            }
            Fault::CrashBefore => self.faults.die().await,
            Fault::CrashAfter => {
                later(entries);
                self.faults.die().await
            }
        }
    }
}
