//! What tasks write to: one link per target Milvus, shared by all its tasks, and one log per task
//! that writes to a Kafka, each with the loop that keeps it alive. A destination that another
//! service has taken over is opened anew. Never opens one again while its predecessor is still
//! closing.

use crate::tasks::TaskRecord;
use crate::world::{TargetClient, World};
use connectors::InvalidOption;
use futures::FutureExt;
use replication::destination::Destination;
use replication::destination::log::append::Log;
use replication::destination::milvus::link::Link;
use replication::destination::milvus::neighbours::Neighbours;
use replication::error::{Error, Result};
use replication::ports::Store;
use replication::records::identity::{Names, has_lanes};
use replication::task::Limits;
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long a loop may take to end.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// The pause before a loop that should not have ended is started again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// All of them, by name.
#[derive(Default)]
pub(super) struct Destinations {
    open: HashMap<String, Open>,
    neighbours: Arc<Neighbours>,
    closing: HashMap<Id, String>,
    keepers: JoinSet<()>,
}

struct Open {
    destination: Destination,
    /// The address that its client uses; its name if it is a log.
    address: String,
    stop: CancellationToken,
    keeper: AbortHandle,
}

impl Destinations {
    /// What a task writes to, opened if it is not. `None` while its predecessor closes, and while
    /// one that is lost has not ended yet.
    pub(super) fn ensure(
        &mut self,
        record: &TaskRecord,
        names: &Names,
        world: &World,
        limits: &Limits,
    ) -> Result<Option<Destination>> {
        let name = destination_name(record, names);
        let name = name.map_err(|wrong| Error::permanent(wrong.problem))?;
        if let Some(open) = self.open.get(&name) {
            let destination = Some(open.destination.clone());
            return Ok(destination.filter(|destination| !destination.is_lost()));
        }
        let is_left = |known: &str| {
            self.open.contains_key(known) || self.closing.values().any(|closing| closing == known)
        };
        // Also while it is still open under another address.
        if is_left(&name) || names.others_of(&name).any(is_left) {
            return Ok(None);
        }
        let store = Arc::clone(&world.store);
        let destination = match world.targets.open(record)? {
            TargetClient::Milvus(target) => {
                let limits = limits.clone();
                Destination::Milvus(Link::beside(&self.neighbours, &name, target, store, limits))
            }
            TargetClient::Log(sink) => Destination::Log(Log::new(&record.task_id, sink, store)),
        };
        let stop = CancellationToken::new();
        let keeper = self.keepers.spawn(keep(destination.clone(), name.clone(), stop.clone()));
        tracing::info!(target = name, "target opens");
        let address = if record.is_to_kafka() { Ok(name.clone()) } else { record.target() };
        let address = address.unwrap_or_default();
        self.open.insert(name, Open { destination: destination.clone(), address, stop, keeper });
        Ok(Some(destination))
    }

    /// Makes clients of the other addresses of targets, by which it is noticed that an address
    /// leads elsewhere. To be done before a target is opened.
    pub(super) fn set_addresses(&self, records: &[TaskRecord], names: &Names, world: &World) {
        self.neighbours.keep_addresses(|address| names.of(address) != address);
        for record in records.iter().filter(|record| !record.is_to_kafka()) {
            let Ok(address) = record.target() else { continue };
            let name = names.of(&address);
            if name == address || self.neighbours.has_address(&address, name) {
                continue;
            }
            if let Ok(TargetClient::Milvus(target)) = world.targets.open(record) {
                self.neighbours.set_address(&address, name, target);
            }
        }
    }

    /// Opens a target anew if lanes of it are stored under another of its addresses, or if there is
    /// a task at the address that it is named after and another one is used.
    pub(super) async fn renew(
        &mut self,
        records: &[TaskRecord],
        names: &Names,
        store: &dyn Store,
    ) -> Result<()> {
        for (name, open) in &self.open {
            let Destination::Milvus(link) = &open.destination else { continue };
            let is_named = |r: &TaskRecord| r.target().is_ok_and(|address| address == *name);
            if open.address != *name && records.iter().any(is_named) {
                link.retire(&format!("{name} is opened anew under this address")).await;
                continue;
            }
            for address in names.others_of(name) {
                if !self.open.contains_key(address) && has_lanes(store, address).await? {
                    link.retire(&format!("{name} is opened anew with the lanes of {address}"))
                        .await;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Closes all except the wanted ones.
    pub(super) fn close_all_but(&mut self, wanted: &BTreeSet<String>) {
        let unwanted: Vec<String> =
            self.open.keys().filter(|name| !wanted.contains(*name)).cloned().collect();
        for name in unwanted {
            if let Some(open) = self.open.remove(&name) {
                tracing::info!(target = name, "target closes");
                open.stop.cancel();
                self.closing.insert(open.keeper.id(), name);
            }
        }
    }

    /// Waits until one has closed or is lost, or has fewer addresses; for ever if there is none.
    pub(super) async fn ended(&mut self) {
        let ended = tokio::select! {
            Some(ended) = self.keepers.join_next_with_id() => ended,
            () = self.neighbours.parted() => return,
        };
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.closing.remove(&id);
        self.open.retain(|_, open| open.keeper.id() != id);
    }

    /// Closes all of them, within a limit.
    pub(super) async fn close_all(&mut self) {
        self.close_all_but(&BTreeSet::new());
        let all = async { while self.keepers.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_MAX, all).await.is_err() {
            tracing::warn!("targets are cut off");
            self.keepers.shutdown().await;
        }
        self.closing.clear();
    }
}

/// The name of what a task writes to, the same for all tasks that share it.
pub(super) fn destination_name(
    record: &TaskRecord,
    names: &Names,
) -> std::result::Result<String, InvalidOption> {
    let target = record.target()?;
    // A producer belongs to one task, as its transactions and its order do.
    Ok(match record.is_to_kafka() {
        true => format!("{target}#{}", record.task_id),
        false => names.of(&target).to_owned(),
    })
}

/// Keeps a destination alive until `stop` or until it is lost, even if its loop panics: tasks use
/// this very one.
async fn keep(destination: Destination, name: String, stop: CancellationToken) {
    loop {
        let kept = AssertUnwindSafe(destination.keep(stop.clone())).catch_unwind().await;
        if stop.is_cancelled() || destination.is_lost() {
            return;
        }
        tracing::error!(
            target = name,
            panicked = kept.is_err(),
            "a target's loop ended, it is started again"
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
}
