//! What every [`Sink`] must pass. What only an exact sink promises is asked of those that say
//! [`Sink::is_exact`]. Each case has a task of its own, so a log may be shared.
//! Never reads a log itself: [`SinkUnderTest`] does, with a reader that shares no code with the
//! sink.
//!
//! Not checked, and why:
//! - "A log of changes for readers that are not a Milvus, such as the topics of a Kafka." It says
//!   what it is.
//! - "Called before anything else, and again after an append that failed." "The mark names them:
//!   the same changes have the same in every run." These bind the caller. The simulation holds it
//!   to them.
//! - "Any other sink may say no of all." Both answers are right.
//! - That what is durable outlives the log's own server: no log can be asked to crash here. The
//!   tests of each sink with a real server kill it.

use crate::cases::{Cases, becomes, done, soon};
use async_trait::async_trait;
use futures::future::join_all;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, CollectionName, DatabaseId};
use milvus_wire::message::{Message, RowKind, RowMessage, decode};
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg::{DeleteRequest, InsertRequest};
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::i_ds::IdField;
use milvus_wire::proto::schema::scalar_field::Data;
use milvus_wire::proto::schema::{
    CollectionSchema, DataType, FieldData, FieldSchema, IDs, LongArray, ScalarField, StringArray,
};
use milvus_wire::timestamp::Timestamp;
use prost::Message as _;
use replication::error::{Kind, Result};
use replication::message::{Entry, Place, Read, Routed};
use replication::ports::{Change, Ddl, MARKS, Sink};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The database and the collection of all rows.
pub const DATABASE: &str = "shop";
/// See [`DATABASE`].
pub const COLLECTION: &str = "books";

/// The source's only channel.
const CHANNEL: &str = "dml_3";

/// One second after 1970.
const BEGIN: u64 = 1000 << 18;

/// Appends that are asked for at the same time, and the rows of each.
const AT_ONCE: u64 = 8;
const ROWS_EACH: u64 = 20;

/// Between two looks for what is not to come.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A change as a reader finds it in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The part of the log that it is in. There is an order within each part, and no other.
    pub part: String,
    /// What the reader makes of it.
    pub text: String,
}

/// What the suite needs of an implementation and its log.
#[async_trait]
pub trait SinkUnderTest: Sync {
    /// The sink of a task, for a process that knows nothing yet.
    fn sink(&self, task: &str) -> Arc<dyn Sink>;

    /// All that a reader finds in the log of a task now.
    async fn read(&self, task: &str) -> Vec<Line>;

