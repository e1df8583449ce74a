//! Carries out a transaction that is too large for one of etcd's: a task with thousands of
//! collections begins or is deleted.
//!
//! Its changes are first written in parts under `journal/part/`. One transaction then writes
//! `journal/head` if the conditions hold and every part is in place: at this moment the whole
//! transaction has happened. From then on whoever reads or writes the store first carries the parts
//! out, one after the other, each in a transaction that moves the head on, and removes the journal.
//! Nobody ever sees half of it, and a crash at any point leaves all or nothing.
//! Never used by a transaction that fits into one of etcd's.

use super::changes::{Changes, OPERATIONS_MAX, TRANSACTION_BYTES_MAX};
use super::keyspace::{Keyspace, has_revision};
use etcd_client::{DeleteOptions, GetOptions, Txn, TxnOp};
use prost::Message;
use replication::error::{Error, Result};
use replication::ports::{Committed, holds};
use std::fmt;
use std::str::FromStr;

/// Each part is a condition of the transaction that writes the head; etcd takes 128 by default.
const CONDITIONS_MAX: usize = 120;

/// How far a journal has been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// The next part.
    part: usize,
    /// How many of its changes are done.
    done: usize,
    /// How many parts there are.
    parts: usize,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.part, self.done, self.parts)
    }
}

impl FromStr for Head {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let numbers = text.split('/').map(str::parse).collect::<std::result::Result<Vec<_>, _>>();
        match numbers.as_deref() {
            Ok([part, done, parts]) => Ok(Self { part: *part, done: *done, parts: *parts }),
            _ => Err(()),
        }
    }
}

/// Commits changes of any size. `None`: another journal was in the way.
pub(super) async fn commit(
    keys: &Keyspace,
    conditions: &[(String, u64)],
    changes: &Changes,
) -> Result<Option<Committed>> {
    let parts = changes.parts(TRANSACTION_BYTES_MAX);
    if parts.len() + conditions.len() >= CONDITIONS_MAX {
        return Err(Error::permanent(format!(
            "a transaction has {} parts of {} KiB, which is more than the etcd store takes; make \
             the task smaller, or use another store",
            parts.len(),
            TRANSACTION_BYTES_MAX >> 10
        )));
    }
    let mut when = keys.conditions(conditions);
    when.push(has_revision(keys.journal_head(), 0));
    for (number, part) in parts.iter().enumerate() {
        let revision = write_part(keys, number, part).await?;
        when.push(has_revision(keys.journal_part(number), revision));
    }
    let head = Head { part: 0, done: 0, parts: parts.len() };
    let written = TxnOp::put(keys.journal_head(), head.to_string(), None);
    let records = conditions.iter().map(|(key, _)| keys.record(key));
    let look = |key| TxnOp::get(key, Some(GetOptions::new().with_keys_only()));
    let now: Vec<TxnOp> = [keys.journal_head()].into_iter().chain(records).map(look).collect();
    let txn = Txn::new().when(when).and_then(vec![written]).or_else(now);
    let mut answer = keys.txn("write to the store", txn).await?;
    if answer.succeeded {
        finish(keys).await?;
        return Ok(Some(Committed::Yes));
    }
    if answer.is_doubtful {
        // The head was sent before, and may have been written then.
        finish(keys).await?;
        if keys.has(changes).await? {
            return Ok(Some(Committed::Yes));
        }
    }
    if !answer.next_read().is_empty() {
        return Ok(None);
    }
    let versions = answer.reads.map(|found| found.first().map_or(0, |kv| kv.mod_revision() as u64));
    match versions.zip(conditions).all(|(version, (_, expected))| holds(version, *expected)) {
        // Another one wrote its own parts meanwhile, and has not got further.
        true => Err(Error::transient("another large transaction came in between")),
        false => Ok(Some(Committed::Conflict)),
    }
}

/// Writes a part unless there is a journal; returns its revision.
async fn write_part(keys: &Keyspace, number: usize, part: &Changes) -> Result<i64> {
    let txn = Txn::new()
        .when(vec![has_revision(keys.journal_head(), 0)])
        .and_then(vec![TxnOp::put(keys.journal_part(number), part.encode_to_vec(), None)]);
    let answer = keys.txn("write to the store", txn).await?;
    // No part has this revision, so a part that was not written keeps the head from being written.
    Ok(if answer.succeeded { answer.revision } else { -1 })
}

/// Carries out what is left of a journal, if there is one.
pub(super) async fn finish(keys: &Keyspace) -> Result<()> {
    while let Some((revision, head)) = read_head(keys).await? {
        let key = keys.journal_head();
        let then = if head.part == head.parts {
            let all = DeleteOptions::new().with_prefix();
            vec![TxnOp::delete(key.clone(), None), TxnOp::delete(keys.journal_parts(), Some(all))]
        } else {
            let Some(part) = read_part(keys, revision, head.part).await? else { continue };
            let (now, is_rest) = part.some(head.done, OPERATIONS_MAX);
            let next = match is_rest {
                true => Head { part: head.part + 1, done: 0, ..head },
                false => Head { done: head.done + OPERATIONS_MAX, ..head },
            };
            let mut then = now.operations(|key| keys.record(key));
            then.push(TxnOp::put(key.clone(), next.to_string(), None));
            then
        };
        // Whoever moves the head carries it out; the others look again.
        let txn = Txn::new().when(vec![has_revision(key, revision)]).and_then(then);
        let _ = keys.txn("write to the store", txn).await?;
    }
    Ok(())
}

/// The head and its revision.
async fn read_head(keys: &Keyspace) -> Result<Option<(i64, Head)>> {
    let key = keys.journal_head();
    let get = TxnOp::get(key.clone(), None);
    let read = keys.txn("read the store", Txn::new().and_then(vec![get])).await?.next_read();
    let Some(kv) = read.first() else { return Ok(None) };
    let head = String::from_utf8_lossy(kv.value()).parse().map_err(|()| damaged(&key))?;
    Ok(Some((kv.mod_revision(), head)))
}

/// A part of the journal whose head has this revision; `None` if the head has moved on.
async fn read_part(keys: &Keyspace, revision: i64, number: usize) -> Result<Option<Changes>> {
    let key = keys.journal_part(number);
    let txn = Txn::new()
        .when(vec![has_revision(keys.journal_head(), revision)])
        .and_then(vec![TxnOp::get(key.clone(), None)]);
    let mut answer = keys.txn("read the store", txn).await?;
    if !answer.succeeded {
        return Ok(None);
    }
    let read = answer.next_read();
    let kv = read.first().ok_or_else(|| damaged(&key))?;
    Changes::decode(kv.value()).map(Some).map_err(|error| damaged(&key).because(error))
}

fn damaged(key: &str) -> Error {
    Error::permanent(format!("{key} in etcd can't be read; restore the task store from a backup"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_written() {
        let head = Head { part: 1, done: 200, parts: 3 };
        assert_eq!(head.to_string().parse(), Ok(head));
        for wrong in ["", "1/2", "1/2/3/4", "a/b/c"] {
            assert_eq!(wrong.parse::<Head>(), Err(()));
        }
    }
}
