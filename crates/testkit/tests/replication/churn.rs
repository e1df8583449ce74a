//! Tests many collections that come and go, and what a promoted target must be able to do. Never
//! while a server fails: see `faults`.

use testkit::milvus::{CollectionSpec, Milvus, Reading};
use testkit::wait;
use testkit::workload::Churn;

use lab::{PairOptions, Server as _};

use super::bench::{Bench, EQUAL_WITHIN, batch, is_on_pulsar, keys};

#[tokio::test(flavor = "multi_thread")]
async fn many_collections_come_and_go() {
    // What comes and goes is the catalog's and the target's business: the second queue needs fewer.
    let (ever_new, reborn) = if is_on_pulsar() { (60, 15) } else { (170, 30) };
    let mut bench = Bench::new().await;
    let task = bench.task_for_all().await;
    let churn = |name: &str, collections, alive, same_names| Churn {
        spec: CollectionSpec::small(name, 8).shards(2),
        collections,
        alive,
        rows: 200,
        within: EQUAL_WITHIN,
        same_names,
    };
    for churn in [churn("churn", ever_new, 6, false), churn("reborn", reborn, 3, true)] {
        let stats = churn.run(&bench.source, &bench.target).await.unwrap();
        println!("{stats:?}");
        assert_eq!(stats.collections, churn.collections);
        assert_eq!(stats.slowest_drop.is_some(), !churn.same_names);
    }
    assert_eq!(bench.service.api().task(&task).await.unwrap()["state"], "Running");
    bench.finish().await;
}

/// Milvus names channels with and without leading zeros in places, so that 9 and 10 are where an
/// order by name differs from one by number; deletes of a promoted target show it.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_target_can_delete_every_row() {
    let mut bench = Bench::of(PairOptions::default()).await;
    bench.task_for_all().await;
    let spec = across_nine_and_ten(&bench.source).await;
    let name = spec.name();
    bench.source.insert(batch(&spec, "", 0..3000, 0)).await.unwrap();
    bench.source.upsert(batch(&spec, "", 500..1000, 1)).await.unwrap();
    bench.source.delete_keys(name, "id", &keys(&spec, 0..100)).await.unwrap();
    assert_eq!(bench.equal(name).await.target_rows, 2900);
    bench.service.stop().unwrap();

    bench.pair.target.options.tt_msg_enabled = true;
    bench.pair.target.bring_back().unwrap();
    let target = Milvus::at(&bench.pair.target.address()).unwrap();
    let rows = wait::until("the rows of the promoted target", EQUAL_WITHIN, || async {
        Ok(Some(target.count(name, "", &[], Reading::Strong).await?))
    });
    assert_eq!(rows.await.unwrap(), 2900);
    target.delete_keys(name, "id", &keys(&spec, 0..3000)).await.unwrap();
    assert_eq!(target.count(name, "", &[], Reading::Strong).await.unwrap(), 0);
    bench.pair.stop().unwrap();
}

/// Creates collections until one has shards on both sides of the border.
async fn across_nine_and_ten(source: &Milvus) -> CollectionSpec {
    for number in 0..16 {
        let spec = CollectionSpec::small(&format!("crossing_{number}"), 8).shards(3);
        source.create_ready(&spec).await.unwrap();
        let channels = source.describe(spec.name()).await.unwrap().physical_channel_names;
        let has = |end: &str| channels.iter().any(|channel| channel.ends_with(end));
        if has("_9") && has("_10") {
            return spec;
        }
    }
    panic!("no collection has shards on channels 9 and 10");
}
