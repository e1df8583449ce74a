//! How a collection is served (indexes, load, properties, aliases) as a value, and what has to be
//! asked of a target so that it follows from one such value to another; of aliases, see `alias`.
//! Never asks anybody: values in, requests out.

use crate::metadata::aliases::Aliases;
use crate::ports::{Ddl, Transaction};
use crate::records::codec::encode;
use crate::records::keys::serving_key;
use milvus_wire::catalog::{Collection, Partition as Record, State};
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::op::OpRequest;
use milvus_wire::proto::common::KeyValuePair;
use milvus_wire::proto::milvus as pb;
use milvus_wire::serving::{Alias, Serving};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a collection is served on the source, with names instead of most ids. This is also the form
/// in which it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ServingState {
    /// By id: a name that was used again is another index.
    pub indexes: BTreeMap<i64, Index>,
    /// `None`: nothing of it is loaded.
    pub load: Option<Load>,
    /// All partitions, by id: a name that was used again is another partition.
    pub partitions: BTreeMap<i64, Partition>,
    /// Its properties (`collection.ttl.seconds`, …).
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Its aliases.
    #[serde(default)]
    pub aliases: Aliases,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    /// Its name.
    pub name: String,
    /// The field's name; empty if the collection has no such field for users.
    pub field: String,
    /// What the user gave.
    pub params: Vec<(String, String)>,
}

/// How a collection is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Load {
    /// As a whole: partitions that are created later are loaded with it.
    pub whole: bool,
    /// How often.
    pub replicas: i32,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partition {
    /// Its name.
    pub name: String,
    /// Whether it is loaded.
    pub loaded: bool,
}

/// Something to be asked of the target.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ServingChange {
    /// Release the collection.
    Release,
    /// Release these partitions.
    ReleasePartitions(Vec<String>),
    /// Drop an index.
    DropIndex(Index),
    /// Create an index.
    CreateIndex(Index),
    /// Set these properties and remove those.
    Alter(Vec<(String, String)>, Vec<String>),
    /// Load the collection as a whole, so often.
    Load(i32),
    /// Load these partitions, so often.
    LoadPartitions(Vec<String>, i32),
}

impl ServingState {
    /// From the records of the source.
    pub(super) fn new(
        collection: &Collection,
        partitions: &[Record],
        serving: &Serving,
        aliases: &[Alias],
    ) -> Self {
        let field = |id| {
            let found = collection.schema.fields.iter().find(|field| field.field_id == id);
            found.map(|field| field.name.clone()).unwrap_or_default()
        };
        let pair = |pair: &KeyValuePair| (pair.key.clone(), pair.value.clone());
        let index = |index: &milvus_wire::serving::Index| Index {
            name: index.name.clone(),
            field: field(index.field),
            params: index.params.iter().map(pair).collect(),
        };
        let load = serving.load.map(|load| Load {
            whole: load.whole,
            // As Milvus understands a request without a number.
            replicas: load.replicas.max(1),
        });
        let partition = |partition: &Record| Partition {
            name: partition.name.clone(),
            loaded: load.is_some() && serving.partitions.contains(&partition.id),
        };
        let here = partitions.iter().filter(|partition| partition.state == State::Created);
        Self {
            indexes: serving.indexes.iter().map(|i| (i.id, index(i))).collect(),
            load,
            partitions: here.map(|p| (p.id.0, partition(p))).collect(),
            properties: collection.properties.iter().map(pair).collect(),
            aliases: Aliases::of(aliases, collection.id),
        }
    }

    /// The same for a target that does not have the source's partitions.
    #[must_use]
    pub(super) fn without_partitions(mut self) -> Self {
        self.partitions.clear();
        self.load = self.load.map(|load| Load { whole: true, ..load });
        self
    }

    /// Adds this record to a transaction.
    pub(super) fn put(&self, task: &str, id: CollectionId, transaction: &mut Transaction) {
        transaction.puts.push((serving_key(task, id), encode(self)));
    }

