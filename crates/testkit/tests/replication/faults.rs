//! Tests that every part may fail while rows are inserted, upserted and deleted: at the end both
//! sides are equal. Never is a row missing, and never is one there twice.

use std::time::Duration;

use anyhow::Context;
use lab::{Broker, READY_WITHIN, Server};
use serde_json::{Value, json};
use testkit::rows::Random;
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN};
use super::load::Load;

const EVENTS: &str = "milvus_cdc_replicate_events_total";

/// What the log says when a settle time begins.
const SETTLING: &str = "waiting until calls without an answer have settled";

/// How often milvus-cdc is killed.
const KILLS: usize = 20;

/// How long a fault lasts is a part of it: this waits for nothing that is to happen.
pub(crate) async fn lasts(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn milvus_cdc_is_killed_twenty_times() {
    let mut bench = Bench::new().await;
    let task = bench.task_for_all().await;
    let load = Load::on(&bench, "killed", 1).await;
    load.write(500).await;
    let mut random = Random::of(&[20]);
    let mut killed = 0;
    for kill in 0..KILLS {
        // Every other life must get beyond the end of the one before; the rest end wherever they
        // are, be it at their very beginning.
        if kill % 2 == 1 {
            gets_beyond(&bench, &task, killed).await;
        }
        load.write(random.below(1500)).await;
        bench.service.kill().unwrap();
        nothing_is_left_at(&bench.pair.queue).await;
        killed = bench.source.clock().await.unwrap().ms();
        bench.service.restart().await.unwrap();
    }
    bench.service.api().wait_state(&task, "Running", READY_WITHIN).await.unwrap();
    load.write(500).await;
    load.judge().await;
    bench.finish().await;
}

/// With the times that users have. The target has one proxy, so a window that a kill has left open
/// is closed as soon as the proxy has answered behind it, and never after the settle time.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_milvus_cdc_does_not_wait_for_calls_that_can_not_arrive() {
    let mut bench = Bench::new().await;
    bench.service.config().more = String::new();
    bench.service.restart().await.unwrap();
    let task = bench.task_for_all().await;
    let load = Load::on(&bench, "in_flight", 21).await;
    load.write(500).await;
    let mut replayed = 0.0;
    while replayed < 3.0 {
        bench.service.kill().unwrap();
        let killed = bench.source.clock().await.unwrap().ms();
        bench.service.restart().await.unwrap();
        gets_beyond(&bench, &task, killed).await;
        // A kill that met nothing in flight has no such metric.
        replayed += bench.service.api().metric(EVENTS, "replayed_window").await.unwrap_or(0.0);
    }
    load.judge().await;
    let log = std::fs::read_to_string(bench.service.log_file()).unwrap();
    assert!(!log.contains(SETTLING), "a settle time was waited for");
    bench.finish().await;
}

/// An orderly stop of a target answers calls with errors of all kinds before it ends. None of them
/// is for good.
#[tokio::test(flavor = "multi_thread")]
async fn the_target_is_restarted_in_good_order() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let load = Load::on(&bench, "target_restarted", 22).await;
    for _ in 0..4 {
        load.write(1000).await;
        bench.pair.target.stop().unwrap();
        load.write(500).await;
        bench.pair.target.bring_back().unwrap();
    }
    load.write(1000).await;
    bench.while_running(load.judge()).await;
    bench.finish().await;
}

