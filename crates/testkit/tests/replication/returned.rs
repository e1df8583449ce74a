//! Tests that a target is ticked as soon as it answers again, although no task ticks it. Never
//! measures how soon: nothing else would tick it for an hour.

use std::collections::BTreeMap;

use lab::Server as _;
use testkit::milvus::CollectionSpec;
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch};
use super::faults::lasts;
use super::forgotten::checkpoints;

/// Ticks of its channels from before that are younger than ten seconds would do for the data node.
const AWAY: u64 = 12;

/// No channel is ticked for an hour otherwise.
const TIMES: &str = "target: {settleTime: 2s, laneWaitMax: 2s, keepAlive: 1h}\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_returns_is_ticked_although_its_task_is_paused() {
    let mut bench = Bench::new().await;
    bench.service.config().more = TIMES.to_owned();
    bench.service.restart().await.unwrap();
    let task = bench.task_for_all().await;
    let spec = CollectionSpec::small("returned", 8).shards(2);
    bench.source.create_ready(&spec).await.unwrap();
    bench.source.insert(batch(&spec, "", 0..100, 0)).await.unwrap();
    bench.equal(spec.name()).await;
    // What is not stored holds the checkpoints back.
    bench.target.flush(spec.name()).await.unwrap();
    let channels = bench.target.describe(spec.name()).await.unwrap().virtual_channel_names;
    assert_eq!(channels.len(), 2);
    bench.service.api().pause(&task).await.unwrap();

    bench.pair.target.kill().unwrap();
    let killed = bench.source.clock().await.unwrap().0;
    lasts(AWAY).await;
    bench.pair.target.bring_back().unwrap();
    are_ticked(&bench, &channels, killed).await;

    // The service starts while the target is away.
    bench.pair.target.stop().unwrap();
    bench.service.restart().await.unwrap();
    let stopped = bench.source.clock().await.unwrap().0;
    lasts(AWAY).await;
    bench.pair.target.bring_back().unwrap();
    are_ticked(&bench, &channels, stopped).await;

    bench.source.insert(batch(&spec, "", 100..200, 0)).await.unwrap();
    bench.service.api().resume(&task).await.unwrap();
    assert_eq!(bench.equal(spec.name()).await.target_rows, 200);
    bench.finish().await;
}

/// Waits until the data node has read a tick above a moment from each channel: it stores a
/// checkpoint at the first one.
async fn are_ticked(bench: &Bench, channels: &[String], moment: u64) {
    wait::until("a tick on each channel", EQUAL_WITHIN, || async {
        let checkpoints: BTreeMap<String, u64> = checkpoints(bench).await;
        let read = |channel: &String| checkpoints.get(channel).is_some_and(|at| *at > moment);
        anyhow::ensure!(channels.iter().all(read), "{checkpoints:?}, not above {moment}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}
