//! What a task holds of a log of changes that it writes to: the sink, and the right to write to it.
//! It appends what is asked of it once, as far as the sink knows what it has. Never decides an
//! order.

use crate::error::{Error, Result};
use crate::ports::{Change, Ddl, MARKS, Sink, Store};
use crate::records::keys::log_address;
use crate::records::target_records::TargetRecords;
use crate::sync::lock;
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// The log of one task.
pub struct Log {
    records: TargetRecords,
    sink: Arc<dyn Sink>,
    /// Whether it is open and the last append is known to have succeeded.
    usable: Mutex<bool>,
    /// The marks of what this process has appended, the last of them.
    marks: std::sync::Mutex<VecDeque<String>>,
}

impl Log {
    /// The log of a task. Opens nothing.
    pub fn new(task: &str, sink: Arc<dyn Sink>, store: Arc<dyn Store>) -> Arc<Self> {
        let records = TargetRecords::new(&log_address(task), store);
        let (usable, marks) = (Mutex::default(), std::sync::Mutex::default());
        Arc::new(Self { records, sink, usable, marks })
    }

    /// The records of the log and of its task.
    pub(crate) fn records(&self) -> &TargetRecords {
        &self.records
    }

    /// Takes the lease and opens the sink, unless that is done and nothing has failed since.
    pub(crate) async fn ready(&self) -> Result<()> {
        let mut usable = self.usable.lock().await;
        if !*usable {
            self.records.acquire_lease().await?;
            self.sink.open().await?;
            *usable = true;
        }
        Ok(())
    }

    /// Whether appends are all or nothing.
    pub(crate) fn is_exact(&self) -> bool {
        self.sink.is_exact()
    }

    /// Whether it is known to tell of the creation of a collection.
    pub(crate) fn has_creation(&self, id: CollectionId, at: Timestamp) -> bool {
        self.knows(&creation_mark(id, at))
    }

    /// Whether it has what was appended under this mark, as far back as it keeps marks.
    pub(super) async fn has(&self, mark: &str) -> Result<bool> {
        if !*self.usable.lock().await {
            return Err(unusable());
        }
        Ok(self.knows(mark))
    }

    fn knows(&self, mark: &str) -> bool {
        lock(&self.marks).iter().any(|known| known == mark) || self.sink.holds(mark)
    }

    /// Appends a request on the metadata.
    pub(crate) async fn apply(&self, request: &Ddl, at: Timestamp) -> Result<()> {
        self.append(&mark_of(request, at), &[Change::Request(request, at)]).await
    }

    /// Appends changes, unless the log has them. After a failure it has to be made ready again.
    pub(crate) async fn append(&self, mark: &str, changes: &[Change<'_>]) -> Result<()> {
        let mut usable = self.usable.lock().await;
        if !*usable {
            return Err(unusable());
        }
        if self.knows(mark) {
            return Ok(());
        }
        self.records.lease_is_confirmed()?;
        // Stays so if whoever asked is cut off: then nobody knows what the sink has.
        *usable = false;
        self.sink.append(mark, changes).await?;
        *usable = true;
        let mut marks = lock(&self.marks);
        marks.push_back(mark.to_owned());
        if marks.len() > MARKS {
            marks.pop_front();
        }
        Ok(())
    }

    /// Keeps the lease until `stop`, or until it is lost; run it beside the task.
    pub(crate) async fn keep(&self, stop: CancellationToken) {
        self.records.keep_lease(stop, std::future::pending::<()>()).await;
    }
}

fn unusable() -> Error {
    Error::transient("the log has to be opened again")
}

fn creation_mark(id: CollectionId, at: Timestamp) -> String {
    format!("create/{id}@{}", at.0)
}

/// The same for the same request in every run.
fn mark_of(request: &Ddl, at: Timestamp) -> String {
    let what = match request {
        Ddl::CreateCollection { collection, .. } => return creation_mark(collection.id, at),
        Ddl::CreateDatabase(name) => format!("create/{name}"),
        Ddl::DropCollection(name) => format!("drop/{}/{}", name.database, name.name),
        // Without the collection's name, which may have changed since it was asked for first.
        Ddl::CreatePartition { partition, .. } => format!("create-partition/{partition}"),
        Ddl::DropPartition { partition, .. } => format!("drop-partition/{partition}"),
        Ddl::RenameCollection { id, .. } => format!("rename/{id}"),
        Ddl::AlterCollection { .. } | Ddl::GiveAlias { .. } | Ddl::DropAlias { .. } => {
            format!("{}/{}", request.name(), request.what())
        }
        Ddl::Op(request) => {
            format!("{}/{}/{}", request.name(), request.database(), request.collections().join("/"))
        }
    };
    format!("{what}@{}", at.0)
}
