//! Tests a task whose source and store have an etcd of three members, of which one is killed or
//! stands still: the task goes on as if nothing was. Never takes away two at a time, nor the one
//! that the Milvus servers use: what they make of it is not the question.

use std::time::{Duration, Instant};

use lab::{Etcd, PairOptions, READY_WITHIN, Server};
use tempfile::TempDir;
use testkit::milvus::CollectionSpec;

use super::bench::{Bench, batch};
use super::faults::lasts;

/// How long a member is away: longer than what is asked of it may take, and shorter than the
/// session of a Milvus.
const AWAY: Duration = Duration::from_secs(12);

/// How many rows come before, and while, a member is away.
const ROWS: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_does_not_notice_that_a_member_of_three_is_away() {
    let folder = TempDir::new().unwrap();
    lab::install_servers().unwrap();
    let mut members = Etcd::start_cluster(folder.path(), 3).unwrap();
    members.iter_mut().for_each(|member| member.wait_ready(READY_WITHIN).unwrap());
    let settings = vec![("etcd.endpoints".to_owned(), members[0].endpoint().into())];
    let mut bench = Bench::of(PairOptions { settings, ..PairOptions::default() }).await;
    bench.service.config().environment = environment(&members, &folder);
    bench.service.restart().await.unwrap();
    let task = bench.task_for_all().await;
    let mut rows = 0;
    for (n, is_killed) in [(1, true), (2, false), (1, false), (2, true)] {
        let spec = CollectionSpec::small(&format!("of_members_{rows}"), 8).shards(2);
        // What comes to be meanwhile is told by a watch.
        if is_killed {
            members[n].kill().unwrap();
        } else {
            members[n].freeze().unwrap();
        }
        bench.source.create_ready(&spec).await.unwrap();
        let begun = Instant::now();
        for at in 0.. {
            bench.source.insert(batch(&spec, "", at * ROWS..(at + 1) * ROWS, 0)).await.unwrap();
            rows += ROWS;
            let seen = bench.service.api().task(&task).await.unwrap();
            assert_eq!(seen["state"], "Running", "{seen}");
            // It may wait for a moment for a collection that comes to be meanwhile.
            let waits = seen["status"]["waiting"].as_str().unwrap_or_default();
            assert!(!waits.contains("etcd") && !waits.contains("store"), "{seen}");
            if begun.elapsed() > AWAY {
                break;
            }
            lasts(1).await;
        }
        bench.equal(spec.name()).await;
        if is_killed {
            members[n].restart().unwrap();
        } else {
            members[n].thaw().unwrap();
        }
        members[n].wait_ready(READY_WITHIN).unwrap();
        bench.source.drop_collection(spec.name()).await.unwrap();
        bench.gone(spec.name()).await;
    }
    let log = std::fs::read_to_string(bench.service.log_file()).unwrap();
    let begun = log.lines().filter(|line| line.contains("task starts")).count();
    assert_eq!(begun, 1, "{log}");
    bench.finish().await;
}

/// Both the source and the store have these members.
fn environment(members: &[Etcd], folder: &TempDir) -> Vec<(String, String)> {
    // Those that will be away come first.
    let endpoints = members.iter().rev().map(Etcd::endpoint).collect::<Vec<_>>().join(",");
    let state = folder.path().join("state").display().to_string();
    let lines = [
        ("SOURCECONFIG__ETCD__ADDRESS", endpoints.clone()),
        ("METASTORECONFIG__STORETYPE", "etcd".to_owned()),
        ("METASTORECONFIG__ETCD__ADDRESS", endpoints),
        ("METASTORECONFIG__STATEFOLDER", state),
    ];
    lines.map(|(key, value)| (format!("MILVUS_CDC_{key}"), value)).into()
}