    /// Whether a request of the op channel, which comes late, agrees with how the collection is
    /// served by now. One that does not has been overtaken by another one, of which the op channel
    /// may say nothing.
    pub(super) fn agrees_with(&self, request: &OpRequest) -> bool {
        let named = |name: &str, field: &str| {
            self.indexes.values().any(|i| {
                if name.is_empty() { field.is_empty() || i.field == field } else { i.name == name }
            })
        };
        let loaded = |names: &[String]| {
            self.partitions.values().filter(|p| names.contains(&p.name)).map(|p| p.loaded).collect()
        };
        let all = |loaded: Vec<bool>| loaded.into_iter().all(|loaded| loaded);
        let none = |loaded: Vec<bool>| loaded.into_iter().all(|loaded| !loaded);
        match request {
            OpRequest::CreateIndex(r) => named(&r.index_name, &r.field_name),
            OpRequest::AlterIndex(r) => named(&r.index_name, ""),
            OpRequest::DropIndex(r) => !named(&r.index_name, &r.field_name),
            OpRequest::LoadCollection(_) => {
                self.load.is_some_and(|load| load.whole)
                    && self.partitions.values().all(|p| p.loaded)
            }
            OpRequest::ReleaseCollection(_) => self.load.is_none(),
            OpRequest::LoadPartitions(r) => self.load.is_some() && all(loaded(&r.partition_names)),
            OpRequest::ReleasePartitions(r) => none(loaded(&r.partition_names)),
            OpRequest::CreateDatabase(_)
            | OpRequest::DropDatabase(_)
            | OpRequest::AlterDatabase(_)
            | OpRequest::Flush(_)
            | OpRequest::Rbac(_) => true,
        }
    }
}

/// What takes a target from `before` to `now`. `None`: nothing is known of it; then what the source
/// has is added and nothing removed. Every change may be asked for again.
///
/// Only the difference is asked for, so what somebody has changed at the target on purpose stays
/// until the source changes it as well.
pub(super) fn changes(before: Option<&ServingState>, now: &ServingState) -> Vec<ServingChange> {
    let nothing = ServingState::default();
    let before = before.unwrap_or(&nothing);
    let lacks = |there: &ServingState, here: &ServingState| {
        let lacking = here.indexes.iter().filter(|(id, _)| !there.indexes.contains_key(*id));
        lacking.map(|(_, index)| index.clone()).collect::<Vec<_>>()
    };
    let (dropped, created) = (lacks(now, before), lacks(before, now));
    let (set, removed) = properties(before, now);
    // Milvus drops no index of a loaded collection (`dropIndexTask.PreExecute`), and from 2.4 on
    // changes none of these properties (`alterCollectionTask.PreExecute`): the source has released
    // it in between.
    let needs_release = |key: &String| key == "mmap.enabled" || key == "lazyload.enabled";
    let altered = set.iter().map(|(key, _)| key).chain(&removed).any(needs_release);
    let load = Loads::new(before, now, !dropped.is_empty() || altered);
    let mut changes = Vec::new();
    changes.extend(load.release.then_some(ServingChange::Release));
    let (released, loaded) = load.partitions(before, now);
    let released = (!released.is_empty()).then_some(ServingChange::ReleasePartitions(released));
    let (first, last) = if load.asks_whole { (None, released) } else { (released, None) };
    changes.extend(first);
    changes.extend(dropped.into_iter().map(ServingChange::DropIndex));
    changes.extend(created.into_iter().map(ServingChange::CreateIndex));
    if !set.is_empty() || !removed.is_empty() {
        changes.push(ServingChange::Alter(set, removed));
    }
    let replicas = now.load.map_or(1, |load| load.replicas);
    changes.extend(load.asks_whole.then_some(ServingChange::Load(replicas)));
    // What a load of the whole has loaded and the source has not.
    changes.extend(last);
    changes.extend((!loaded.is_empty()).then_some(ServingChange::LoadPartitions(loaded, replicas)));
    changes
}

/// The properties to be set, and those to be removed.
fn properties(before: &ServingState, now: &ServingState) -> (Vec<(String, String)>, Vec<String>) {
    let is_new = |(key, value): &(&String, &String)| before.properties.get(*key) != Some(*value);
    let set = now.properties.iter().filter(is_new).map(|(k, v)| (k.clone(), v.clone()));
    let is_gone = |key: &&String| !now.properties.contains_key(*key);
    (set.collect(), before.properties.keys().filter(is_gone).cloned().collect())
}

/// How the load of a collection changes.
struct Loads {
    /// Nothing of it stays loaded.
    release: bool,
    /// It is loaded as a whole.
    asks_whole: bool,
}

