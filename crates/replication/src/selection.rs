//! Which collections a task covers, where each begins, and what they are called on the target.
//! Never asks anybody: names in, answers out.

use milvus_wire::ids::{CollectionName, DEFAULT_DATABASE};
use milvus_wire::position::MessageId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Any database or any collection.
pub const ANY: &str = "*";

/// One selector of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// A database's name or `*`.
    pub database: String,
    /// A collection's name or `*`.
    pub collection: String,
    /// Begin with the first message of a collection that exists already, not with the next one.
    pub use_start_position: bool,
    /// Begin here, by virtual channel of the source.
    pub positions: BTreeMap<String, MessageId>,
}

impl Selector {
    /// Whether it covers a collection.
    pub fn covers(&self, database: &str, collection: &str) -> bool {
        (self.database == ANY || self.database == database)
            && (self.collection == ANY || self.collection == collection)
    }

    fn names(&self) -> u8 {
        u8::from(self.database != ANY) + 2 * u8::from(self.collection != ANY)
    }
}

/// All selectors of a task and what other tasks have taken out of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// At least one.
    pub selectors: Vec<Selector>,
    /// Database and collection (either may be `*`) that belong to another task.
    pub excluded: Vec<(String, String)>,
}

impl Selection {
    /// The most specific selector that covers a collection; `None` if none does.
    pub fn find(&self, database: &str, collection: &str) -> Option<&Selector> {
        let excluded = self
            .excluded
            .iter()
            .any(|(d, c)| (d == ANY || d == database) && (c == ANY || c == collection));
        self.selectors
            .iter()
            .filter(|s| !excluded && s.covers(database, collection))
            .max_by_key(|s| s.names())
    }

    /// Whether anything of a database is selected.
    pub fn covers_database(&self, database: &str) -> bool {
        self.selectors.iter().any(|s| s.database == ANY || s.database == database)
    }
}

/// One entry of a name mapping, as the HTTP API and the stored records have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NameRule {
    /// The source's database.
    pub source_db: String,
    /// The target's database.
    pub target_db: String,
    /// Source collection to target collection; empty: all keep their names.
    #[serde(default)]
    pub collection_mapping: BTreeMap<String, String>,
}

/// What the target calls things.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// In the order of the request.
    pub rules: Vec<NameRule>,
}

impl Names {
    /// The target's database of a source database. An empty name is `default`.
    pub fn database<'a>(&'a self, database: &'a str) -> &'a str {
        let database = named(database);
        self.rules
            .iter()
            .find(|r| named(&r.source_db) == database)
            .map_or(database, |r| named(&r.target_db))
    }

    /// The target's name of a source collection.
    pub fn collection(&self, database: &str, collection: &str) -> CollectionName {
        let database = named(database);
        let rules = || self.rules.iter().filter(move |r| named(&r.source_db) == database);
        let exact = rules().find_map(|r| Some((r, r.collection_mapping.get(collection)?)));
        if let Some((rule, name)) = exact {
            return CollectionName::new(named(&rule.target_db), name);
        }
        let whole = rules().find(|r| r.collection_mapping.is_empty());
        CollectionName::new(whole.map_or(database, |r| named(&r.target_db)), collection)
    }
}

/// The database's name: `default` stands for an empty one.
pub fn named(database: &str) -> &str {
    if database.is_empty() { DEFAULT_DATABASE } else { database }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(database: &str, collection: &str) -> Selector {
        Selector {
            database: database.into(),
            collection: collection.into(),
            use_start_position: false,
            positions: BTreeMap::new(),
        }
    }

    #[test]
    fn the_most_specific_selector_wins_and_the_excluded_belong_to_others() {
        let selection = Selection {
            selectors: vec![selector("*", "*"), selector("d", "*"), selector("d", "c")],
            excluded: vec![("d".into(), "x".into())],
        };
        assert_eq!(selection.find("d", "c"), Some(&selection.selectors[2]));
        assert_eq!(selection.find("d", "e"), Some(&selection.selectors[1]));
        assert_eq!(selection.find("e", "c"), Some(&selection.selectors[0]));
        assert_eq!(selection.find("d", "x"), None);
    }

    #[test]
    fn names_are_mapped_by_collection_first_then_by_database() {
        let rule = |s: &str, t: &str, c: &[(&str, &str)]| NameRule {
            source_db: s.into(),
            target_db: t.into(),
            collection_mapping: c.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect(),
        };
        let names = Names {
            rules: vec![rule("a", "b", &[("x", "y")]), rule("c", "d", &[]), rule("", "e", &[])],
        };
        assert_eq!(names.collection("a", "x"), CollectionName::new("b", "y"));
        assert_eq!(names.collection("a", "z"), CollectionName::new("a", "z"));
        assert_eq!(names.collection("c", "z"), CollectionName::new("d", "z"));
        assert_eq!(names.collection("default", "z"), CollectionName::new("e", "z"));
        assert_eq!(names.database(""), "e");
        assert_eq!(names.database("q"), "q");
    }
}
