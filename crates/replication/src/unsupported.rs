//! Changes in the log that can't be replicated: bulk imports, whose rows bypass the log, and
//! requests of an unknown type. By its policy the task stops there, or it goes on and keeps a list
//! of what the target lacks. Never leaves anything out in silence.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::message::Read;
use crate::observer::Noted;
use crate::ports::{Store, Transaction};
use crate::records::codec::{decode, encode};
use crate::records::keys::{missed_key, missed_prefix};
use crate::task::Unsupported;
use milvus_wire::message::{Message, type_name};
use milvus_wire::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// A change that the target lacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missed {
    /// When the source carried it out.
    #[serde(with = "crate::records::codec::timestamp")]
    pub at: Timestamp,
    /// The request's name in Milvus's API, or `type <number>`.
    pub request: String,
    /// The collection's name on the source; empty if the request names none.
    pub collection: String,
    /// What else is to be known; empty: nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Missed {
    /// Adds this record to a transaction.
    pub fn put(&self, task: &str, transaction: &mut Transaction) {
        let Self { at, request, collection, .. } = self;
        transaction.puts.push((missed_key(task, *at, request, collection), encode(self)));
    }

    /// A request of an unknown type.
    pub(crate) fn of_type(kind: i32, at: Timestamp) -> Self {
        let (collection, detail) = (String::new(), String::new());
        Self { at, request: type_name(kind), collection, detail }
    }

    /// What the target lacks because of a message; `None`: the message can be replicated.
    fn of(message: &Message) -> Option<Self> {
        match message {
            Message::Import { timestamp, collection, .. } => Some(Self {
                at: *timestamp,
                request: "Import".to_owned(),
                collection: collection.clone(),
                detail: String::new(),
            }),
            Message::Other(kind, at) => Some(Self::of_type(*kind, *at)),
            _ => None,
        }
    }

    /// Stops the task, or puts the change on the list, by the task's policy. To note it again
    /// changes nothing.
    pub(crate) async fn note(self, context: &Context) -> Result<()> {
        let Self { at, request, collection, .. } = &self;
        let what = match collection.as_str() {
            "" => format!("{request} at {at}"),
            collection => format!("{request} into {collection} at {at}"),
        };
        if context.task.policies.unsupported == Unsupported::Stop {
            return Err(Error::permanent(format!(
                "the source has carried out {what}, which can't be replicated. Do the same on the \
                 target or see that it is not needed; then set unsupportedRequests: continue, \
                 restart and resume the task. Nothing after it was replicated"
            )));
        }
        tracing::error!(task = %context.task.id, what, "the target lacks what can't be replicated");
        self.keep(context).await
    }

    /// Counts it and puts it on the list.
    pub(crate) async fn keep(&self, context: &Context) -> Result<()> {
        context.count(Noted::Missed(&self.request));
        let mut stored = Transaction::default();
        self.put(&context.task.id, &mut stored);
        context.records().commit(stored).await
    }
}

/// Takes the changes that can't be replicated out of a round.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::read_and_written_again;

    #[test]
    fn what_earlier_versions_stored_of_missed_changes_is_written_the_same() {
        let missed: Vec<Missed> = read_and_written_again("missed");
        assert!(missed.iter().any(|it| it.request == "Import" && !it.collection.is_empty()));
        assert!(missed.iter().any(|it| it.request == "type 9999"));
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;
    use crate::written::read_or_refused;

    #[test]
    fn any_bytes_are_a_record_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            read_or_refused::<Missed>(bytes);
        });
    }
}
