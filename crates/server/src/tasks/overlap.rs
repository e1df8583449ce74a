//! Whether two tasks on one target would replicate the same collection, and what a new task has to
//! leave to the others. Computed from the stored tasks each time, so that deleted ones don't count.
//! A part of a name may be `*`. Never reads the store.

use milvus_wire::ids::CollectionName;
use replication::selection::ANY;

/// What the stored tasks of one target say about the names of a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overlap {
    /// These belong to another task already.
    pub duplicates: Vec<CollectionName>,
    /// These the new task has to leave to others.
    pub excludes: Vec<CollectionName>,
}

/// `others`: names and excludes of each stored task on the same target.
pub(super) fn check(
    new: &[CollectionName],
    others: &[(Vec<CollectionName>, Vec<CollectionName>)],
) -> Overlap {
    let mut overlap = Overlap::default();
    for name in new {
        for (theirs, left) in others {
            for their in theirs {
                overlap.compare(name, their, left);
            }
        }
    }
    // A name that lies within what others own would silently select nothing.
    for name in new {
        let owned = overlap.excludes.iter().any(|e| covers(e, name));
        if owned && !overlap.duplicates.contains(name) {
            overlap.duplicates.push(name.clone());
        }
    }
    overlap
}

impl Overlap {
    fn compare(&mut self, name: &CollectionName, their: &CollectionName, left: &[CollectionName]) {
        let Some(both) = intersection(name, their) else { return };
        if name != their && left.iter().any(|l| covers(l, &both)) {
            return;
        }
        let list = if both == *name { &mut self.duplicates } else { &mut self.excludes };
        if !list.contains(&both) {
            list.push(both);
        }
    }
}

/// Whether everything that `b` names is named by `a` too.
pub(super) fn covers(a: &CollectionName, b: &CollectionName) -> bool {
    (a.database == ANY || a.database == b.database) && (a.name == ANY || a.name == b.name)
}

fn intersection(a: &CollectionName, b: &CollectionName) -> Option<CollectionName> {
    let both = |a: &str, b: &str| match (a, b) {
        (ANY, b) => Some(b.to_owned()),
        (a, ANY) => Some(a.to_owned()),
        (a, b) => (a == b).then(|| a.to_owned()),
    };
    Some(CollectionName::new(both(&a.database, &b.database)?, both(&a.name, &b.name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<CollectionName> {
        texts
            .iter()
            .map(|t| t.split_once('.').unwrap())
            .map(|(d, c)| CollectionName::new(d, c))
            .collect()
    }

    fn checked(
        new: &[&str],
        others: &[(&[&str], &[&str])],
    ) -> (Vec<CollectionName>, Vec<CollectionName>) {
        let others: Vec<_> = others.iter().map(|(n, e)| (names(n), names(e))).collect();
        let overlap = check(&names(new), &others);
        (overlap.duplicates, overlap.excludes)
    }

    #[test]
    fn a_wildcard_leaves_the_collections_of_other_tasks_to_them() {
        assert_eq!(
            checked(&["*.*"], &[(&["d.c"], &[]), (&["e.*"], &[])]),
            (vec![], names(&["d.c", "e.*"]))
        );
        assert_eq!(checked(&["d.*"], &[(&["e.c"], &[])]), (vec![], vec![]));
    }

    #[test]
    fn a_collection_that_a_task_covers_is_a_duplicate_unless_it_is_left_out() {
        assert_eq!(checked(&["d.c"], &[(&["*.*"], &[])]).0, names(&["d.c"]));
        assert_eq!(checked(&["*.*"], &[(&["*.*"], &["d.c"])]).0, names(&["*.*"]));
        assert_eq!(checked(&["d.c"], &[(&["*.*"], &["d.c"])]), (vec![], vec![]));
        assert_eq!(checked(&["d.c"], &[(&["*.*"], &["d.*"])]), (vec![], vec![]));
        assert_eq!(checked(&["d.*"], &[(&["*.*"], &["d.c"])]).0, names(&["d.*"]));
    }

    #[test]
    fn two_wildcards_that_cross_share_nothing() {
        assert_eq!(checked(&["*.c"], &[(&["d.*"], &[])]), (vec![], names(&["d.c"])));
        assert_eq!(checked(&["d.*"], &[(&["*.c"], &["d.c"])]), (vec![], vec![]));
    }

    #[test]
    fn a_selector_that_would_select_nothing_is_a_duplicate() {
        let (duplicates, _) = checked(&["*.*", "d.c"], &[(&["d.*"], &["d.c"])]);
        assert_eq!(duplicates, names(&["d.c"]));
    }
}
