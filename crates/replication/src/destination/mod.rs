//! Where the changes of a task go: to a Milvus, whose link all tasks on it share, or to a log of
//! the task's own. This file has what both are asked for; `delivery` has the way of rows. Never
//! contains rows.

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
use crate::ports::{Ddl, TargetCollection, TargetPartition};
use crate::records::checkpoint::ReplicatedCollection;
use crate::records::target_records::TargetRecords;
use crate::stop::Stop;
use milvus_wire::ids::{CollectionId, CollectionName};
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
    /// Reaches the destination and takes the right to write to it, unless that is done.
    pub async fn ready(&self) -> Result<()> {
        match self {
            Self::Milvus(link) => link.ready().await,
            Self::Log(log) => log.ready().await,
        }
    }

    /// Whether another milvus-cdc has taken that right. Then a new destination has to be opened,
    /// because this one no longer knows what is on the target.
    pub fn is_lost(&self) -> bool {
        self.records().lease_is_lost()
    }

    /// Keeps that right, and a Milvus ticking, until `stop` or until the right is lost. Runs beside
    /// the tasks.
    pub async fn keep(&self, stop: CancellationToken) {
        match self {
            Self::Milvus(link) => link.keep(stop).await,
            Self::Log(log) => log.keep(stop).await,
        }
    }

    /// The records of the destination and of the tasks on it.
    pub(crate) fn records(&self) -> &TargetRecords {
        match self {
            Self::Milvus(link) => link.records(),
            Self::Log(log) => log.records(),
        }
    }

    /// The Milvus, for what only a Milvus can do; `None`: it is a log.
    pub(crate) fn milvus(&self) -> Option<&Arc<Link>> {
        match self {
            Self::Milvus(link) => Some(link),
            Self::Log(_) => None,
        }
    }

    /// A task has ended.
    pub(crate) fn leave(&self, task: &str) {
        if let Self::Milvus(link) = self {
            link.ticker.leave(task);
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

    /// A collection of the task there, under this name; `None`: it does not have it. A log has the
    /// collections that it was told of, as they are on the source.
    pub(crate) async fn describe(
        &self,
        collection: &ReplicatedCollection,
        name: &CollectionName,
    ) -> Result<Option<TargetCollection>> {
        let log = match self {
            Self::Milvus(link) => return link.target.describe(name).await,
            Self::Log(log) => log,
        };
        let (id, created) = (collection.id, collection.created);
        // A dry run takes the place of a Milvus, which gave it another id.
        let there = collection.there.map_or(id, CollectionId);
        let has = collection.is_live() || log.has_creation(id, created);
        let vchannels = collection.vchannels.clone();
        let properties = BTreeMap::new();
        Ok(has.then_some(TargetCollection {
            id: there,
            created,
            vchannels,
            fields: None,
            properties,
        }))
    }

    /// The partitions of a collection there; `None`: a log, which has those that it was told of.
    pub(crate) async fn partitions(
        &self,
        name: &CollectionName,
    ) -> Result<Option<BTreeMap<String, TargetPartition>>> {
        match self {
            Self::Milvus(link) => link.target.partitions(name).await.map(Some),
            Self::Log(_) => Ok(None),
        }
    }

    /// The collection that a Milvus has under this name. A log has no names that could be taken.
    pub(crate) async fn holder_of(&self, name: &CollectionName) -> Result<Option<CollectionId>> {
        match self {
            Self::Milvus(link) => Ok(link.target.describe(name).await?.map(|there| there.id)),
            Self::Log(_) => Ok(None),
        }
    }

    /// The collection that has an alias of this name in a Milvus.
    pub(crate) async fn alias(&self, name: &CollectionName) -> Result<Option<CollectionId>> {
        match self {
            Self::Milvus(link) => link.target.alias(&name.database, &name.name).await,
            Self::Log(_) => Ok(None),
        }
    }

    /// Rows will go to these lanes of a Milvus.
    pub(crate) fn add_lanes(&self, lanes: &[Arc<str>]) {
        if let Self::Milvus(link) = self {
            for lane in lanes {
                link.lanes.get(lane);
            }
        }
    }

    /// Claims a collection for a task. Returns whether it is the task's now. No other task writes
    /// to the log of a task.
    pub(crate) async fn claim(&self, task: &str, id: CollectionId) -> Result<bool> {
        match self {
            Self::Milvus(link) => link.claims.take(task, id).await,
            Self::Log(_) => Ok(true),
        }
    }

    /// Whether another task has a collection there.
    pub(crate) async fn is_anothers(&self, task: &str, id: CollectionId) -> Result<bool> {
        match self {
            Self::Milvus(link) => link.claims.is_anothers(task, id).await,
            Self::Log(_) => Ok(false),
        }
    }

    /// What names a target that tasks share; empty for a log.
    pub(crate) fn address(&self) -> &str {
        match self {
            Self::Milvus(link) => link.lanes.address(),
            Self::Log(_) => "",
        }
    }

    /// Whether it takes requests of this kind. Only the op channel tells a log that a database
    /// exists.
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
                link.records().lease_is_confirmed()?;
                link.target.apply(ddl, at).await
            }
            Self::Log(log) => log.apply(ddl, at).await,
        }
    }

    /// Whether it may have been told of something without knowing that: then a drop makes sure.
    pub(crate) fn forgets(&self) -> bool {
        matches!(self, Self::Log(log) if !log.is_exact())
    }
}
