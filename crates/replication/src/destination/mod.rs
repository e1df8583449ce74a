//! Where the changes of a task go: to a Milvus, whose link all tasks on it share, or to a log of its
//! own. Here is what both are asked for; how rows get there is in `delivery`.
//! Never holds rows.

pub(crate) mod delivery;
pub mod log;
pub mod milvus;

use crate::destination::delivery::Delivery;
use crate::destination::log::append::Log;
use crate::destination::log::deliver::IntoLog;
use crate::destination::milvus::deliver::IntoLanes;
use crate::destination::milvus::link::Link;
use crate::error::Result;
use crate::observer::Observer;
use crate::ports::{Ddl, TargetCollection};
use crate::records::checkpoint::Covered;
use crate::records::lease::Lease;
use crate::stop::Stop;
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Where changes go.
#[derive(Clone)]
pub enum Destination {
    /// A Milvus that takes replicate messages.
    Milvus(Arc<Link>),
    /// A log for readers of any kind.
    Log(Arc<Log>),
}

impl Destination {
    /// Reaches it and takes the right to write to it, unless that is done.
    pub async fn ready(&self) -> Result<()> {
        match self {
            Self::Milvus(link) => link.ready().await,
            Self::Log(log) => log.ready().await,
        }
    }

    /// Whether another milvus-cdc has taken that right. Then what is known here of the destination is
    /// no longer so: a new one has to be opened.
    pub fn is_lost(&self) -> bool {
        self.lease().is_lost()
    }

    /// Keeps that right, and a Milvus ticking, until `stop` or until the right is lost; run it beside
    /// the tasks.
    pub async fn keep(&self, stop: CancellationToken) {
        match self {
            Self::Milvus(link) => link.keep(stop).await,
            Self::Log(log) => log.keep(stop).await,
        }
    }

    /// Last ticks by channel of a Milvus, for showing. Those in use right now are left out.
    pub fn ticks(&self) -> Vec<(String, Timestamp)> {
        match self {
            Self::Milvus(link) => link.ticks(),
            Self::Log(_) => Vec::new(),
        }
    }

    pub(crate) fn lease(&self) -> &Lease {
        match self {
            Self::Milvus(link) => &link.lease,
            Self::Log(log) => &log.lease,
        }
    }

    /// A task has ended.
    pub(crate) fn leave(&self, task: &str) {
        if let Self::Milvus(link) = self {
            link.leave(task);
        }
    }

    /// How the rows of a task get there.
    pub(crate) fn delivery(
        &self,
        task: &str,
        observer: Arc<dyn Observer>,
        stop: Stop,
    ) -> Box<dyn Delivery> {
        match self {
            Self::Milvus(link) => Box::new(IntoLanes::new(task, link.clone(), observer, stop)),
            Self::Log(log) => Box::new(IntoLog::new(task, log.clone(), observer, stop)),
        }
    }

    /// A collection of the task there; `None` if it does not have it. A log has those that it was
    /// told of, as they are on the source.
    pub(crate) async fn describe(
        &self,
        covered: &Covered,
        (database, name): (&str, &str),
    ) -> Result<Option<TargetCollection>> {
        let log = match self {
            Self::Milvus(link) => return link.target.describe(database, name).await,
            Self::Log(log) => log,
        };
        let (id, created) = (covered.id, covered.created);
        let has = covered.is_live() || log.has_creation(id, created);
        let vchannels = covered.vchannels.clone();
        let properties = BTreeMap::new();
        Ok(has.then_some(TargetCollection { id, created, vchannels, fields: None, properties }))
    }

    /// Whether a collection may be the task's there; no other task writes to its log.
    pub(crate) async fn claim(&self, task: &str, id: CollectionId) -> Result<bool> {
        match self {
            Self::Milvus(link) => link.claim(task, id).await,
            Self::Log(_) => Ok(true),
        }
    }

    /// Whether another task has a collection there.
    pub(crate) async fn is_anothers(&self, task: &str, id: CollectionId) -> Result<bool> {
        match self {
            Self::Milvus(link) => link.is_anothers(task, id).await,
            Self::Log(_) => Ok(false),
        }
    }

    /// What names a target that tasks share; empty for a log.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Milvus(link) => link.address(),
            Self::Log(_) => "",
        }
    }

    /// Whether a request is for it: that a database exists is told to a log by the op channel alone.
    pub(crate) fn takes(&self, ddl: &Ddl) -> bool {
        match self {
            Self::Milvus(_) => true,
            Self::Log(_) => !matches!(ddl, Ddl::CreateDatabase(_)),
        }
    }

    /// Asks it for something that it takes.
    pub(crate) async fn apply(&self, ddl: &Ddl, at: Timestamp) -> Result<()> {
        match self {
            Self::Milvus(link) => {
                link.lease.confirmed()?;
                link.target.apply(ddl, at).await
            }
            Self::Log(log) => log.apply(ddl, at).await,
        }
    }

    /// Whether it may have been told what it does not know of: a drop makes sure of the contrary.
    pub(crate) fn forgets(&self) -> bool {
        matches!(self, Self::Log(log) if !log.is_exact())
    }

    /// Whether it has a state of its own that has to follow the source's catalog: a log only tells
    /// what was asked for.
    pub(crate) fn follows(&self) -> bool {
        matches!(self, Self::Milvus(_))
    }
}
