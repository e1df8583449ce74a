//! What every [`Store`] must pass. Each case uses keys of its own, so a store may be shared.
//! Never opens a store itself.
//!
//! Not checked, and why:
//! - "Where tasks, checkpoints and lanes are kept: records under text keys, changed in
//!   transactions." "How a transaction ended." They say what it is.
//! - "An error leaves open whether it happened, and whether it happens later." Each is right, so
//!   nothing can be wrong.
//! - "The value, JSON." Who stores it makes it JSON; a store keeps any bytes, which is checked.
//! - "Durable." It is what is said of [`Store::commit`], where it is checked.

use crate::cases::{Cases, done};
use futures::future::join_all;
use replication::error::Result;
use replication::ports::{Committed, EXISTS, Store, Stored, Transaction};
use std::sync::Arc;

/// Writers that compete for one key.
const WRITERS: usize = 8;

/// The largest value that a store has to take.
const BIG_BYTES: usize = replication::ports::VALUE_BYTES_MAX;

/// A task with so many collections begins, and later ends, in one transaction.
const MANY: usize = 3000;

/// What is stored of a collection with some partitions.
const MANY_BYTES: usize = 1500;

/// The cases that need one open store.
pub async fn suite<S: Store + 'static>(store: Arc<S>) {
    let mut cases = Cases::of("the store");
    let at = &*store;
    let has_a_holder = async { assert!(!at.holder().is_empty()) };
    cases.case("Names this installation", has_a_holder).await;
    cases.case("One record.", written_records_are_read(at)).await;
    let sentence = "All records whose key begins with `prefix`, sorted by key.";
    cases.case(sentence, listing_is_sorted_and_literal(at)).await;
    let sentence = "A condition did not hold; nothing was written.";
    cases.case(sentence, a_conflict_writes_nothing(at)).await;
    let sentence = "Each key must have this version now; zero: it must not exist; [`EXISTS`]: it \
                    must.";
    cases.case(sentence, a_key_may_have_to_exist(at)).await;
    cases.case(sentence, exactly_one_of_many_writers_wins(store.clone())).await;
    let sentence = "A stored value and its version, which changes with every write.";
    cases.case(sentence, versions_never_repeat(at)).await;
    cases.case("For conditions; never zero.", versions_are_never_zero(at)).await;
    let sentence = "Changes that happen all or not at all.";
    cases.case(sentence, a_transaction_is_one(at)).await;
    cases.case(sentence, a_large_transaction_is_one(at)).await;
    let sentence = "Written; a value has at most [`VALUE_BYTES_MAX`].";
    cases.case(sentence, big_and_odd_values_are_kept(at)).await;
    let sentence = "Removed; one that is not there is fine.";
    cases.case(sentence, what_is_removed_is_gone(at)).await;
    cases.end();
}

/// The cases of stores that outlive their process: `open` opens the same store again and again.
pub async fn durability<S: Store, F: AsyncFn() -> Result<S>>(open: F) {
    let mut cases = Cases::of("the store");
    let sentence = "Durable when it returns `Committed::Yes`.";
    // What opens a store may be a large future.
    cases.case(sentence, Box::pin(records_survive_a_restart(&open))).await;
    let sentence = "Names this installation, the same after a restart on the same store.";
    cases.case(sentence, Box::pin(the_holder_survives_a_restart(&open))).await;
    cases.end();
}

/// The cases of stores that several processes may share: two of them.
pub async fn sharing(one: &impl Store, other: &impl Store) {
    let mut cases = Cases::of("the store");
    let sentence = "Two processes that run at the same time never have the same one.";
    let have_two_names = async { assert_ne!(one.holder(), other.holder()) };
    cases.case(sentence, have_two_names).await;
    let sentence = "Each key must have this version now";
    cases.case(sentence, each_sees_what_the_other_wrote(one, other)).await;
    cases.end();
}

async fn records_survive_a_restart<S: Store>(open: &impl AsyncFn() -> Result<S>) {
    let store = done(open().await);
    put(&store, "durable/a", b"1").await;
    let before = stored(&store, "durable/a").await;
    put(&store, "durable/gone", b"x").await;
    let gone = stored(&store, "durable/gone").await;
    delete(&store, "durable/gone").await;
    drop(store);

    let store = done(open().await);
    assert_eq!(stored(&store, "durable/a").await, before, "a record survives a restart");
    assert_eq!(done(store.get("durable/gone").await), None, "a removed record stays away");
    put(&store, "durable/gone", b"x").await;
    let again = stored(&store, "durable/gone").await;
    assert_ne!(again.version, gone.version, "a version does not repeat after a restart");
}

