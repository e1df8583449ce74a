//! When a target that forgets at its restarts is to flush what a task has sent, and when that is
//! done. Never decides which collections, nor what follows from it: `flushed` does.

use crate::context::Context;
use crate::destination::milvus::restarts::DataNodes;
use crate::error::{Error, Result};
use crate::ports::{NODES_KNOWN_FOR, Target};
use crate::records::checkpoint::Start;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use milvus_wire::ids::{CollectionId, CollectionName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How many collections are flushed at once.
const AT_ONCE: usize = 16;

/// How often it is asked whether a flush has ended.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Rows may carry stamps that lie ahead of the target's clock by a second (`AHEAD_MS`): a flush
/// that is asked for after this covers them.
const STAMPED_AHEAD: Duration = Duration::from_secs(2);

/// How long the flush of a collection may take.
const FLUSHED_WITHIN: Duration = Duration::from_secs(300);

/// After the start of a run the first flush comes soon, even if the run is a short one.
const FIRST_WITHIN: Duration = Duration::from_secs(60);

/// What a flush covers.
pub(crate) struct Covers {
    /// How far each collection is, by channel, and its id on the target.
    pub(crate) reached: BTreeMap<CollectionId, (Option<i64>, BTreeMap<String, Start>)>,
    /// Those that had got rows, which are flushed.
    pub(crate) written: BTreeSet<CollectionId>,
}

/// Which collections were flushed, or why that can't be told.
type Ended = Result<BTreeSet<CollectionId>>;

/// The flushes of one run of a task.
pub(crate) struct Flushes {
    target: Option<Arc<dyn Target>>,
    nodes: watch::Receiver<DataNodes>,
    every: Option<Duration>,
    due: Instant,
    /// Something is to be looked at before anything else goes on.
    is_to_look: bool,
    running: Option<(Covers, BoxFuture<'static, Ended>)>,
    ended: Option<(Covers, Ended)>,
}

impl Flushes {
    /// None has been asked for yet.
    pub(crate) fn new(context: &Context) -> Self {
        let every = context.task.limits.flush_every;
        let link = context.ports.destination.milvus();
        let nodes = match link.filter(|_| every.is_some()) {
            Some(link) => link.restarts.nodes(),
            None => watch::channel(None).1,
        };
        Self {
            target: link.map(|link| link.target.clone()),
            nodes,
            every,
            due: Instant::now() + every.unwrap_or_default().min(FIRST_WITHIN),
            is_to_look: true,
            running: None,
            ended: None,
        }
    }

    /// Resolves when there is something to do. While a window is delivered again that is only to
    /// begin with new collections. Safe to cancel.
    pub(crate) async fn wake(&mut self, is_replaying: bool) {
        if self.is_to_look {
            return;
        }
        if is_replaying {
            return std::future::pending().await;
        }
        if self.ended.is_some() {
            return;
        }
        let are_known = self.nodes.borrow().as_ref().is_some_and(|nodes| !nodes.is_empty());
        let is_due = are_known && self.running.is_none();
        let ended = async {
            match &mut self.running {
                Some((_, flush)) => flush.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(()) = self.nodes.changed() => self.is_to_look = true,
            ended = ended => self.ended = self.running.take().map(|(covers, _)| (covers, ended)),
            () = tokio::time::sleep_until(self.due), if is_due => {}
        }
    }

    /// Whether no target is to be flushed, whatever its version.
    pub(crate) fn are_off(&self) -> bool {
        self.every.is_none()
    }

    /// The task has other collections than before.
    pub(crate) fn look(&mut self) {
        self.is_to_look = true;
    }

    /// The data nodes as they are now, empty if they can't be told; `None`: the target does not
    /// forget.
    pub(crate) fn nodes(&mut self) -> DataNodes {
        self.is_to_look = false;
        self.nodes.borrow_and_update().clone()
    }

    /// What was flushed, or why it was not.
    pub(crate) fn ended(&mut self) -> Option<(Covers, Ended)> {
        self.ended.take()
    }

    /// Whether it is time for the next one.
    pub(crate) fn is_due(&self) -> bool {
        self.running.is_none() && Instant::now() >= self.due
    }

    /// Flushes these collections, by their names on the target, as long as it has these nodes.
    pub(crate) fn begin(
        &mut self,
        names: Vec<(CollectionId, CollectionName)>,
        nodes: BTreeSet<i64>,
        covers: Covers,
    ) {
        self.due = Instant::now() + self.every.unwrap_or_default();
        if let Some(target) = self.target.clone() {
            let flush = async move { flush_all(&*target, names, nodes).await };
            self.running = Some((covers, Box::pin(flush)));
        }
    }

    /// Gives up the one that runs. Returns what it was to cover.
    pub(crate) fn give_up(&mut self) -> Option<Covers> {
        let running = self.running.take().map(|(covers, _)| covers);
        running.or_else(|| self.ended.take().map(|(covers, _)| covers))
    }
}

/// Whatever was sent before this to the collections that it returns is stored then, if the target
/// still has these nodes: one that was restarted meanwhile may have forgotten rows before it
/// flushed.
async fn flush_all(
    target: &dyn Target,
    names: Vec<(CollectionId, CollectionName)>,
    nodes: BTreeSet<i64>,
) -> Ended {
    sleep(STAMPED_AHEAD).await;
    let flushes = names.into_iter().map(|(id, name)| {
        let flush = async move {
            let flushed = timeout(FLUSHED_WITHIN, flush(target, &name)).await;
            let late = |_| Err(Error::transient("it has not ended within minutes"));
            match flushed.unwrap_or_else(late) {
                Ok(()) => Some(id),
                Err(error) => {
                    tracing::warn!(collection = %name, error = ?error, "not flushed");
                    None
                }
            }
        };
        flush.boxed()
    });
    let flushes: Vec<_> = flushes.collect();
    let flushed = stream::iter(flushes).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    sleep(NODES_KNOWN_FOR).await;
    if target.data_nodes().await? == nodes {
        return Ok(flushed.into_iter().flatten().collect());
    }
    Err(Error::transient("the target has other data nodes than before"))
}

async fn flush(target: &dyn Target, name: &CollectionName) -> Result<()> {
    let flush = target.flush(name).await?;
    while !target.is_flushed(&flush).await? {
        sleep(ASK_EVERY).await;
    }
    Ok(())
}