    /// How a reader is to find the changes of one append.
    fn shown(&self, changes: &[Change<'_>]) -> Vec<Line> {
        let texts = changes.iter().flat_map(texts);
        texts.map(|text| Line { part: String::new(), text }).collect()
    }

    /// Asks for an append and gives it up, or lets it fail, when some of it may be in the log.
    async fn cut_off(&self, task: &str, sink: &dyn Sink, mark: &str, changes: &[Change<'_>]);

    /// How many rows of how many bytes it takes until an append can be cut off.
    fn long(&self) -> (u64, usize);

    /// How late something may come that was on its way when an append was cut off.
    fn late_by(&self) -> Duration;
}

/// What a reader that wants all of it is to know of a change: `insert 7` and `delete 7` with the
/// keys of the rows, of a request its name and what it concerns, nothing of a tick.
pub fn texts(change: &Change<'_>) -> Vec<String> {
    match change {
        Change::Message(routed) => match &routed.read.entry.message {
            Message::Row(row) => rows_of(row),
            _ => vec![],
        },
        Change::Request(request, _) => vec![format!("{} {}", request.name(), request.what())],
        Change::Tick { .. } => vec![],
    }
}

/// The rows of a message, as `insert 7` and `delete 7`.
pub fn rows_of(row: &RowMessage) -> Vec<String> {
    let verb = if row.kind == RowKind::Insert { "insert" } else { "delete" };
    keys(row.kind, &row.raw).iter().map(|key| format!("{verb} {key}")).collect()
}

fn keys(kind: RowKind, raw: &[u8]) -> Vec<i64> {
    match kind {
        RowKind::Insert => {
            let column = done(InsertRequest::decode(raw)).fields_data.swap_remove(0);
            match column.field {
                Some(Field::Scalars(ScalarField { data: Some(Data::LongData(keys)), .. })) => {
                    keys.data
                }
                other => panic!("the keys are no integers: {other:?}"),
            }
        }
        RowKind::Delete => match done(DeleteRequest::decode(raw)).primary_keys {
            Some(IDs { id_field: Some(IdField::IntId(keys)) }) => keys.data,
            other => panic!("the keys are no integers: {other:?}"),
        },
    }
}

/// The cases that need a log that works.
pub async fn suite(world: &impl SinkUnderTest) {
    let mut cases = Cases::of("the sink");
    let is_exact = world.sink("asked").is_exact();
    cases.case("A task has one of its own.", tasks_do_not_meet(world)).await;
    cases.case("Whether it answers; changes nothing.", a_ping_changes_nothing(world)).await;
    let sentence = "Appends changes behind all that was appended before, in order, durable when \
                    it returns.";
    cases.case(sentence, changes_are_appended_in_order(world)).await;
    let sentence = "Appends that are asked for at the same time go one after the other.";
    cases.case(sentence, appends_do_not_mix(world)).await;
    let sentence = "Whether the log is known to have what was appended under this mark.";
    cases.case(sentence, no_mark_is_made_up(world)).await;
    let sentence = "From now on nothing appears of what was appended before and is not there \
                    yet.";
    cases.case(sentence, nothing_comes_behind_an_open(world, false)).await;
    if is_exact {
        let sentence = "An exact sink shuts out whoever appended for this task; any other one \
                        only drops what it has not sent itself.";
        cases.case(sentence, whoever_was_before_is_shut_out(world)).await;
        cases.case(sentence, nothing_comes_behind_an_open(world, true)).await;
        let sentence = "An exact sink knows the last [`MARKS`] that were there when it was \
                        opened; of older ones it may say no.";
        cases.case(sentence, the_last_marks_are_learned(world)).await;
        let sentence = "Whether each append is all or nothing, and its mark a part of it.";
        cases.case(sentence, what_was_cut_off_is_repeated(world)).await;
    } else {
        let sentence = "If not, an append that failed may have left some of its changes, and the \
                        next one repeats them.";
        cases.case(sentence, what_was_cut_off_is_repeated(world)).await;
    }
    cases.end();
}

/// The cases of sinks whose log can't be reached.
pub async fn absence(away: &[Arc<dyn Sink>]) {
    let mut cases = Cases::of("the sink");
    let each = |asked: Result<()>| asked.map_err(|error| error.kind);
    let sentence = "Reaches the log and learns the marks that are there.";
    let opened = async {
        let opens = join_all(away.iter().map(|sink| sink.open()));
        let opened: Vec<_> = soon("an open", opens).await.into_iter().map(each).collect();
        assert_eq!(opened, vec![Err(Kind::Transient); away.len()]);
    };
    cases.case(sentence, opened).await;
    let pinged = async {
        let pings = join_all(away.iter().map(|sink| sink.ping()));
        let pinged: Vec<_> = soon("a ping", pings).await.into_iter().map(each).collect();
        assert_eq!(pinged, vec![Err(Kind::Transient); away.len()]);
    };
    cases.case("Whether it answers; changes nothing.", pinged).await;
    cases.end();
}

async fn tasks_do_not_meet(world: &impl SinkUnderTest) {
    let mut logs = [Log::opened(world, "one").await, Log::opened(world, "other").await];
    for round in 0..3 {
        for log in &mut logs {
            log.insert(round..round + 1).await;
        }
    }
    for log in &logs {
        log.is_as_expected().await;
    }
}

async fn a_ping_changes_nothing(world: &impl SinkUnderTest) {
    let mut log = Log::opened(world, "pinged").await;
    log.insert(0..3).await;
    done(soon("a ping", log.sink.ping()).await);
    done(soon("a ping", world.sink("pinged").ping()).await);
    log.is_as_expected().await;
    log.insert(3..6).await;
    log.is_as_expected().await;
}

async fn changes_are_appended_in_order(world: &impl SinkUnderTest) {
    let mut log = Log::opened(world, "in-order").await;
    for round in 0..5 {
        let rows: Vec<_> = (0..10)
            .flat_map(|key| {
                let at = BEGIN + 100 * round + 10 * key;
                [delete(key, at), insert(key, at + 1, 10)]
            })
            .collect();
        let request = partition(round);
        let channels = [Arc::from(CHANNEL)];
        let tick = Change::Tick { channels: &channels, at: Timestamp(BEGIN + 100 * round + 99) };
        let at = Timestamp(BEGIN + 100 * round + 50);
        let mut changes: Vec<_> = rows[..10].iter().map(Change::Message).collect();
        changes.push(Change::Request(&request, at));
        changes.extend(rows[10..].iter().map(Change::Message));
        changes.push(tick);
        log.append(&format!("rows {round}"), &changes).await;
        log.is_as_expected().await;
    }
}

async fn appends_do_not_mix(world: &impl SinkUnderTest) {
    let log = Log::opened(world, "at-once").await;
    let of = |number: u64| (number * ROWS_EACH..(number + 1) * ROWS_EACH).map(row);
    let all: Vec<Vec<_>> = (0..AT_ONCE).map(|number| of(number).collect()).collect();
    let all: Vec<Vec<_>> =
        all.iter().map(|rows| rows.iter().map(Change::Message).collect()).collect();
    let appends = all.iter().enumerate().map(async |(number, changes)| {
        done(log.sink.append(&format!("append {number}"), changes).await);
    });
    soon("all appends", join_all(appends)).await;

    let shown: Vec<_> = all.iter().map(|changes| by_part(&world.shown(changes))).collect();
    let count: usize = shown.iter().flat_map(BTreeMap::values).map(Vec::len).sum();
    becomes("the number of changes", &(count + log.expected.len()), async || {
        world.read("at-once").await.len()
    })
    .await;
    let mut found = by_part(&world.read("at-once").await);
    for (part, before) in by_part(&log.expected) {
        let found = found.get_mut(&part).unwrap_or_else(|| panic!("{part} is gone"));
        assert_eq!(found.drain(..before.len()).collect::<Vec<_>>(), before);
    }
    for (part, mut found) in found {
        let mut left: Vec<_> = shown.iter().filter_map(|append| append.get(&part)).collect();
        while let Some(first) = found.first() {
            let whose = left.iter().position(|append| append.first() == Some(first));
            let append = left.remove(whose.unwrap_or_else(|| panic!("{found:?}, {left:?}")));
            assert_eq!(found.drain(..append.len()).collect::<Vec<_>>(), *append);
        }
        assert!(left.is_empty(), "{left:?}");
    }
}

async fn no_mark_is_made_up(world: &impl SinkUnderTest) {
    let mut log = Log::opened(world, "marks").await;
    log.insert(0..3).await;
    for sink in [&log.sink, &world.sink("marks")] {
        done(soon("an open", sink.open()).await);
        assert!(!sink.holds("never") && !sink.holds(""));
    }
}

async fn the_last_marks_are_learned(world: &impl SinkUnderTest) {
    let mut log = Log::opened(world, "learned").await;
    let marks = 3 * MARKS as u64;
    for key in 0..marks {
        log.insert(key..key + 1).await;
    }
    for sink in [&log.sink, &world.sink("learned")] {
        done(soon("an open", sink.open()).await);
        for key in marks - MARKS as u64..marks {
            assert!(sink.holds(&mark(key)), "{key} of {marks}");
        }
        assert!(!sink.holds(&mark(marks)));
    }
    log.is_as_expected().await;
}

async fn whoever_was_before_is_shut_out(world: &impl SinkUnderTest) {
    let mut log = Log::opened(world, "shut-out").await;
    log.insert(0..1).await;
    let first = log.sink.clone();
    log.sink = world.sink("shut-out");
    done(soon("an open", log.sink.open()).await);
    assert!(log.sink.holds(&mark(0)));
    let late = insert(100, BEGIN, 10);
    let refused = soon("an append", first.append("late", &[Change::Message(&late)])).await;
    assert_eq!(refused.map_err(|error| error.kind), Err(Kind::Transient));
    assert!(!first.holds("late"));
    log.insert(1..2).await;
    log.is_as_expected().await;
    // And the other way round, as often as one likes.
    let second = std::mem::replace(&mut log.sink, first);
    done(soon("an open", log.sink.open()).await);
    assert!(log.sink.holds(&mark(0)) && log.sink.holds(&mark(1)) && !log.sink.holds("late"));
    log.insert(2..3).await;
    let refused = soon("an append", second.append("late", &[Change::Message(&late)])).await;
    assert_eq!(refused.map_err(|error| error.kind), Err(Kind::Transient));
    log.is_as_expected().await;
}

/// The sink that is opened then is the same one, or that of another process.
async fn nothing_comes_behind_an_open(world: &impl SinkUnderTest, elsewhere: bool) {
    let task = if elsewhere { "taken-over" } else { "opened-again" };
    let mut log = Log::opened(world, task).await;
    let rows = long(world);
    let changes: Vec<_> = rows.iter().map(Change::Message).collect();
    let first = log.sink.clone();
    world.cut_off(task, &*first, "cut off", &changes).await;
    if elsewhere {
        log.sink = world.sink(task);
    }
    done(soon("an open", log.sink.open()).await);
    log.expect_some_of(&changes).await;
    let until = Instant::now() + world.late_by();
    for key in 0.. {
        log.insert(key..key + 1).await;
        log.is_as_expected().await;
        if Instant::now() > until {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn what_was_cut_off_is_repeated(world: &impl SinkUnderTest) {
    let mut log = Log::opened(world, "repeated").await;
    let rows = long(world);
    let changes: Vec<_> = rows.iter().map(Change::Message).collect();
    world.cut_off("repeated", &*log.sink, "cut off", &changes).await;
    done(soon("an open", log.sink.open()).await);
    log.expect_some_of(&changes).await;
    if !log.sink.holds("cut off") {
        log.append("cut off", &changes).await;
    }
    log.insert(0..3).await;
    log.is_as_expected().await;
}

/// The log of a task and what is to be in it.
struct Log<'a, W> {
    world: &'a W,
    task: &'static str,
    sink: Arc<dyn Sink>,
    expected: Vec<Line>,
}

impl<'a, W: SinkUnderTest> Log<'a, W> {
    /// Opened, with the creation of the collection of the rows in it.
    async fn opened(world: &'a W, task: &'static str) -> Self {
        let mut log = Self { world, task, sink: world.sink(task), expected: Vec::new() };
        done(soon("an open", log.sink.open()).await);
        let collection = Box::new(collection());
        let request = Ddl::CreateCollection { name: name(), collection };
        log.append("create", &[Change::Request(&request, Timestamp(BEGIN))]).await;
        log
    }

    async fn append(&mut self, mark: &str, changes: &[Change<'_>]) {
        done(soon("an append", self.sink.append(mark, changes)).await);
        self.expected.extend(self.world.shown(changes));
    }

    /// One row after the other, each under a mark of its own.
    async fn insert(&mut self, keys: std::ops::Range<u64>) {
        for key in keys {
            self.append(&mark(key), &[Change::Message(&row(key))]).await;
        }
    }

    async fn is_as_expected(&self) {
        becomes("the log", &by_part(&self.expected), async || {
            by_part(&self.world.read(self.task).await)
        })
        .await;
    }

    /// What is there of changes that were cut off stays there: all or nothing if the sink is
    /// exact, else their beginning.
    async fn expect_some_of(&mut self, changes: &[Change<'_>]) {
        let shown = self.world.shown(changes);
        let found = self.world.read(self.task).await;
        let before = self.expected.len();
        let is_there = match self.sink.is_exact() {
            true if self.sink.holds("cut off") => shown.len(),
            true => 0,
            false => found.len().saturating_sub(before),
        };
        assert!(is_there <= shown.len(), "{is_there} of {} are there", shown.len());
        self.expected.extend_from_slice(&shown[..is_there]);
        self.is_as_expected().await;
    }
}

fn by_part(lines: &[Line]) -> BTreeMap<String, Vec<String>> {
    let mut parts = BTreeMap::<_, Vec<_>>::new();
    for Line { part, text } in lines {
        parts.entry(part.clone()).or_default().push(text.clone());
    }
    parts
}

fn mark(key: u64) -> String {
    format!("row {key}")
}

fn row(key: u64) -> Routed {
    insert(key, BEGIN + 1000 + key, 10)
}

fn long(world: &impl SinkUnderTest) -> Vec<Routed> {
    let (rows, bytes) = world.long();
    (0..rows).map(|key| insert(1000 + key, BEGIN + 100_000 + key, bytes)).collect()
}

fn name() -> CollectionName {
    CollectionName::new(DATABASE, COLLECTION)
}

fn partition(number: u64) -> Ddl {
    Ddl::CreatePartition { collection: name(), partition: format!("p{number}") }
}

/// A row with an integer as its key and a text of this size.
fn insert(key: u64, at: u64, text_bytes: usize) -> Routed {
    let column = |field_id, name: &str, data| FieldData {
        field_id,
        field_name: name.into(),
        field: Some(Field::Scalars(ScalarField { data: Some(data), ..Default::default() })),
        ..Default::default()
    };
    let keys = LongArray { data: vec![key.cast_signed()] };
    let texts = StringArray { data: vec!["x".repeat(text_bytes)] };
    let request = InsertRequest {
        base: base(MsgType::Insert, at),
        shard_name: format!("{CHANNEL}_7v0"),
        partition_name: "_default".into(),
        collection_id: 7,
        timestamps: vec![at],
        row_i_ds: vec![at.cast_signed()],
        num_rows: 1,
        fields_data: vec![
            column(100, "id", Data::LongData(keys)),
            column(101, "text", Data::StringData(texts)),
        ],
        ..Default::default()
    };
    routed(&request, at)
}

fn delete(key: u64, at: u64) -> Routed {
    let keys = LongArray { data: vec![key.cast_signed()] };
    let request = DeleteRequest {
        base: base(MsgType::Delete, at),
        shard_name: format!("{CHANNEL}_7v0"),
        collection_id: 7,
        timestamps: vec![at],
        num_rows: 1,
        primary_keys: Some(IDs { id_field: Some(IdField::IntId(keys)) }),
        ..Default::default()
    };
    routed(&request, at)
}

fn base(kind: MsgType, at: u64) -> Option<MsgBase> {
    let msg_id = at.cast_signed();
    Some(MsgBase { msg_type: kind.into(), msg_id, timestamp: at, ..Default::default() })
}

fn routed(message: &impl prost::Message, at: u64) -> Routed {
    let place = Place {
        name: name(),
        id: CollectionId(7),
        vchannels: vec![format!("{CHANNEL}_7v0")],
        lanes: vec![CHANNEL.into()],
        primary_key: 100,
        key_name: "id".into(),
    };
    let entry = Entry {
        seq: at,
        id: MessageId(at.to_le_bytes().to_vec().into()),
        order: Timestamp(at),
        message: done(decode(message.encode_to_vec().into())),
    };
    let read = Read { channel: CHANNEL.into(), entry };
    Routed { read, place: Arc::new(place), shard: 0, partition: None }
}

fn collection() -> Collection {
    let field = |field_id, name: &str, kind: DataType| FieldSchema {
        field_id,
        name: name.into(),
        is_primary_key: field_id == 100,
        data_type: kind.into(),
        ..Default::default()
    };
    let fields = vec![field(100, "id", DataType::Int64), field(101, "text", DataType::VarChar)];
    Collection {
        id: CollectionId(7),
        database_id: DatabaseId(1),
        database: DATABASE.into(),
        state: State::Created,
        schema: CollectionSchema { name: COLLECTION.into(), fields, ..Default::default() },
        created: Timestamp(BEGIN),
        vchannels: vec![format!("{CHANNEL}_7v0")],
        pchannels: vec![CHANNEL.into()],
        start_positions: BTreeMap::new(),
        consistency_level: 0,
        properties: Vec::new(),
        partition_count: None,
    }
}
