//! The version of the target, and whether it has been restarted, as far as that matters: a version
//! may forget then what it has not flushed. Never asks for a flush.

use crate::error::{Error, Result};
use crate::ports::Target;
use crate::sync::lock;
use milvus_wire::version::Version;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The data nodes of a target that forgets at its restarts, empty if they can't be told; `None`: it
/// does not forget.
pub(crate) type DataNodes = Option<BTreeSet<i64>>;

/// Looks at one target.
pub(crate) struct Restarts {
    target: Arc<dyn Target>,
    address: String,
    /// As the target names it.
    version: Mutex<String>,
    /// Other nodes than the known ones, seen at the last look.
    others: Mutex<BTreeSet<i64>>,
    nodes: watch::Sender<DataNodes>,
}

impl Restarts {
    /// Nothing can be told yet.
    pub(super) fn new(target: Arc<dyn Target>, address: &str) -> Self {
        let (version, others) = (Mutex::default(), Mutex::default());
        let nodes = watch::Sender::new(Some(BTreeSet::new()));
        Self { target, address: address.to_owned(), version, others, nodes }
    }

    /// The version, as of the last time that the target was asked; empty if it names none.
    pub(crate) fn version(&self) -> String {
        lock(&self.version).clone()
    }

    /// Follows the data nodes.
    pub(crate) fn nodes(&self) -> watch::Receiver<DataNodes> {
        self.nodes.subscribe()
    }

    /// Looks again. What can't be told now stays as it was known. Other nodes than before count
    /// when they are seen twice: a node that does not answer for a moment is left out of the list.
    pub(super) async fn look(&self) {
        let seen = match self.ask().await {
            Ok(seen) => seen,
            Err(e) => {
                tracing::debug!(target = self.address, error = ?e, "data nodes can't be told");
                return;
            }
        };
        let known = self.nodes.borrow().clone();
        let is_known = |nodes: &DataNodes| nodes.as_ref().is_some_and(|nodes| !nodes.is_empty());
        if is_known(&known) && is_known(&seen) && known != seen {
            let seen = seen.clone().unwrap_or_default();
            let before = std::mem::replace(&mut *lock(&self.others), seen.clone());
            if before != seen {
                return;
            }
        }
        self.nodes.send_if_modified(|known| {
            let has_changed = *known != seen;
            if has_changed {
                tracing::info!(target = self.address, nodes = ?seen, "data nodes of the target");
                *known = seen;
            }
            has_changed
        });
    }

    async fn ask(&self) -> Result<DataNodes> {
        let version = self.target.version().await?;
        lock(&self.version).clone_from(&version);
        if !Version::parse(&version).is_some_and(Version::forgets_at_restarts) {
            return Ok(None);
        }
        let nodes = self.target.data_nodes().await?;
        if nodes.is_empty() {
            return Err(Error::transient("the target has no data node yet"));
        }
        Ok(Some(nodes))
    }
}
