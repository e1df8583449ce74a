//! A transaction that is too large for one of etcd's: a task with thousands of collections begins
//! or is deleted.
//!
//! Its changes are laid down in parts under `journal/part/`; one transaction then writes
//! `journal/head` if the conditions hold and every part is in place: that is the moment it happens.
//! From then on whoever reads or writes the store first carries the parts out, one after the other,
//! each in a transaction that moves the head on, and removes the journal. Nobody ever sees half of
//! it, and a crash at any point leaves all or nothing.
//! Never entered by a transaction that fits.

use super::changes::Changes;
use super::{EtcdStore, OPERATIONS_MAX, TRANSACTION_BYTES_MAX, has_revision};
use crate::etcd::reader;
use etcd_client::{Client, DeleteOptions, GetOptions, Txn, TxnOp};
use prost::Message;
use replication::error::{Error, Result};
use replication::ports::{Committed, holds};
use std::fmt;
use std::str::FromStr;

/// Each part is a condition of the transaction that writes the head, and etcd takes 128 by default.
const CONDITIONS_MAX: usize = 120;

/// How far a journal is carried out.
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

impl EtcdStore {
    pub(super) fn journal_head(&self) -> String {
        format!("{}journal/head", self.root)
    }

    fn journal_parts(&self) -> String {
        format!("{}journal/part/", self.root)
    }

    fn journal_part(&self, number: usize) -> String {
        format!("{}{number:03}", self.journal_parts())
    }

    /// Commits changes of any size. `None`: another journal stood in the way.
    pub(super) async fn commit_by_journal(
        &self,
        conditions: &[(String, u64)],
        changes: &Changes,
    ) -> Result<Option<Committed>> {
        let parts = changes.parts(TRANSACTION_BYTES_MAX);
        if parts.len() + conditions.len() >= CONDITIONS_MAX {
            return Err(Error::permanent(format!(
                "a transaction has {} parts of {} KiB, which is more than the etcd store takes; \
                 make the task smaller, or use another store",
                parts.len(),
                TRANSACTION_BYTES_MAX >> 10
            )));
        }
        let mut when = self.conditions(conditions);
        when.push(has_revision(self.journal_head(), 0));
        for (number, part) in parts.iter().enumerate() {
            let key = self.journal_part(number);
            when.push(has_revision(key.clone(), self.lay_down(key, part).await?));
        }
        let head = Head { part: 0, done: 0, parts: parts.len() };
        let written = TxnOp::put(self.journal_head(), head.to_string(), None);
        let keys = conditions.iter().map(|(key, _)| self.record_key(key));
        let look = |key| TxnOp::get(key, Some(GetOptions::new().with_keys_only()));
        let now: Vec<TxnOp> = [self.journal_head()].into_iter().chain(keys).map(look).collect();
        let txn = Txn::new().when(when).and_then(vec![written]).or_else(now);
        let (succeeded, mut reads) = self.txn("write to the store", txn).await?;
        if succeeded {
            self.finish_journal().await?;
            return Ok(Some(Committed::Yes));
        }
        if !reads.next().unwrap_or_default().is_empty() {
            return Ok(None);
        }
        let versions = reads.map(|found| found.first().map_or(0, |kv| kv.mod_revision() as u64));
        match versions.zip(conditions).all(|(version, (_, expected))| holds(version, *expected)) {
            // Another one laid down its own parts meanwhile, and has not got further.
            true => Err(Error::transient("another large transaction came in between")),
            false => Ok(Some(Committed::Conflict)),
        }
    }

    /// Writes a part, unless a journal stands; returns its revision.
    async fn lay_down(&self, key: String, part: &Changes) -> Result<i64> {
        let txn = Txn::new()
            .when(vec![has_revision(self.journal_head(), 0)])
            .and_then(vec![TxnOp::put(key, part.encode_to_vec(), None)]);
        let ask = async |client: Client| reader(&client).txn(txn.clone()).await;
        let answer = self.connection.ask("write to the store", ask).await?;
        // Not laid down, no part has that revision, and so the head is not written either.
        let laid = answer.succeeded();
        Ok(answer.header().filter(|_| laid).map_or(-1, |header| header.revision()))
    }

    /// Carries out what is left of a journal, if there is one.
    pub(super) async fn finish_journal(&self) -> Result<()> {
        while let Some((revision, head)) = self.journal().await? {
            let key = self.journal_head();
            let then = if head.part == head.parts {
                let all = DeleteOptions::new().with_prefix();
                vec![
                    TxnOp::delete(key.clone(), None),
                    TxnOp::delete(self.journal_parts(), Some(all)),
                ]
            } else {
                let Some(part) = self.part(revision, head.part).await? else { continue };
                let (now, is_rest) = part.some(head.done, OPERATIONS_MAX);
                let next = match is_rest {
                    true => Head { part: head.part + 1, done: 0, ..head },
                    false => Head { done: head.done + OPERATIONS_MAX, ..head },
                };
                let mut then = now.operations(|key| self.record_key(key));
                then.push(TxnOp::put(key.clone(), next.to_string(), None));
                then
            };
            // Whoever moves the head carries it out; the others look again.
            let txn = Txn::new().when(vec![has_revision(key, revision)]).and_then(then);
            let _ = self.txn("write to the store", txn).await?;
        }
        Ok(())
    }

    /// The head and its revision.
    async fn journal(&self) -> Result<Option<(i64, Head)>> {
        let key = self.journal_head();
        let get = TxnOp::get(key.clone(), None);
        let mut reads = self.txn("read the store", Txn::new().and_then(vec![get])).await?.1;
        let Some(kv) = reads.next().into_iter().flatten().next() else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(kv.value()).parse().map_err(|()| damaged(&key))?;
        Ok(Some((kv.mod_revision(), head)))
    }

    /// A part of the journal whose head has this revision; `None`: it has it no longer.
    async fn part(&self, revision: i64, number: usize) -> Result<Option<Changes>> {
        let key = self.journal_part(number);
        let txn = Txn::new()
            .when(vec![has_revision(self.journal_head(), revision)])
            .and_then(vec![TxnOp::get(key.clone(), None)]);
        let (stands, mut reads) = self.txn("read the store", txn).await?;
        if !stands {
            return Ok(None);
        }
        let kv = reads.next().into_iter().flatten().next().ok_or_else(|| damaged(&key))?;
        Changes::decode(kv.value()).map(Some).map_err(|error| damaged(&key).because(error))
    }
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
