//! Tests what is done before a target is restarted: its tasks are drained, so that nothing depends
//! on what it remembers. Never waits for a target that has lost something to find it again.

use lab::{PairOptions, Server as _};
use serde_json::Value;
use testkit::milvus::CollectionSpec;
use tokio::process::Command;

use super::bench::{Bench, batch, keys};

const COLLECTIONS: usize = 4;

/// A Milvus of this version forgets rows and deletes that are not flushed, if several shards share
/// a channel (milvus-io/milvus#34255).
#[tokio::test(flavor = "multi_thread")]
async fn a_drained_target_has_stored_rows_and_deletes() {
    let options = PairOptions { target_channels: 2, ..PairOptions::default() };
    let mut bench = Bench::of(options).await;
    let task = bench.task_for_all().await;
    let specs = (0..COLLECTIONS).map(|n| CollectionSpec::small(&format!("kept_{n}"), 8).shards(2));
    let specs: Vec<_> = specs.collect();
    for spec in &specs {
        bench.source.create_ready(spec).await.unwrap();
        bench.source.insert(batch(spec, "", 0..200, 0)).await.unwrap();
        bench.source.delete_keys(spec.name(), "id", &keys(spec, 0..40)).await.unwrap();
    }
    let drained = drain(&bench, &task).await;
    assert_eq!(drained["flushed"], true, "{drained}");
    let collections = drained["collections"].as_array().unwrap();
    assert_eq!(collections.len(), COLLECTIONS, "{drained}");
    assert!(collections.iter().all(|it| it["upto_ms"].as_u64() > Some(0)), "{drained}");
    for spec in &specs {
        assert_eq!(bench.target.stored_rows(spec.name()).await.unwrap(), 200);
    }
    bench.pair.target.kill().unwrap();
    bench.pair.target.bring_back().unwrap();
    for spec in &specs {
        assert_eq!(bench.equal(spec.name()).await.target_rows, 160);
    }
    bench.finish().await;
}

/// As a user does before a planned restart.
async fn drain(bench: &Bench, task: &str) -> Value {
    let server = format!("http://{}", bench.service.address());
    let arguments = ["task", "--server", &server, "--output", "json", "drain", task];
    let arguments = arguments.into_iter().chain(["--timeout", "90"]);
    let ran = Command::new(bench.service.program()).args(arguments).output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}
