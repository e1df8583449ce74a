//! Every part fails while rows are inserted, upserted and deleted: at the end both sides are equal,
//! no row is missing, none is there twice.

use std::time::Duration;

use lab::{READY_WITHIN, Server};
use serde_json::json;
use testkit::rows::Random;
use testkit::wait;
use tokio::time::sleep;

use crate::bench::{Bench, EQUAL_WITHIN};
use crate::load::Load;

/// How often milvus-cdc is killed.
const KILLS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn milvus_cdc_is_killed_twenty_times() {
    let mut bench = Bench::new().await;
    let task = bench.task_for_all().await;
    let load = Load::on(&bench, "killed", 1).await;
    load.write(500).await;
    let mut random = Random::of(&[20]);
    for _ in 0..KILLS {
        // The moment is what is random here: nothing is waited for.
        sleep(Duration::from_millis(200 + random.below(2500))).await;
        bench.service.kill().unwrap();
        bench.service.restart().await.unwrap();
    }
    bench.service.api().wait_state(&task, "Running", READY_WITHIN).await.unwrap();
    load.write(500).await;
    load.judge().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_is_stopped_and_started() {
    let mut bench = Bench::new().await;
    bench.task_for_all().await;
    let load = Load::on(&bench, "kafka", 2).await;
    for _ in 0..2 {
        load.write(1000).await;
        bench.pair.kafka.stop().unwrap();
        sleep(Duration::from_secs(3)).await;
        bench.pair.kafka.restart().unwrap();
        bench.pair.kafka.wait_ready(READY_WITHIN).unwrap();
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
        bench.pair.target.restart().unwrap();
        bench.pair.target.wait_ready(READY_WITHIN).unwrap();
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
    bench.pair.source.restart().unwrap();
    bench.pair.source.wait_ready(READY_WITHIN).unwrap();
    load.write(1000).await;
    bench.pair.source.stop().unwrap();
    bench.pair.source.restart().unwrap();
    bench.pair.source.wait_ready(READY_WITHIN).unwrap();
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
    sleep(Duration::from_secs(20)).await;
    bench.pair.source_etcd.restart().unwrap();
    bench.pair.source_etcd.wait_ready(READY_WITHIN).unwrap();
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
    bench.task_for_all().await;
    let load = Load::on(&bench, "frozen", 7).await;
    for seconds in [5, 15, 9] {
        load.write(1000).await;
        bench.pair.target.freeze().unwrap();
        sleep(Duration::from_secs(seconds)).await;
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
