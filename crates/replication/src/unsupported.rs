//! What the log holds and no replica can be given: bulk imports, whose rows bypass it, and requests
//! of a type that is not known here. By the task's policy it stops there, or goes on and keeps a list
//! of what the target lacks. Never leaves anything out in silence.

use crate::context::Ports;
use crate::error::{Error, Result};
use crate::message::Read;
use crate::observer::Event;
use crate::ports::{Store, Transaction};
use crate::records::codec::{decode, encode};
use crate::records::keys::missed_prefix;
use crate::task::{Task, Unsupported};
use milvus_wire::message::{Message, type_name};
use milvus_wire::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that the target lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missed {
    /// When it was asked for on the source.
    #[serde(with = "crate::records::codec::timestamp")]
    pub at: Timestamp,
    /// The request's name in Milvus's API, or `type <number>`.
    pub request: String,
    /// The collection's name on the source; empty if the request names none.
    pub collection: String,
}

impl Missed {
    /// Adds this record to a transaction.
    pub fn put(&self, task: &str, transaction: &mut Transaction) {
        let Self { at, request, collection } = self;
        let key = format!("{}{:020}-{request}-{collection}", missed_prefix(task), at.0);
        transaction.puts.push((key, encode(self)));
    }

    /// A request of a type that is not known here.
    pub(crate) fn of_type(kind: i32, at: Timestamp) -> Self {
        Self { at, request: type_name(kind), collection: String::new() }
    }

    /// What an entry of the log misses, if it is no message that goes to the target.
    fn of(message: &Message) -> Option<Self> {
        match message {
            Message::Import { timestamp, collection, .. } => Some(Self {
                at: *timestamp,
                request: "Import".to_owned(),
                collection: collection.clone(),
            }),
            Message::Other(kind, at) => Some(Self::of_type(*kind, *at)),
            _ => None,
        }
    }

    /// Stops the task or puts it on the list, as the task's policy has it. Noting it again changes
    /// nothing.
    pub(crate) async fn note(self, task: &Task, ports: &Ports) -> Result<()> {
        let Self { at, request, collection } = &self;
        let what = match collection.as_str() {
            "" => format!("{request} at {at}"),
            collection => format!("{request} into {collection} at {at}"),
        };
        if task.unsupported == Unsupported::Stop {
            return Err(Error::permanent(format!(
                "the source has carried out {what}, which can't be replicated. Do the same on the \
                 target or see that it is not needed; then set unsupportedRequests: continue, \
                 restart and resume the task. Nothing after it was replicated"
            )));
        }
        tracing::error!(task = %task.id, what, "the target lacks what can't be replicated");
        ports.observer.event(Event::Counted(&format!("missed_{request}"), 1));
        let mut stored = Transaction::default();
        self.put(&task.id, &mut stored);
        ports.destination.lease().commit_of(&*ports.store, &task.id, stored).await
    }
}

/// Takes out of a round what can't be replicated.
pub(crate) fn take_out(round: &mut Vec<Read>) -> Vec<Missed> {
    let missed = round.iter().filter_map(|read| Missed::of(&read.entry.message)).collect();
    round.retain(|read| Missed::of(&read.entry.message).is_none());
    missed
}

/// What the target of a task lacks, oldest first.
pub async fn list(store: &dyn Store, task: &str) -> Result<Vec<Missed>> {
    let stored = store.list(&missed_prefix(task)).await?;
    stored.into_iter().map(|(key, stored)| decode(&key, &stored.value)).collect()
}