async fn the_holder_survives_a_restart<S: Store>(open: &impl AsyncFn() -> Result<S>) {
    let store = done(open().await);
    let holder = store.holder().to_owned();
    drop(store);
    assert_eq!(done(open().await).holder(), holder);
}

async fn each_sees_what_the_other_wrote(one: &impl Store, other: &impl Store) {
    put(one, "shared/a", b"1").await;
    let seen = stored(other, "shared/a").await;
    let change = Transaction {
        conditions: vec![("shared/a".into(), seen.version)],
        puts: vec![("shared/a".into(), b"2".to_vec())],
        deletes: vec![],
    };
    assert_eq!(done(other.commit(change.clone()).await), Committed::Yes);
    assert_eq!(done(one.commit(change).await), Committed::Conflict);
    assert_eq!(stored(one, "shared/a").await.value, b"2");
}

async fn written_records_are_read(store: &impl Store) {
    assert_eq!(done(store.get("read/none").await), None, "what was never written is not there");
    put(store, "read/a", b"one").await;
    assert_eq!(stored(store, "read/a").await.value, b"one");
    put(store, "read/a", b"two").await;
    assert_eq!(stored(store, "read/a").await.value, b"two", "a second write replaces the first");
}

async fn what_is_removed_is_gone(store: &impl Store) {
    put(store, "removed/a", b"one").await;
    delete(store, "removed/a").await;
    assert_eq!(done(store.get("removed/a").await), None, "a removed record is gone");
    delete(store, "removed/a").await;
}

async fn versions_are_never_zero(store: &impl Store) {
    put(store, "zero/a", b"").await;
    assert_ne!(stored(store, "zero/a").await.version, 0);
    delete(store, "zero/a").await;
    put(store, "zero/a", b"").await;
    assert_ne!(stored(store, "zero/a").await.version, 0);
}

async fn listing_is_sorted_and_literal(store: &impl Store) {
    let keys = ["list/%", "list/%/x", "list/%0", "list/_a", "list/a", "list/a/b", "list/ä/✓"];
    for key in keys.iter().rev() {
        put(store, key, key.as_bytes()).await;
    }
    for other in ["list", "list0", "LIST/a", "lis_/a"] {
        put(store, other, b"").await;
    }
    assert_eq!(listed(store, "list/").await, keys, "a listing is sorted by key");
    assert_eq!(listed(store, "list/%").await, keys[..3], "a percent sign is no wildcard");
    assert_eq!(listed(store, "list/_").await, keys[3..4], "an underscore is no wildcard");
    assert_eq!(listed(store, "list/a").await, keys[4..6], "a key is a prefix of itself");
    assert!(listed(store, "list/zzz").await.is_empty());
    let all = listed(store, "").await;
    assert!(all.len() >= keys.len() + 4 && all.is_sorted(), "an empty prefix lists all");
    let with_values = done(store.list("list/").await);
    assert!(with_values.iter().all(|(key, stored)| stored.value == key.as_bytes()));
}

async fn a_conflict_writes_nothing(store: &impl Store) {
    put(store, "conflict/a", b"1").await;
    let version = stored(store, "conflict/a").await.version;
    for wrong in [("conflict/a", 0), ("conflict/a", version + 1), ("conflict/none", version)] {
        let transaction = Transaction {
            conditions: vec![("conflict/a".into(), version), (wrong.0.into(), wrong.1)],
            puts: vec![("conflict/b".into(), b"2".to_vec())],
            deletes: vec!["conflict/a".into()],
        };
        assert_eq!(done(store.commit(transaction).await), Committed::Conflict, "{wrong:?}");
        assert_eq!(stored(store, "conflict/a").await.version, version, "nothing was removed");
        assert_eq!(done(store.get("conflict/b").await), None, "nothing was written");
    }
    let transaction = Transaction {
        conditions: vec![("conflict/a".into(), version), ("conflict/none".into(), 0)],
        puts: vec![("conflict/a".into(), b"2".to_vec())],
        deletes: vec![],
    };
    assert_eq!(done(store.commit(transaction).await), Committed::Yes, "conditions that hold");
}

async fn a_key_may_have_to_exist(store: &impl Store) {
    put(store, "exists/a", b"1").await;
    let write = |key: &str, count: usize| Transaction {
        conditions: vec![(key.into(), EXISTS)],
        puts: (0..count).map(|n| (format!("exists/of/{n:04}"), b"2".to_vec())).collect(),
        deletes: vec![],
    };
    for count in [1, MANY] {
        assert_eq!(done(store.commit(write("exists/none", count)).await), Committed::Conflict);
        assert_eq!(listed(store, "exists/of/").await.len(), 0, "nothing was written");
    }
    for count in [1, MANY] {
        assert_eq!(done(store.commit(write("exists/a", count)).await), Committed::Yes);
        put(store, "exists/a", b"of another version").await;
        assert_eq!(listed(store, "exists/of/").await.len(), count);
    }
}

