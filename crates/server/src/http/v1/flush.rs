//! Flushes the collections of a task on its target, and says which of them are stored there. Never
//! waits for longer than a request may take: whoever asks again goes on.

use crate::http::refusal::{Kind, Refusal};
use crate::http::state::ApiState;
use crate::tasks::{TaskRecord, to_task};
use crate::world::TargetClient;
use futures::{StreamExt, stream};
use milvus_wire::ids::CollectionName;
use milvus_wire::version::Version;
use replication::error::Result as Outcome;
use replication::ports::Target;
use replication::records::checkpoint;
use replication::task::{Limits, Policies};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use utoipa::ToSchema;

/// How long a request waits for flushes.
const FLUSHED_WITHIN: Duration = Duration::from_secs(8);

/// How often it is asked whether one has ended.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// Why nothing counts as stored.
const RESTARTED: &str =
    "the target was restarted, and what it may have forgotten is sent again first";

/// How many collections are flushed at once.
const AT_ONCE: usize = 16;

/// What is stored on the target of a task.
#[derive(Serialize, ToSchema)]
pub(super) struct Flushed {
    /// Whether all of these collections are flushed.
    flushed: bool,
    /// The collections that the task replicates, by their names on the target.
    collections: Vec<FlushedCollection>,
}

/// A collection of a target that is flushed.
#[derive(Serialize, ToSchema)]
struct FlushedCollection {
    /// The target's database.
    #[schema(example = "sales_copy")]
    target_database: String,
    /// Its name on the target.
    #[schema(example = "orders")]
    target_collection: String,
    /// Whether all rows and deletes that it had got are stored.
    flushed: bool,
    /// The target's time up to which they are, unix milliseconds.
    #[schema(example = 1_700_000_000_000_u64)]
    upto_ms: Option<u64>,
    /// Why they are not, or not yet.
    reason: Option<String>,
}

/// Flushes what a task replicates.
pub(super) async fn of(api: &ApiState, record: &TaskRecord) -> Result<Flushed, Refusal> {
    let task = to_task(record, &api.op_channel, Policies::default(), &Limits::default())
        .map_err(|wrong| Refusal::new(Kind::Invalid, wrong.problem, wrong.remedy))?;
    let target = match api.targets.open(record) {
        Ok(TargetClient::Milvus(target)) => target,
        Ok(TargetClient::Log(_)) => {
            let what = "the task writes to a Kafka, which has nothing to flush";
            return Err(Refusal::new(Kind::Conflict, what, "name a task whose target is a Milvus"));
        }
        Err(e) => return Err(Refusal::failed(e.what, "see what the task waits for")),
    };
    let stored = checkpoint::load(api.book.store().as_ref(), &record.task_id);
    let stored = stored.await.map_err(|e| Refusal::store(&e))?.collections;
    let live = || stored.iter().filter(|collection| collection.is_live());
    let names: Vec<_> = live().map(|it| it.on_target(&task.names)).collect();
    let known: Vec<_> = live().filter_map(|it| Some(it.flushed.as_ref()?.nodes.clone())).collect();
    let until = Instant::now() + FLUSHED_WITHIN;
    let flushes = names.into_iter().map(|name| flush(&*target, name, until));
    let mut collections: Vec<_> = stream::iter(flushes).buffer_unordered(AT_ONCE).collect().await;
    if has_restarted(&*target, &known).await {
        for it in &mut collections {
            (it.flushed, it.reason) = (false, Some(RESTARTED.to_owned()));
        }
    }
    collections.sort_by(|a, b| {
        let name =
            |it: &FlushedCollection| (it.target_database.clone(), it.target_collection.clone());
        name(a).cmp(&name(b))
    });
    Ok(Flushed { flushed: collections.iter().all(|it| it.flushed), collections })
}

/// Whether the target forgets at its restarts, and has other data nodes than when it had got all
/// that was sent. `known`: those, as far as they are known.
async fn has_restarted(target: &dyn Target, known: &[BTreeSet<i64>]) -> bool {
    if known.is_empty() {
        return false;
    }
    let asked = async {
        let version = target.version().await?;
        let forgets = Version::parse(&version).is_some_and(Version::forgets_at_restarts);
        Outcome::Ok(if forgets { Some(target.data_nodes().await?) } else { None })
    };
    match timeout(FLUSHED_WITHIN, asked).await {
        Ok(Ok(nodes)) => nodes.is_some_and(|nodes| known.iter().any(|known| *known != nodes)),
        // Nobody knows.
        Ok(Err(_)) | Err(_) => true,
    }
}

async fn flush(target: &dyn Target, name: CollectionName, until: Instant) -> FlushedCollection {
    let mut upto_ms = None;
    let stored = async {
        let flush = target.flush(&name).await?;
        upto_ms = Some(flush.at.ms());
        while !target.is_flushed(&flush).await? {
            sleep(ASK_EVERY).await;
        }
        Outcome::Ok(())
    };
    let reason = match timeout_at(until, stored).await {
        Ok(Ok(())) => None,
        Ok(Err(e)) => Some(e.what),
        Err(_) => Some("it has not ended yet".to_owned()),
    };
    let CollectionName { database, name } = name;
    let (target_database, target_collection) = (database, name);
    FlushedCollection {
        target_database,
        target_collection,
        flushed: reason.is_none(),
        upto_ms,
        reason,
    }
}
