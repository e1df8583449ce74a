//! Tests one target that tasks name by two addresses: its tasks share it as if they named it alike,
//! and no row is there twice. The lab's Milvus listens on all of loopback, so `127.0.0.2` is a
//! second address of it.

use anyhow::ensure;
use lab::{READY_WITHIN, Server};
use serde_json::{Value, json};
use testkit::milvus::CollectionSpec;
use testkit::wait;

use super::bench::{Bench, batch, equal, gone};

const FIRST: &str = "one_target_first";
const SECOND: &str = "one_target_second";

/// A task for these collections at an address.
fn request(address: &str, collection: &str) -> Value {
    json!({
        "milvus_connect_param": {"uri": format!("http://{address}")},
        "db_collections": {"default": [{"name": collection}]},
    })
}

/// The other address of the target.
fn other_address(bench: &Bench) -> String {
    bench.pair.target.address().replace("127.0.0.1", "127.0.0.2")
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_on_two_addresses_of_a_target_share_it() {
    let mut bench = Bench::new().await;
    let (address, other) = (bench.pair.target.address(), other_address(&bench));
    let specs = [FIRST, SECOND].map(|name| CollectionSpec::small(name, 8).shards(8));
    for spec in &specs {
        bench.source.create_ready(spec).await.unwrap();
    }
    bench.task_as(request(&address, FIRST)).await;
    let second = bench.task_as(request(&other, SECOND)).await;
    let shown = bench.service.api().task(&second).await.unwrap();
    assert_eq!(shown["milvus_connect_param"]["same_as"], address, "{shown}");

    let refused = bench.service.api().ask("create", request(&other, FIRST)).await.unwrap();
    let message = refused.body["message"].as_str().unwrap();
    assert!(message.contains(&format!("http://{other} is the same Milvus as")), "{message}");

    let mut written = 0;
    for round in 0..3 {
        for _ in 0..5 {
            for spec in &specs {
                let rows = batch(spec, "", written..written + 100, 0);
                bench.source.insert(rows).await.unwrap();
            }
            written += 100;
        }
        match round {
            0 => {
                bench.service.kill().unwrap();
                bench.service.restart().await.unwrap();
            }
            1 => {
                bench.pair.target.kill().unwrap();
                bench.pair.target.restart().unwrap();
                bench.pair.target.wait_ready(READY_WITHIN).unwrap();
            }
            _ => {}
        }
    }
    for spec in &specs {
        assert_eq!(bench.equal(spec.name()).await.target_rows, written);
    }
    for spec in &specs {
        bench.source.drop_collection(spec.name()).await.unwrap();
        bench.gone(spec.name()).await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_tasks_on_one_target_that_replicate_the_same_one_is_paused() {
    let mut bench = Bench::new().await;
    let spec = CollectionSpec::small("one_target_twice", 8).shards(2);
    bench.source.create_ready(&spec).await.unwrap();
    // While it does not answer nobody can see that the addresses lead to one target.
    bench.pair.target.freeze().unwrap();
    let mut tasks = Vec::new();
    for address in [bench.pair.target.address(), other_address(&bench)] {
        let request = request(&address, spec.name());
        let created = bench.service.api().request("create", request).await.unwrap();
        tasks.push(created["task_id"].as_str().unwrap().to_owned());
    }
    bench.pair.target.thaw().unwrap();
    let all = || async { bench.service.api().tasks().await };
    wait::until("both tasks to be started or paused", READY_WITHIN, || async {
        let waiting = all().await?.iter().any(|t| t["status"]["channels"] == json!([]));
        Ok((!waiting || all().await?.iter().any(|t| t["state"] == "Paused")).then_some(()))
    })
    .await
    .unwrap();
    for batch_of in 0..18 {
        let rows = batch(&spec, "", batch_of * 100..(batch_of + 1) * 100, 0);
        bench.source.insert(rows).await.unwrap();
    }
    let report = equal(&bench.source, &bench.target, spec.name()).await;
    assert_eq!(report.target_rows, 1800);
    wait::until("one task to be paused", READY_WITHIN, || async {
        let seen = all().await?;
        let paused: Vec<_> = seen.iter().filter(|task| task["state"] == "Paused").collect();
        ensure!(paused.len() < 2, "{seen:#?}");
        let Some(task) = paused.first() else { return Ok(None) };
        let reason = task["reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("milvus_connect_param.uri"), "{reason}");
        ensure!(reason.contains("is the same Milvus as"), "{reason}");
        Ok(Some(()))
    })
    .await
    .unwrap();

    bench.source.drop_collection(spec.name()).await.unwrap();
    gone(&bench.target, spec.name()).await;
    for task in tasks {
        bench.service.api().delete(&task).await.unwrap();
    }
    bench.finish().await;
}
