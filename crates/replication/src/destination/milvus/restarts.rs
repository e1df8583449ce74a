//! The version of the target, and whether it has been restarted, as far as that matters: a version
//! may forget then what it has not flushed. Never asks for a flush.

use crate::error::{Error, Kind, Result};
use crate::ports::Target;
use crate::sync::lock;
use milvus_wire::version::Version;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The data nodes of a target that forgets at its restarts; `None`: it does not, or nobody knows.
pub(crate) type DataNodes = Option<BTreeSet<i64>>;

/// Looks at one target.
pub(crate) struct Restarts {
    target: Arc<dyn Target>,
    address: String,
    /// As the target names it.
    version: Mutex<String>,
    nodes: watch::Sender<DataNodes>,
}

impl Restarts {
    /// Nothing is known yet.
    pub(super) fn new(target: Arc<dyn Target>, address: &str) -> Self {
        let (version, nodes) = (Mutex::default(), watch::Sender::new(None));
        Self { target, address: address.to_owned(), version, nodes }
    }

    /// The version, as of the last time that the target was asked; empty if it names none.
    pub(crate) fn version(&self) -> String {
        lock(&self.version).clone()
    }

    /// Follows the data nodes.
    pub(crate) fn nodes(&self) -> watch::Receiver<DataNodes> {
        self.nodes.subscribe()
    }

    /// Looks again. What can't be told now stays as it was known.
    pub(super) async fn look(&self) -> Result<()> {
        let nodes = match self.ask().await {
            Err(e) if e.kind == Kind::Permanent => {
                tracing::warn!(
                    target = self.address, error = ?e,
                    "this Milvus forgets at its restarts what it has not flushed, and does not \
                     tell its data nodes: its restarts are not noticed, see docs/promote.md"
                );
                None
            }
            asked => asked?,
        };
        self.nodes.send_if_modified(|known| {
            let has_changed = *known != nodes;
            if has_changed {
                tracing::info!(target = self.address, ?nodes, "data nodes of the target");
                *known = nodes;
            }
            has_changed
        });
        Ok(())
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