async fn versions_never_repeat(store: &impl Store) {
    let mut seen = Vec::new();
    for _ in 0..3 {
        for _ in 0..2 {
            put(store, "versions/a", b"same").await;
            seen.push(stored(store, "versions/a").await.version);
        }
        delete(store, "versions/a").await;
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 6, "each write, also of the same value, has a version of its own");
}

async fn a_transaction_is_one(store: &impl Store) {
    put(store, "one/old", b"").await;
    let transaction = Transaction {
        conditions: vec![],
        puts: (0..100).map(|i| (format!("one/{i:03}"), vec![i])).collect(),
        deletes: vec!["one/old".into(), "one/never".into()],
    };
    assert_eq!(done(store.commit(transaction).await), Committed::Yes);
    assert_eq!(listed(store, "one/").await.len(), 100);
    assert_eq!(done(store.commit(Transaction::default()).await), Committed::Yes, "an empty one");
}

async fn a_large_transaction_is_one(store: &impl Store) {
    put(store, "large/guard", b"").await;
    let guard = stored(store, "large/guard").await.version;
    let keys = || (0..MANY).map(|n| format!("large/of/{n:04}"));
    let begin = |version| Transaction {
        conditions: vec![("large/guard".into(), version)],
        puts: keys().map(|key| (key, vec![b'x'; MANY_BYTES])).collect(),
        deletes: vec![],
    };
    assert_eq!(done(store.commit(begin(guard + 1)).await), Committed::Conflict);
    assert_eq!(listed(store, "large/of/").await.len(), 0, "nothing was written");
    assert_eq!(done(store.commit(begin(guard)).await), Committed::Yes);
    assert!(listed(store, "large/of/").await.into_iter().eq(keys()), "all was written");
    let one = stored(store, "large/of/1234").await;
    assert_eq!(one.value.len(), MANY_BYTES);
    let end = Transaction {
        conditions: vec![("large/of/1234".into(), one.version)],
        puts: vec![("large/ended".into(), b"1".to_vec())],
        deletes: keys().collect(),
    };
    assert_eq!(done(store.commit(end).await), Committed::Yes, "a version is kept");
    assert_eq!(listed(store, "large/").await, ["large/ended", "large/guard"]);
}

async fn big_and_odd_values_are_kept(store: &impl Store) {
    let big: Vec<u8> = (0..BIG_BYTES).map(|i| (i % 251) as u8).collect();
    put(store, "odd/big", &big).await;
    assert!(stored(store, "odd/big").await.value == big, "a big value is kept");
    put(store, "odd/empty", b"").await;
    assert_eq!(stored(store, "odd/empty").await.value, b"", "an empty value is a value");
    put(store, "odd/'\"\\;--", b"\0\xff").await;
    assert_eq!(stored(store, "odd/'\"\\;--").await.value, b"\0\xff", "keys are arbitrary text");
}

async fn exactly_one_of_many_writers_wins<S: Store + 'static>(store: Arc<S>) {
    for expected in [true, false] {
        let version = match done(store.get("race/a").await) {
            Some(stored) => stored.version,
            None => 0,
        };
        assert_eq!(version == 0, expected, "first it does not exist, then it does");
        let attempts = (0..WRITERS).map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let transaction = Transaction {
                    conditions: vec![("race/a".into(), version)],
                    puts: vec![("race/a".into(), vec![writer as u8])],
                    deletes: vec![],
                };
                (writer, done(store.commit(transaction).await))
            })
        });
        let outcomes = join_all(attempts).await.into_iter().map(done);
        let winners: Vec<_> =
            outcomes.filter(|(_, committed)| *committed == Committed::Yes).collect();
        assert_eq!(winners.len(), 1, "exactly one writer wins");
        assert_eq!(stored(&*store, "race/a").await.value, [winners[0].0 as u8], "and it is kept");
    }
}

async fn put(store: &impl Store, key: &str, value: &[u8]) {
    let transaction =
        Transaction { puts: vec![(key.to_owned(), value.to_vec())], ..Transaction::default() };
    assert_eq!(done(store.commit(transaction).await), Committed::Yes);
}

async fn delete(store: &impl Store, key: &str) {
    let transaction = Transaction { deletes: vec![key.to_owned()], ..Transaction::default() };
    assert_eq!(done(store.commit(transaction).await), Committed::Yes);
}

async fn stored(store: &impl Store, key: &str) -> Stored {
    done(store.get(key).await).unwrap_or_else(|| panic!("{key} should be there"))
}

async fn listed(store: &impl Store, prefix: &str) -> Vec<String> {
    done(store.list(prefix).await).into_iter().map(|(key, _)| key).collect()
}
