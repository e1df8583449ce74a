//! The aliases of a collection as a value. Never asks anybody.

use milvus_wire::ids::CollectionId;
use milvus_wire::serving::Alias;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The aliases of a collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Aliases {
    /// Given to the target by the task; for the source, the aliases that it has.
    pub given: BTreeSet<String>,
    /// About to be given, so the target may have them or not. Stored before it is asked.
    pub giving: BTreeSet<String>,
    /// Refused, because the target has the name for something else. They are not tried again.
    pub refused: BTreeSet<String>,
}

impl Aliases {
    /// The aliases of a collection on the source.
    pub(super) fn of(all: &[Alias], id: CollectionId) -> Self {
        let its = all.iter().filter(|alias| alias.collection == id);
        Self { given: its.map(|alias| alias.name.clone()).collect(), ..Self::default() }
    }

    /// What to store before the target is asked for the aliases of `now`; `None`: there is nothing
    /// new to ask for.
    pub(crate) fn before_giving(&self, now: &Self) -> Option<Self> {
        let giving: BTreeSet<_> = self.new_in(now).chain(&self.giving).cloned().collect();
        (giving != self.giving).then(|| Self { giving, ..self.clone() })
    }

    pub(crate) fn new_in<'a>(&'a self, now: &'a Self) -> impl Iterator<Item = &'a String> {
        now.given
            .iter()
            .filter(|alias| !self.given.contains(*alias) && !self.refused.contains(*alias))
    }

    pub(crate) fn may_have(&self, alias: &str) -> bool {
        self.given.contains(alias) || self.giving.contains(alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn only_what_is_new_is_about_to_be_given_and_what_was_refused_is_not_tried_again() {
        let before =
            Aliases { given: names(&["a"]), giving: names(&["b"]), refused: names(&["c"]) };
        let now = |given: &[&str]| Aliases { given: names(given), ..Aliases::default() };
        assert_eq!(before.before_giving(&now(&["a", "c"])), None);
        assert_eq!(before.before_giving(&now(&["a", "b"])), None, "an earlier run was about to");
        let about = before.before_giving(&now(&["d"])).unwrap();
        assert_eq!(about, Aliases { giving: names(&["b", "d"]), ..before.clone() });
        assert!(about.may_have("a") && about.may_have("d") && !about.may_have("c"));
    }
}
