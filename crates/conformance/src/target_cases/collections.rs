//! Cases about one collection: that it comes and goes, its partitions, channels and properties.
//! Never about its names.

use super::requests::{
    DATABASE, MMAP, TTL, apply, create, create_index, create_partition, describe, described,
    drop_collection, drop_database, drop_partition, make, named, op, pair, schema,
};
use super::world::TargetUnderTest;
use crate::cases::{done, soon};
use milvus_wire::catalog::field_texts;
use milvus_wire::ids::{CollectionName, split_vchannel};
use milvus_wire::op::OpRequest;
use milvus_wire::proto::milvus as pb;
use replication::ports::{Ddl, TargetCollection};
use std::collections::BTreeMap;

pub(crate) async fn what_is_not_there_is_not_described(world: &impl TargetUnderTest) {
    let target = world.target();
    assert_eq!(describe(&*target, &named("suite_none")).await, None);
    let name = &named("suite_elsewhere");
    make(&*target, name, 1).await;
    let elsewhere = CollectionName::new("suite_no_database", &name.name);
    assert_eq!(describe(&*target, &elsewhere).await, None);
    apply(&*target, &drop_collection(name)).await;
}

pub(crate) async fn a_collection_is_described(world: &impl TargetUnderTest) {
    let target = world.target();
    let name = &named("suite_described");
    let at = make(&*target, name, 2).await;
    let there = described(&*target, name).await;
    assert_eq!(there.created, at, "it is as old as on the source");
    assert_eq!(there.vchannels.len(), 2);
    for (place, vchannel) in there.vchannels.iter().enumerate() {
        let shard = split_vchannel(vchannel).map(|(_, _, shard)| shard);
        assert_eq!(shard, Some(place), "{:?}", there.vchannels);
    }
    assert_eq!(there.fields, Some(field_texts(&schema(&name.name))));
    assert_eq!(there.properties, BTreeMap::from([pair(TTL, "86400")]));
    apply(&*target, &drop_collection(name)).await;
}

pub(crate) async fn collections_come_and_go(world: &impl TargetUnderTest) {
    let target = world.target();
    let name = &named("suite_come_and_go");
    assert!(!world.collections(DATABASE).await.contains(&name.name));
    make(&*target, name, 2).await;
    assert!(world.collections(DATABASE).await.contains(&name.name));
    let made = described(&*target, name).await;
    apply(&*target, &create(name, 2)).await;
    assert_eq!(described(&*target, name).await, made, "it was not made again");
    apply(&*target, &drop_collection(name)).await;
    assert_eq!(describe(&*target, name).await, None);
    assert!(!world.collections(DATABASE).await.contains(&name.name));
    // A partition of what is gone is gone.
    apply(&*target, &drop_partition(name, "p")).await;
    // Its namesake is another one.
    make(&*target, name, 1).await;
    assert_ne!(described(&*target, name).await.id, made.id);
    apply(&*target, &drop_collection(name)).await;
}

pub(crate) async fn what_is_created_is_as_old_as_on_the_source(world: &impl TargetUnderTest) {
    let target = world.target();
    let name = &named("suite_old");
    let at = make(&*target, name, 1).await;
    let of_the_partition = at.next();
    let request = create_partition(name, "p");
    done(soon("a request", target.apply(&request, of_the_partition)).await);
    assert_eq!(described(&*target, name).await.created, at);
    let partitions = done(soon("the partitions", target.partitions(name)).await);
    assert_eq!(partitions["_default"].created, at);
    // Milvus 2.3 takes its own time.
    assert!(partitions["p"].created >= of_the_partition, "{partitions:?}, {of_the_partition}");
    apply(&*target, &drop_collection(name)).await;
}

