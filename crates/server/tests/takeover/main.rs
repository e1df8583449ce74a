//! The take-over of a Go tool's records, real and damaged ones. Queue and catalog are scripted; the
//! end-to-end tests use real ones.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

mod source;

use connectors::go_records::{GoRecord, GoRecords};
use connectors::store::MemoryStore;
use milvus_wire::catalog::State;
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::position::MessageId;
use replication::ports::Store;
use replication::records::checkpoint;
use replication::records::checkpoint::{OpPosition, Stage};
use serde_json::{Value, json};
use server::takeover::{self, Fate, GoPosition, GoTask, Importer, TaskPlan};
use server::tasks::{self, Book};
use source::{END, NEWEST_MS, Queue, Scripted, collection};
use std::sync::Arc;

const TASK: &str = "71f20579fe114c7aac3cd49adc10abd0";
const SMOKE: i64 = 470670813408788592;
const DROPPED: i64 = 470670813409192626;

fn captured() -> Vec<(String, Value)> {
    let file: Value = serde_json::from_str(include_str!("go-records.json")).unwrap();
    let records = file["records"].as_object().unwrap();
    records.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn records(all: &[(String, Value)]) -> GoRecords {
    let of = |part: &str| {
        let some = all.iter().filter(|(key, _)| key.contains(part));
        some.map(|(key, value)| GoRecord { key: key.clone(), value: value.to_string().into() })
            .collect()
    };
    GoRecords { tasks: of("/task_info/"), positions: of("/task_position/") }
}

fn offset(number: u64) -> MessageId {
    MessageId(number.to_le_bytes().to_vec().into())
}

struct World {
    store: Arc<MemoryStore>,
    catalog: Scripted,
}

impl World {
    /// The source as it is when the import begins.
    fn new() -> Self {
        let channels = |channels: [u64; 2]| channels.map(|n| format!("src-rootcoord-dml_{n}"));
        let live = |id, name, on| collection(id, name, &channels(on), State::Created);
        let catalog = Scripted(vec![
            live(SMOKE, "smoke", [0, 1]),
            live(470670813413598640, "cu_1795468530_1_0", [11, 12]),
            collection(470670813413601403, "crash_1795468938", &channels([9, 10]), State::Dropping),
            live(7, "unknown_to_it", [5, 6]),
        ]);
        Self { store: Arc::new(MemoryStore::new()), catalog }
    }

    async fn import(&self, tasks: &[GoTask]) -> Vec<TaskPlan> {
        let importer = Importer {
            book: &Book::new(self.store.clone()),
            source: &Queue,
            catalog: &self.catalog,
            op_channel: "src-replicate-msg",
            tasks_max: 10,
        };
        importer.import(tasks).await.unwrap()
    }

    async fn keys(&self) -> Vec<String> {
        self.store.list("").await.unwrap().into_iter().map(|(key, _)| key).collect()
    }
}

#[test]
fn the_records_of_a_go_tool_are_read() {
    let read = takeover::read(&records(&captured()));
    let [task] = read.as_slice() else { panic!("{read:?}") };
    let record = task.record.as_ref().unwrap();
    assert_eq!((record.task_id.as_str(), record.state), (TASK, tasks::State::Running));
    assert_eq!(record.milvus_connect_param.login().expose(), "root:Milvus");
    assert_eq!(record.names(), [CollectionName::new("*", "*")]);
    assert_eq!(task.op["src-replicate-msg"], offset(0x2f));
    assert_eq!(task.collections.len(), 11, "the placeholder and the op channel are none");
    let smoke = &task.collections[&CollectionId(SMOKE)];
    assert_eq!(smoke.name, "smoke");
    assert_eq!(smoke.channels["src-rootcoord-dml_0"], GoPosition::At(offset(0x3efa)));
    let dropped = &task.collections[&CollectionId(DROPPED)];
    assert!(dropped.channels.values().all(|at| *at == GoPosition::Dropped));
    assert!(task.broken.is_empty(), "{:?}", task.broken);
}

#[test]
fn a_damaged_record_is_named_and_shows_no_secret() {
    let mut all = captured();
    all[0].1["State"] = json!("hunter2");
    all[3].1["Positions"]["src-rootcoord-dml_0"]["DataPair"]["data"] = json!("no base64!");
    let mut damaged = records(&all);
    damaged.positions[1].value.truncate(20);
    let read = takeover::read(&damaged);
    let what = read[0].record.as_ref().unwrap_err().to_string();
    assert!(what.contains(TASK) && !what.contains("hunter"), "{what}");
    let broken: Vec<_> = read[0].broken.iter().map(ToString::to_string).collect();
    let broken = broken.join("\n");
    assert!(broken.contains("/-10: can't be read, at line 1"), "{broken}");
    assert!(broken.contains("position on src-rootcoord-dml_0 is not base64"), "{broken}");
}

#[tokio::test]
async fn a_task_continues_at_its_positions_and_everything_up_to_now_is_fenced() {
    let world = World::new();
    let tasks = takeover::read(&records(&captured()));
    let plans = world.import(&tasks).await;
    let plan = &plans[0];
    assert_eq!((plan.fate, plan.fence_ms), (Fate::Imported, NEWEST_MS));
    let notes = plan.notes.join("\n");
    for said in [
        "default.unknown_to_it (7) has no saved position and begins with its first message",
        "u7 (470670813409192626) was dropped",
        "crash_1795469756 (470670813414206267) is gone on the source",
        "default.crash_1795468938 (470670813413601403) is being dropped",
    ] {
        assert!(notes.contains(said), "{said:?} is not in {notes}");
    }

    let store = &*world.store;
    let loaded = checkpoint::load(store, TASK).await.unwrap();
    assert_eq!(loaded.fence.unwrap().ms(), NEWEST_MS);
    assert_eq!(loaded.collections.len(), 4);
    let smoke = loaded.collections.iter().find(|c| c.id == CollectionId(SMOKE)).unwrap();
    assert_eq!(smoke.stage, Stage::Existing);
    assert!(smoke.by_name, "its shards are where that tool put them");
    let unknown = loaded.collections.iter().find(|c| c.id == CollectionId(7)).unwrap();
    assert_eq!(unknown.stage, Stage::Awaited, "what the target has of its name may be another one");
    assert_eq!(smoke.start["src-rootcoord-dml_0"].id, offset(0x3efa));
    assert_eq!(smoke.start["src-rootcoord-dml_0"].after.0, 0, "nothing is left out by its time");
    let channels = loaded.checkpoint.unwrap().channels;
    assert_eq!(channels["src-rootcoord-dml_1"].id, offset(0x3efa));
    assert_eq!(channels["src-rootcoord-dml_5"].id, offset(0), "its first message");
    assert_eq!(OpPosition::load(store, TASK).await.unwrap().unwrap().next, offset(0x2f));

    let keys = world.keys().await;
    let again = world.import(&tasks).await;
    assert_eq!(again[0].fate, Fate::Exists);
    assert_eq!(world.keys().await, keys, "repeating it changes nothing");
}

#[tokio::test]
async fn a_renamed_collection_continues_under_the_name_that_the_target_has() {
    let mut all = captured();
    all[0].1["DBCollections"] = json!({"default": [{"name": "smoke"}]});
    let mut world = World::new();
    world.catalog.0[0].schema.name = "renamed_since".into();
    let plans = world.import(&takeover::read(&records(&all))).await;
    assert_eq!(plans[0].collections.len(), 1, "{plans:#?}");
    let notes = plans[0].notes.join("\n");
    assert!(notes.contains("was called smoke by the Go tool, and is renamed"), "{notes}");
    let loaded = checkpoint::load(&*world.store, TASK).await.unwrap();
    assert_eq!((loaded.collections.len(), &*loaded.collections[0].name), (1, "smoke"));
}

/// Nothing says whether the task selected a collection of which it has no positions.
#[tokio::test]
async fn collections_of_a_dropped_database_are_left_out_and_noted() {
    let mut world = World::new();
    for gone in &mut world.catalog.0[2..] {
        gone.state = State::Dropping;
        gone.database.clear();
    }
    let plans = world.import(&takeover::read(&records(&captured()))).await;
    let notes = plans[0].notes.join("\n");
    let note = "crash_1795468938 (470670813413601403) was dropped on the source and its database, \
                of id 1,";
    assert!(notes.contains(note), "{notes}");
    assert!(!notes.contains("unknown_to_it"), "{notes}");
    let loaded = checkpoint::load(&*world.store, TASK).await.unwrap();
    assert_eq!(loaded.collections.len(), 2);
}

/// Without a position it would begin when the service starts, and skip what came after the import.
#[tokio::test]
async fn an_op_channel_without_a_saved_position_continues_at_its_end_with_a_note() {
    let mut all = captured();
    all.retain(|(key, _)| !key.ends_with("/-10"));
    let world = World::new();
    let plans = world.import(&takeover::read(&records(&all))).await;
    let plan = &plans[0];
    assert_eq!((plan.fate, &plan.op_channel), (Fate::Imported, &format!("{:?}", offset(END))));
    let note = "has saved no position of the op channel, so the task continues at the present end";
    assert!(plan.notes.iter().any(|said| said.contains(note)), "{:#?}", plan.notes);
    assert_eq!(OpPosition::load(&*world.store, TASK).await.unwrap().unwrap().next, offset(END));
    let checkpoint = checkpoint::load(&*world.store, TASK).await.unwrap().checkpoint;
    assert!(checkpoint.unwrap().taken_over, "its databases are created when it first runs");
}

#[tokio::test]
async fn a_task_that_cannot_continue_is_refused_with_a_reason() {
    let refused = async |change: fn(&mut Vec<(String, Value)>), reason: &str| {
        let mut all = captured();
        change(&mut all);
        let world = World::new();
        let plans = world.import(&takeover::read(&records(&all))).await;
        assert_eq!(plans[0].fate, Fate::Refused, "{reason}");
        assert!(plans[0].reason.contains(reason), "{:?} has no {reason:?}", plans[0].reason);
        assert_eq!(world.keys().await, Vec::<String>::new());
    };
    refused(|all| all[0].1["KafkaConnectParam"]["address"] = json!("k:1"), "topic is empty").await;
    refused(|all| all[0].1["MilvusConnectParam"]["uri"] = json!("ftp://x"), "address").await;
    refused(|all| all[0].1["DBCollections"] = Value::Null, "selects no collection").await;
    refused(|all| all[3].1["Positions"] = json!(7), "is not such a record").await;
    // The queue is opened there, and says only when it is read that this is lost.
    let lost = |all: &mut Vec<(String, Value)>| {
        all[3].1["Positions"]["src-rootcoord-dml_0"]["DataPair"]["data"] = json!("BQAAAAAAAAA=");
    };
    refused(lost, "src-rootcoord-dml_0 has lost offset 5").await;
    let op_lost = |all: &mut Vec<(String, Value)>| {
        all[2].1["Positions"]["src-replicate-msg"]["DataPair"]["data"] = json!("BQAAAAAAAAA=");
    };
    refused(op_lost, "src-replicate-msg has lost offset 5").await;
    let elsewhere = |all: &mut Vec<(String, Value)>| {
        let channel = all[3].1["Positions"]["src-rootcoord-dml_0"].take();
        all[3].1["Positions"] = json!({"other-rootcoord-dml_0": channel});
    };
    refused(elsewhere, "other-rootcoord-dml_0").await;
    let op_elsewhere = |all: &mut Vec<(String, Value)>| {
        let channel = all[2].1["Positions"]["src-replicate-msg"].take();
        all[2].1["Positions"] = json!({"other-replicate-msg": channel});
    };
    refused(op_elsewhere, "has read the op channel other-replicate-msg").await;
}

#[tokio::test]
async fn a_task_is_imported_after_those_to_which_it_leaves_collections() {
    let mut all = captured();
    let key = all[0].0.replace(TASK, "z-single");
    let mut single = all[0].1.clone();
    single["TaskID"] = json!("z-single");
    single["State"] = json!(2);
    single["Reason"] = json!("by hand");
    single["DBCollections"] = json!({"default": [{"name": "smoke"}]});
    all[0].1["ExcludeCollections"] = json!(["default.smoke", "default.of_a_deleted_task"]);
    all.push((key, single));
    let world = World::new();
    let plans = world.import(&takeover::read(&records(&all))).await;
    assert!(plans.iter().all(|plan| plan.fate == Fate::Imported), "{plans:#?}");
    assert_eq!(plans[0].task_id, "z-single");
    let book = Book::new(world.store.clone());
    let single = book.get("z-single").await.unwrap().unwrap();
    assert_eq!((single.state, single.reason.as_str()), (tasks::State::Paused, "by hand"));
    let rest = book.get(TASK).await.unwrap().unwrap();
    let left = rest.exclude_collections.unwrap();
    assert_eq!(left, ["default.of_a_deleted_task", "default.smoke"]);
    assert!(plans[1].notes.iter().any(|note| note.contains("smoke") && note.contains("no longer")));
}

/// A Go tool may try to read them as messages of its own, if they are stored below its path.
#[tokio::test]
async fn the_records_of_an_import_mean_nothing_to_the_go_tool() {
    let world = World::new();
    world.import(&takeover::read(&records(&captured()))).await;
    let stored = world.store.list("").await.unwrap();
    assert!(stored.len() > 4, "{stored:?}");
    for (key, stored) in stored {
        let record: Value = serde_json::from_slice(&stored.value).unwrap();
        let members = record.as_object().unwrap().keys();
        let mut known = members.filter(|name| {
            ["base", "data", "type"].iter().any(|member| name.eq_ignore_ascii_case(member))
        });
        assert_eq!(known.next(), None, "{key}: {record}");
    }
}
