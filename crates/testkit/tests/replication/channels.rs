//! Tests a source and a target with different numbers of physical channels: collections that share
//! a channel on one side may not share one on the other. Never relies on where a side places them.

use std::collections::BTreeSet;

use lab::PairOptions;
use testkit::milvus::{CollectionSpec, Milvus};

use super::bench::{Bench, batch, keys};

/// Together they have more shards than either side has channels.
const COLLECTIONS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn four_channels_are_replicated_into_sixteen() {
    replicates(4, 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_channels_are_replicated_into_four() {
    replicates(16, 4).await;
}

async fn replicates(source_channels: u16, target_channels: u16) {
    let options = PairOptions { source_channels, target_channels, ..PairOptions::default() };
    let mut bench = Bench::of(options).await;
    bench.task_for_all().await;
    let named = |number| CollectionSpec::small(&format!("spread_{number}"), 8).shards(4);
    let all: Vec<CollectionSpec> = (0..COLLECTIONS).map(named).collect();
    for spec in &all {
        bench.source.create_ready(spec).await.unwrap();
        bench.source.insert(batch(spec, "", 0..1000, 0)).await.unwrap();
    }
    // What it knows of both sides' channels must outlive it.
    bench.service.kill().unwrap();
    for spec in &all {
        bench.source.upsert(batch(spec, "", 500..1500, 1)).await.unwrap();
        bench.source.delete_keys(spec.name(), "id", &keys(spec, 0..250)).await.unwrap();
    }
    bench.service.restart().await.unwrap();
    for spec in &all {
        assert_eq!(bench.equal(spec.name()).await.target_rows, 1250, "{}", spec.name());
    }
    assert_eq!(channels(&bench.source, &all).await, usize::from(source_channels));
    assert_eq!(channels(&bench.target, &all).await, usize::from(target_channels));

    let again = &all[0];
    bench.source.drop_collection(again.name()).await.unwrap();
    bench.source.create_ready(again).await.unwrap();
    bench.source.insert(batch(again, "", 0..100, 2)).await.unwrap();
    assert_eq!(bench.equal(again.name()).await.target_rows, 100);
    bench.finish().await;
}

/// How many physical channels some collections lie on.
async fn channels(milvus: &Milvus, collections: &[CollectionSpec]) -> usize {
    let mut all = BTreeSet::new();
    for spec in collections {
        all.extend(milvus.describe(spec.name()).await.unwrap().physical_channel_names);
    }
    all.len()
}
