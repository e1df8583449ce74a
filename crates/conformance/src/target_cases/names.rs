//! Cases about the names of a collection: its own and its aliases. Never about what it consists of.

use super::requests::{
    DATABASE, alias, apply, describe, described, drop_alias, drop_collection, drop_database,
    give_alias, make, named, now, rename,
};
use super::world::TargetUnderTest;
use crate::cases::{done, soon};
use milvus_wire::ids::CollectionName;
use replication::error::Kind;
use replication::ports::Ddl;

pub(crate) async fn an_alias_is_not_described(world: &impl TargetUnderTest) {
    let target = world.target();
    let name = &named("suite_named");
    make(&*target, name, 1).await;
    apply(&*target, &give_alias(name, "suite_alias")).await;
    assert_eq!(describe(&*target, &named("suite_alias")).await, None);
    described(&*target, name).await;
    apply(&*target, &drop_alias("suite_alias")).await;
    apply(&*target, &drop_collection(name)).await;
}

pub(crate) async fn an_alias_has_one_collection(world: &impl TargetUnderTest) {
    let target = world.target();
    let name = &named("suite_has_alias");
    make(&*target, name, 1).await;
    assert_eq!(alias(&*target, "suite_x").await, None);
    assert_eq!(alias(&*target, &name.name).await, None, "a name is not an alias");
    apply(&*target, &give_alias(name, "suite_x")).await;
    let id = described(&*target, name).await.id;
    assert_eq!(alias(&*target, "suite_x").await, Some(id));
    apply(&*target, &drop_alias("suite_x")).await;
    assert_eq!(alias(&*target, "suite_x").await, None);
    // It ends with its collection.
    apply(&*target, &give_alias(name, "suite_x")).await;
    apply(&*target, &drop_collection(name)).await;
    assert_eq!(alias(&*target, "suite_x").await, None);
}

pub(crate) async fn an_alias_is_taken_from_whoever_has_it(world: &impl TargetUnderTest) {
    let target = world.target();
    let [giver, taker] = &["suite_giver", "suite_taker"].map(named);
    for name in [giver, taker] {
        make(&*target, name, 1).await;
    }
    for name in [giver, taker, giver] {
        apply(&*target, &give_alias(name, "suite_y")).await;
        let id = described(&*target, name).await.id;
        assert_eq!(alias(&*target, "suite_y").await, Some(id), "{name}");
    }
    apply(&*target, &drop_alias("suite_y")).await;
    for name in [giver, taker] {
        apply(&*target, &drop_collection(name)).await;
    }
}

pub(crate) async fn a_collection_gets_another_name(world: &impl TargetUnderTest) {
    let target = world.target();
    let [from, to] = &["suite_before", "suite_after"].map(named);
    make(&*target, from, 1).await;
    apply(&*target, &give_alias(from, "suite_stays")).await;
    let before = described(&*target, from).await;
    apply(&*target, &rename(from, to)).await;
    assert_eq!(describe(&*target, from).await, None);
    assert_eq!(described(&*target, to).await, before, "all else is as it was");
    assert_eq!(alias(&*target, "suite_stays").await, Some(before.id));
    assert!(world.collections(DATABASE).await.contains(&to.name));
    apply(&*target, &drop_collection(to)).await;
}

pub(crate) async fn a_collection_goes_into_another_database(world: &impl TargetUnderTest) {
    let target = world.target();
    let (from, to) = (&named("suite_goes"), &CollectionName::new("suite_other", "suite_gone"));
    make(&*target, from, 1).await;
    apply(&*target, &give_alias(from, "suite_ends")).await;
    apply(&*target, &Ddl::CreateDatabase(to.database.clone())).await;
    let before = described(&*target, from).await;
    let request = rename(from, to);
    let at = now(&*target).await;
    let applied = soon("a request", target.apply(&request, at)).await;
    if world.moves_collections() {
        done(applied);
        done(soon("a request", target.apply(&request, at)).await);
        assert_eq!(describe(&*target, to).await, Some(before));
        assert_eq!(alias(&*target, "suite_ends").await, None);
    } else {
        assert_eq!(applied.map_err(|error| error.kind), Err(Kind::Permanent));
        assert_eq!(describe(&*target, to).await, None);
    }
    for name in [from, to, &named(&to.name)] {
        apply(&*target, &drop_collection(name)).await;
    }
    apply(&*target, &drop_database(&to.database)).await;
}
