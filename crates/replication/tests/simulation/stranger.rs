//! Somebody who changes the target by hand: makes collections under names that the source is about
//! to use, drops what is replicated, puts something else in its place, or gives it another name for
//! a while. In the end nothing of it is left. Never touches the source.

use crate::cluster::Cluster;
use milvus_wire::catalog;
use milvus_wire::ids::{CollectionName, DEFAULT_DATABASE};
use milvus_wire::timestamp::Timestamp;
use replication::ports::Ddl;

/// When all collections were made that are the stranger's.
pub(crate) const MADE_AT: Timestamp = Timestamp(1);

/// What the stranger has done and not undone.
#[derive(Default)]
pub(crate) struct Stranger {
    moved: Vec<(CollectionName, CollectionName)>,
    names: u64,
}

/// What the stranger does next.
pub(crate) enum Meddling {
    Drop,
    Replace,
    Move,
}

impl Stranger {
    /// A name that nobody else has.
    pub(crate) fn new_name(&mut self) -> CollectionName {
        self.names += 1;
        let letter = if self.names.is_multiple_of(2) { "a" } else { "b" };
        CollectionName::new(DEFAULT_DATABASE, format!("{letter}{}", 1000 + self.names))
    }

    /// Does something to a collection of the target.
    pub(crate) fn meddle(
        &mut self,
        what: &Meddling,
        name: &CollectionName,
        like: &catalog::Collection,
        cluster: &mut Cluster,
    ) {
        match what {
            Meddling::Drop => {
                cluster.drop_collection(name);
            }
            Meddling::Replace => {
                cluster.drop_collection(name);
                make(name, like, cluster);
            }
            Meddling::Move => {
                let to = CollectionName::new(&*name.database, format!("moved{}", self.moved.len()));
                cluster.rename(name, &to);
                self.moved.push((name.clone(), to));
            }
        }
    }

    /// Undoes it all. What was moved comes back, unless its name has been given away, or the source
    /// has dropped it: `lives`, by when they were created. Returns what somebody else has done to
    /// the stranger's own.
    pub(crate) fn undo(
        &mut self,
        cluster: &mut Cluster,
        lives: impl Fn(Timestamp) -> bool,
    ) -> Option<String> {
        let own = cluster.collections.values().filter(|c| c.info.created == MADE_AT);
        let own: Vec<_> = own.map(|c| (c.name.clone(), c.rows.len())).collect();
        for (name, _) in &own {
            cluster.drop_collection(name);
        }
        for (from, to) in std::mem::take(&mut self.moved) {
            let may_return = cluster.named(&from).is_none();
            let made = cluster.named(&to).map(|moved| moved.info.created);
            // It may have been made anew meanwhile, under another name.
            let all = cluster.collections.values();
            let is_only = all.filter(|c| Some(c.info.created) == made).count() == 1;
            if may_return && is_only && made.is_some_and(&lives) {
                cluster.rename(&to, &from);
            } else {
                cluster.drop_collection(&to);
            }
        }
        let (name, rows) = own.into_iter().find(|(_, rows)| *rows > 0)?;
        Some(format!("{name} is the stranger's, and has got {rows} rows"))
    }
}

/// Makes a collection of the stranger's, with fields that would do.
pub(crate) fn make(name: &CollectionName, like: &catalog::Collection, cluster: &mut Cluster) {
    let (name, collection) = (name.clone(), Box::new(like.clone()));
    cluster.carry_out(&Ddl::CreateCollection { name, collection }, MADE_AT).unwrap();
}