impl Loads {
    fn new(before: &ServingState, now: &ServingState, was_released: bool) -> Self {
        // To the whole a load can be extended; the replicas and the way back need a release.
        let stays = |before: Load, now: Load| {
            before.replicas == now.replicas && (now.whole || !before.whole) && !was_released
        };
        let kept = before.load.zip(now.load).is_some_and(|(before, now)| stays(before, now));
        let whole = |served: &ServingState| served.load.is_some_and(|load| load.whole);
        Self {
            release: before.load.is_some() && !kept,
            asks_whole: whole(now) && !(kept && whole(before)),
        }
    }

    /// The partitions to be released and to be loaded, beyond what follows by itself.
    fn partitions(&self, before: &ServingState, now: &ServingState) -> (Vec<String>, Vec<String>) {
        let (mut released, mut loaded) = (Vec::new(), Vec::new());
        let whole = now.load.is_some_and(|load| load.whole);
        for (id, partition) in &now.partitions {
            let was_loaded = before.partitions.get(id).map(|before| before.loaded);
            // A partition that is new is loaded with a whole collection.
            let follows = self.asks_whole || (!self.release && was_loaded.unwrap_or(whole));
            match (follows, partition.loaded) {
                // Released with the collection.
                (true, false) if now.load.is_some() => released.push(partition.name.clone()),
                (false, true) => loaded.push(partition.name.clone()),
                _ => {}
            }
        }
        (released, loaded)
    }
}

impl ServingChange {
    /// Whether it changes what is loaded.
    pub(super) fn is_of_load(&self) -> bool {
        !matches!(self, Self::DropIndex(_) | Self::CreateIndex(_) | Self::Alter(..))
    }