/// Waits until a broker has noticed that milvus-cdc is dead, and keeps nothing for it. A Kafka
/// knows only of readers that commit.
async fn nothing_is_left_at(queue: &Broker) {
    let Broker::Pulsar(pulsar) = queue else { return };
    let topics = pulsar.admin("GET", "persistent/public/default", "").unwrap();
    let topics: Vec<String> = serde_json::from_str(&topics).unwrap();
    assert!(!topics.is_empty());
    for topic in topics {
        let path = topic.replace("persistent://", "persistent/") + "/subscriptions";
        wait::until(format!("no subscription of ours on {topic}"), EQUAL_WITHIN, || async {
            let left = pulsar.admin("GET", &path, "")?;
            anyhow::ensure!(!left.contains("milvus-cdc"), "{left}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    }
}

/// Waits until everything that the source had written at a moment is stored as done.
pub(crate) async fn gets_beyond(bench: &Bench, task: &str, moment_ms: u64) {
    wait::until(format!("progress beyond {moment_ms}"), EQUAL_WITHIN, || async {
        let position = bench.service.api().position(task).await?;
        let channels = position["positions"].as_array().context("no position")?;
        // Of one that has not come anywhere yet it is null.
        let time = |channel: &Value| channel["time"].as_u64().unwrap_or_default();
        let reached = channels.iter().map(time).min();
        anyhow::ensure!(reached > Some(moment_ms), "{reached:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_stopped_and_started() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let load = Load::on(&bench, "queue", 2).await;
    for _ in 0..2 {
        load.write(1000).await;
        bench.pair.queue.stop().unwrap();
        wait::until("milvus-cdc to miss the queue", EQUAL_WITHIN, || async {
            let metrics = bench.service.api().metrics().await?;
            let mut readable =
                metrics.lines().filter(|line| line.starts_with("milvus_cdc_source_readable{"));
            Ok(readable.any(|line| line.ends_with(" 0")).then_some(()))
        })
        .await
        .unwrap();
        bench.pair.queue.bring_back().unwrap();
    }
    load.write(1000).await;
    load.judge().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_is_killed() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let load = Load::on(&bench, "target_killed", 3).await;
    for _ in 0..4 {
        load.write(1000).await;
        bench.pair.target.kill().unwrap();
        load.write(500).await;
        bench.pair.target.bring_back().unwrap();
    }
    load.write(1000).await;
    load.judge().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_restarted() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let load = Load::on(&bench, "source", 4).await;
    load.write(1000).await;
    bench.pair.source.kill().unwrap();
    bench.pair.source.bring_back().unwrap();
    load.write(1000).await;
    bench.pair.source.stop().unwrap();
    bench.pair.source.bring_back().unwrap();
    load.write(1000).await;
    load.judge().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_s_etcd_is_away_for_twenty_seconds() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let load = Load::on(&bench, "etcd", 5).await;
    load.write(1000).await;
    bench.pair.source_etcd.stop().unwrap();
    lasts(20).await;
    bench.pair.source_etcd.bring_back().unwrap();
    load.write(1000).await;
    // The watch is there again: a new collection is seen.
    let later = Load::on(&bench, "etcd_later", 6).await;
    later.write(500).await;
    later.judge().await;
    load.judge().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_is_frozen() {
    let mut bench = Bench::new().await;
    let task = bench.task_for_all().await;
    let load = Load::on(&bench, "frozen", 7).await;
    // A Milvus ends itself if its session at etcd has ended meanwhile: after 30 s without a sign of
    // life, and it gives one every ten seconds.
    for seconds in [5, 12, 9] {
        load.write(1000).await;
        bench.pair.target.freeze().unwrap();
        lasts(seconds).await;
        if seconds > 10 {
            wait::until("a missing answer to be told of", EQUAL_WITHIN, || async {
                let told = bench.service.api().metric(EVENTS, "overdue").await.unwrap_or(0.0);
                // Or the clock was asked when the target stood still, and is asked again.
                let seen = bench.service.api().task(&task).await?;
                let reason = seen["status"]["waiting"].as_str().unwrap_or_default();
                let is_told = told > 0.0 || reason.contains("can't read the clock at the target");
                Ok(is_told.then_some(()))
            })
            .await
            .unwrap();
        }
        bench.pair.target.thaw().unwrap();
    }
    load.write(1000).await;
    load.judge().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_paused_and_resumed() {
    let mut bench = Bench::new().await;
    let task = bench.task_for_all().await;
    let load = Load::on(&bench, "paused", 8).await;
    for _ in 0..3 {
        load.write(1000).await;
        bench.service.api().pause(&task).await.unwrap();
        load.write(500).await;
        bench.service.api().resume(&task).await.unwrap();
        bench.service.api().wait_state(&task, "Running", READY_WITHIN).await.unwrap();
    }
    // A paused task stays so over a restart.
    bench.service.api().pause(&task).await.unwrap();
    bench.service.restart().await.unwrap();
    bench.service.api().wait_state(&task, "Paused", READY_WITHIN).await.unwrap();
    load.write(500).await;
    bench.service.api().resume(&task).await.unwrap();
    load.judge().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_on_while_another_one_on_its_target_is_paused() {
    let mut bench = Bench::new().await;
    let mut loads = vec![];
    let mut tasks = vec![];
    for (seed, database) in [(10, "task_a"), (11, "task_b")] {
        bench.source.create_database(database).await.unwrap();
        tasks.push(bench.task(json!({"db_collections": {database: [{"name": "*"}]}})).await);
        let (source, target) = (bench.source.database(database), bench.target.database(database));
        loads.push(Load::start(&source, &target, database, seed).await);
    }
    for load in &loads {
        load.write(1000).await;
    }
    bench.service.api().pause(&tasks[0]).await.unwrap();
    loads[1].write(500).await;
    // The other one is judged, and equal, while the first is paused.
    loads.pop().unwrap().judge().await;
    bench.service.api().resume(&tasks[0]).await.unwrap();
    let api = bench.service.api();
    wait::until("the resumed task to run", EQUAL_WITHIN, || async {
        Ok((api.task(&tasks[0]).await?["state"] == "Running").then_some(()))
    })
    .await
    .unwrap();
    loads[0].write(500).await;
    loads.pop().unwrap().judge().await;
    bench.finish().await;
}