pub(crate) async fn partitions_come_and_go(world: &impl TargetUnderTest) {
    let target = world.target();
    let name = &named("suite_partitions");
    make(&*target, name, 1).await;
    let partitions = async || done(soon("partitions", target.partitions(name)).await);
    apply(&*target, &create_partition(name, "p")).await;
    let there = partitions().await;
    assert_eq!(there.keys().collect::<Vec<_>>(), ["_default", "p"]);
    assert_ne!(there["_default"].id, there["p"].id);
    apply(&*target, &create_partition(name, "p")).await;
    assert_eq!(partitions().await, there, "it was not made again");
    apply(&*target, &drop_partition(name, "p")).await;
    assert_eq!(partitions().await.keys().collect::<Vec<_>>(), ["_default"]);
    apply(&*target, &create_partition(name, "p")).await;
    assert_ne!(partitions().await["p"].id, there["p"].id, "its namesake is another one");
    apply(&*target, &drop_collection(name)).await;
}

pub(crate) async fn a_loaded_partition_is_dropped(world: &impl TargetUnderTest) {
    let target = world.target();
    let name = &named("suite_loaded");
    make(&*target, name, 1).await;
    apply(&*target, &create_partition(name, "p")).await;
    apply(&*target, &create_index(name)).await;
    let load = pb::LoadCollectionRequest {
        collection_name: name.name.clone(),
        replica_number: 1,
        ..Default::default()
    };
    apply(&*target, &op(OpRequest::LoadCollection(load))).await;
    apply(&*target, &drop_partition(name, "p")).await;
    let left = done(soon("the partitions", target.partitions(name)).await);
    assert_eq!(left.keys().collect::<Vec<_>>(), ["_default"]);
    apply(&*target, &drop_collection(name)).await;
}

pub(crate) async fn properties_are_changed(world: &impl TargetUnderTest) {
    let target = world.target();
    let name = &named("suite_properties");
    make(&*target, name, 1).await;
    let before = described(&*target, name).await;
    let alter = |set: &[(&str, &str)], removed: &[&str]| Ddl::AlterCollection {
        name: name.clone(),
        set: set.iter().map(|(key, value)| pair(key, value)).collect(),
        removed: removed.iter().map(|key| (*key).to_owned()).collect(),
    };
    apply(&*target, &alter(&[(MMAP, "true")], &[])).await;
    let mut expected = TargetCollection {
        properties: BTreeMap::from([pair(TTL, "86400"), pair(MMAP, "true")]),
        ..before
    };
    assert_eq!(described(&*target, name).await, expected);
    apply(&*target, &alter(&[(TTL, "172800")], &[])).await;
    expected.properties.extend([pair(TTL, "172800")]);
    assert_eq!(described(&*target, name).await, expected);
    if world.removes_properties() {
        apply(&*target, &alter(&[(TTL, "3600")], &[MMAP])).await;
        expected.properties = BTreeMap::from([pair(TTL, "3600")]);
        assert_eq!(described(&*target, name).await, expected);
    }
    apply(&*target, &drop_collection(name)).await;
}

pub(crate) async fn channels_of_all_collections_are_listed(world: &impl TargetUnderTest) {
    let target = world.target();
    apply(&*target, &Ddl::CreateDatabase("suite_channels".into())).await;
    let elsewhere = CollectionName::new("suite_channels", "suite_carried");
    let carried = [(named("suite_carried"), 2), (elsewhere, 1)];
    for (name, shards) in &carried {
        make(&*target, name, *shards).await;
    }
    let listed = done(soon("the channels", target.pchannels()).await);
    let mut unique = listed.clone();
    unique.dedup();
    assert!(listed.is_sorted() && unique == listed, "{listed:?}");
    for (name, _) in &carried {
        for vchannel in described(&*target, name).await.vchannels {
            let carrying = split_vchannel(&vchannel).map(|(channel, ..)| channel.to_owned());
            let is_listed = carrying.is_some_and(|channel| listed.contains(&channel));
            assert!(is_listed, "{vchannel} is not in {listed:?}");
        }
        apply(&*target, &drop_collection(name)).await;
    }
    apply(&*target, &drop_database("suite_channels")).await;
}