    /// The request, with the target's names.
    pub(super) fn request(self, name: &CollectionName) -> Ddl {
        let (db_name, collection_name) = (name.database.clone(), name.name.clone());
        Ddl::Op(Box::new(match self {
            Self::Alter(set, removed) => {
                return Ddl::AlterCollection { name: name.clone(), set, removed };
            }
            Self::Release => OpRequest::ReleaseCollection(pb::ReleaseCollectionRequest {
                db_name,
                collection_name,
                ..Default::default()
            }),
            Self::ReleasePartitions(partition_names) => {
                OpRequest::ReleasePartitions(pb::ReleasePartitionsRequest {
                    db_name,
                    collection_name,
                    partition_names,
                    ..Default::default()
                })
            }
            Self::DropIndex(index) => OpRequest::DropIndex(pb::DropIndexRequest {
                db_name,
                collection_name,
                field_name: index.field,
                index_name: index.name,
                ..Default::default()
            }),
            Self::CreateIndex(index) => {
                let pair = |(key, value)| KeyValuePair { key, value };
                OpRequest::CreateIndex(pb::CreateIndexRequest {
                    db_name,
                    collection_name,
                    field_name: index.field,
                    index_name: index.name,
                    extra_params: index.params.into_iter().map(pair).collect(),
                    ..Default::default()
                })
            }
            Self::Load(replica_number) => OpRequest::LoadCollection(pb::LoadCollectionRequest {
                db_name,
                collection_name,
                replica_number,
                ..Default::default()
            }),
            Self::LoadPartitions(partition_names, replica_number) => {
                OpRequest::LoadPartitions(pb::LoadPartitionsRequest {
                    db_name,
                    collection_name,
                    partition_names,
                    replica_number,
                    ..Default::default()
                })
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::read_and_written_again;

    #[test]
    fn what_earlier_versions_stored_of_how_collections_are_served_is_written_the_same() {
        let served: Vec<ServingState> = read_and_written_again("serving");
        assert!(served.iter().any(|it| !it.indexes.is_empty() && it.load.is_some()));
        assert!(served.iter().any(|it| !it.properties.is_empty()));
        assert!(served.iter().any(|it| !it.aliases.given.is_empty()));
    }

    fn index(name: &str) -> Index {
        let params = vec![("index_type".into(), "FLAT".into())];
        Index { name: name.into(), field: "vector".into(), params }
    }

    fn served(
        indexes: &[(i64, &str)],
        load: Option<(bool, i32)>,
        partitions: &[(i64, &str, bool)],
    ) -> ServingState {
        let partition = |(id, name, loaded): &(i64, &str, bool)| {
            (*id, Partition { name: (*name).into(), loaded: *loaded })
        };
        ServingState {
            indexes: indexes.iter().map(|(id, name)| (*id, index(name))).collect(),
            load: load.map(|(whole, replicas)| Load { whole, replicas }),
            partitions: partitions.iter().map(partition).collect(),
            ..ServingState::default()
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    const WHOLE: Option<(bool, i32)> = Some((true, 1));
    const PARTS: Option<(bool, i32)> = Some((false, 1));

    #[test]
    fn what_is_new_is_added_and_what_is_known_is_not_asked_for_again() {
        let now = served(&[(1, "a"), (2, "b")], WHOLE, &[(5, "p", true)]);
        let added = [
            ServingChange::CreateIndex(index("a")),
            ServingChange::CreateIndex(index("b")),
            ServingChange::Load(1),
        ];
        assert_eq!(changes(None, &now), added);
        assert_eq!(changes(Some(&now), &now), []);
        let parts = served(&[], Some((false, 2)), &[(5, "p", true), (6, "q", false)]);
        assert_eq!(changes(None, &parts), [ServingChange::LoadPartitions(names(&["p"]), 2)]);
        assert_eq!(changes(None, &ServingState::default()), []);
    }

    #[test]
    fn releases_come_before_drops_and_loads_after_creations() {
        let before = served(&[(1, "a")], WHOLE, &[(5, "p", true)]);
        let now = served(&[(2, "a")], WHOLE, &[(5, "p", true)]);
        let expected = [
            ServingChange::Release,
            ServingChange::DropIndex(index("a")),
            ServingChange::CreateIndex(index("a")),
            ServingChange::Load(1),
        ];
        // Under the same name, so the load ended in between although it is there on both ends.
        assert_eq!(changes(Some(&before), &now), expected);
        let parts = served(&[(2, "a")], PARTS, &[(5, "p", true)]);
        let before = served(&[(1, "a")], PARTS, &[(5, "p", true)]);
        let last = changes(Some(&before), &parts).pop();
        assert_eq!(last, Some(ServingChange::LoadPartitions(names(&["p"]), 1)));
        let gone = served(&[], None, &[(5, "p", false)]);
        let expected = [ServingChange::Release, ServingChange::DropIndex(index("a"))];
        assert_eq!(changes(Some(&before), &gone), expected);
    }

    #[test]
    fn partitions_are_loaded_and_released_one_by_one() {
        let one = served(&[], PARTS, &[(5, "p", true), (6, "q", false)]);
        let other = served(&[], PARTS, &[(5, "p", false), (6, "q", true)]);
        let expected = [
            ServingChange::ReleasePartitions(names(&["p"])),
            ServingChange::LoadPartitions(names(&["q"]), 1),
        ];
        assert_eq!(changes(Some(&one), &other), expected);
        let whole = served(&[], WHOLE, &[(5, "p", true), (6, "q", true)]);
        let less = served(&[], WHOLE, &[(5, "p", true), (6, "q", false)]);
        assert_eq!(changes(Some(&whole), &less), [ServingChange::ReleasePartitions(names(&["q"]))]);
        assert_eq!(changes(Some(&less), &whole), [ServingChange::LoadPartitions(names(&["q"]), 1)]);
        // Some versions keep a collection without any of its partitions as loaded.
        let empty = served(&[], WHOLE, &[(5, "p", false), (6, "q", false)]);
        assert_eq!(changes(Some(&less), &empty), [ServingChange::ReleasePartitions(names(&["p"]))]);
        // What was loaded and is gone is dropped in the order of the rows.
        let gone = served(&[], PARTS, &[(6, "q", false)]);
        assert_eq!(changes(Some(&one), &gone), []);
    }

    #[test]
    fn a_new_partition_is_loaded_with_a_whole_collection_only() {
        let before = served(&[], WHOLE, &[(5, "p", true)]);
        let now = |loaded| served(&[], WHOLE, &[(5, "p", true), (6, "q", loaded)]);
        assert_eq!(changes(Some(&before), &now(true)), []);
        assert_eq!(
            changes(Some(&before), &now(false)),
            [ServingChange::ReleasePartitions(names(&["q"]))]
        );
        let before = served(&[], PARTS, &[(5, "p", true)]);
        let now = served(&[], PARTS, &[(5, "p", true), (6, "q", true)]);
        assert_eq!(changes(Some(&before), &now), [ServingChange::LoadPartitions(names(&["q"]), 1)]);
    }

    #[test]
    fn a_load_is_extended_to_the_whole_and_anything_else_begins_with_a_release() {
        let parts = served(&[], PARTS, &[(5, "p", true), (6, "q", false)]);
        let whole = served(&[], WHOLE, &[(5, "p", true), (6, "q", true)]);
        assert_eq!(changes(Some(&parts), &whole), [ServingChange::Load(1)]);
        let less = served(&[], WHOLE, &[(5, "p", true), (6, "q", false)]);
        let expected = [ServingChange::Load(1), ServingChange::ReleasePartitions(names(&["q"]))];
        assert_eq!(changes(Some(&parts), &less), expected);
        let expected = [ServingChange::Release, ServingChange::LoadPartitions(names(&["p"]), 1)];
        assert_eq!(changes(Some(&whole), &parts), expected);
        let twice = served(&[], Some((true, 2)), &[(5, "p", true), (6, "q", true)]);
        assert_eq!(changes(Some(&whole), &twice), [ServingChange::Release, ServingChange::Load(2)]);
        let none = served(&[], None, &[(5, "p", false), (6, "q", false)]);
        assert_eq!(changes(Some(&whole), &none), [ServingChange::Release]);
        assert_eq!(changes(Some(&none), &parts), [ServingChange::LoadPartitions(names(&["p"]), 1)]);
    }

    #[test]
    fn a_request_that_was_overtaken_does_not_agree() {
        let op = |change: ServingChange| match change.request(&CollectionName::new("d", "c")) {
            Ddl::Op(request) => *request,
            other => panic!("{other:?}"),
        };
        let load = op(ServingChange::Load(1));
        let (create, drop) =
            (op(ServingChange::CreateIndex(index("a"))), op(ServingChange::DropIndex(index("a"))));
        let here = served(&[(1, "a")], WHOLE, &[(5, "p", true)]);
        assert!(here.agrees_with(&create) && !here.agrees_with(&drop));
        assert!(here.agrees_with(&load));
        assert!(!here.agrees_with(&op(ServingChange::Release)));
        let released = served(&[], None, &[(5, "p", false)]);
        assert!(!released.agrees_with(&create) && released.agrees_with(&drop));
        assert!(!released.agrees_with(&load));
        // The collection was released, and then a partition of it loaded.
        let parts = served(&[], PARTS, &[(5, "p", true), (6, "q", false)]);
        assert!(!parts.agrees_with(&op(ServingChange::Release)));
        assert!(!parts.agrees_with(&load));
        let of = |name: &str| op(ServingChange::LoadPartitions(names(&[name]), 1));
        assert!(parts.agrees_with(&of("p")) && !parts.agrees_with(&of("q")));
        let of = |name: &str| op(ServingChange::ReleasePartitions(names(&[name])));
        assert!(!parts.agrees_with(&of("p")) && parts.agrees_with(&of("q")));
    }

    #[test]
    fn properties_are_set_and_removed_and_some_need_a_release() {
        let with = |pairs: &[(&str, &str)]| {
            let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let properties = pairs.iter().map(pair).collect();
            ServingState { properties, ..served(&[], WHOLE, &[(5, "p", true)]) }
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let (before, now) = (with(&[("a", "1"), ("b", "1")]), with(&[("a", "2")]));
        let expected = [ServingChange::Alter(vec![pair("a", "2")], names(&["b"]))];
        assert_eq!(changes(Some(&before), &now), expected);
        assert_eq!(changes(Some(&now), &now), []);
        let mapped = with(&[("a", "2"), ("mmap.enabled", "true")]);
        let set = ServingChange::Alter(vec![pair("mmap.enabled", "true")], vec![]);
        let expected = [ServingChange::Release, set, ServingChange::Load(1)];
        assert_eq!(changes(Some(&now), &mapped), expected);
    }

    #[test]
    fn it_is_read_as_it_was_stored_and_so_is_one_of_before_there_were_aliases() {
        let mut now = served(&[(1, "a")], Some((true, 2)), &[(5, "p", true)]);
        now.aliases.given.insert("x".into());
        let read: ServingState = crate::records::codec::decode("k", &encode(&now)).unwrap();
        assert_eq!(read, now);
        let old = br#"{"indexes":{},"load":null,"partitions":{}}"#;
        let read: ServingState = crate::records::codec::decode("k", old).unwrap();
        assert_eq!(read, ServingState::default());
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;
    use crate::written::read_or_refused;

    #[test]
    fn any_bytes_are_a_record_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            read_or_refused::<ServingState>(bytes);
        });
    }
}
