//! Tests that a target which forgets at its restarts what it has not flushed gets that again.
//! Never restarts it before the checkpoints of its channels have passed what it is to forget.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab::{PairOptions, Server as _};
use milvus::proto::msg::MsgPosition;
use prost::Message;
use serde_json::{Value, json};
use testkit::milvus::CollectionSpec;
use testkit::wait;

use super::bench::{Bench, EQUAL_WITHIN, batch, keys};
use super::faults::lasts;

/// All with a shard on the only channel. The first one written is not flushed, the second one
/// is, and loses rows afterwards.
const COLLECTIONS: usize = 8;

/// The checkpoints move once a minute.
const PASSED_WITHIN: Duration = Duration::from_secs(150);

/// For how many seconds nobody ticks the target. Its data node opens its channels some seconds
/// after its start, and decides a second later which shards are read together. It says neither.
const UNTICKED: u64 = 15;

/// A Milvus 2.3.5 forgets rows and deletes that are not flushed, if several shards share a channel
/// (milvus-io/milvus#34255).
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_target_forgets_is_sent_again() {
    let options = PairOptions { target_channels: 1, ..PairOptions::default() };
    let mut bench = Bench::of(options).await;
    bench.task_for_all().await;
    let specs = (0..COLLECTIONS).map(|n| CollectionSpec::small(&format!("forgotten_{n}"), 8));
    let specs: Vec<_> = specs.collect();
    for spec in &specs {
        bench.source.create_ready(spec).await.unwrap();
    }
    let (rows, deletes) = (specs[0].name(), specs[1].name());
    bench.source.insert(batch(&specs[1], "", 0..100, 0)).await.unwrap();
    bench.equal(deletes).await;
    bench.target.flush(deletes).await.unwrap();
    bench.source.delete_keys(deletes, "id", &keys(&specs[1], 0..40)).await.unwrap();
    bench.source.insert(batch(&specs[0], "", 0..100, 0)).await.unwrap();
    assert_eq!(bench.equal(deletes).await.target_rows, 60);
    assert_eq!(bench.equal(rows).await.target_rows, 100);
    let now = bench.target.clock().await.unwrap();
    wait::until("the checkpoints to pass the rows", PASSED_WITHIN, || async {
        let passed = checkpoints(&bench).await.into_values().filter(|at| *at > now.0).count();
        Ok((passed >= COLLECTIONS - 2).then_some(()))
    })
    .await
    .unwrap();

    // As if the machine of both was restarted.
    bench.service.kill().unwrap();
    bench.pair.target.kill().unwrap();
    bench.pair.target.bring_back().unwrap();
    lasts(UNTICKED).await;
    bench.service.restart().await.unwrap();
    wait::until("what may be forgotten to be read again", EQUAL_WITHIN, || async {
        let event = r#"event="read_again""#;
        bench.service.api().metric("milvus_cdc_replicate_events_total", event).await.map(Some)
    })
    .await
    .unwrap();
    for spec in &specs {
        bench.equal(spec.name()).await;
    }
    // What is forgotten can be seen for a while: until it is read from what is stored.
    for name in [rows, deletes] {
        bench.target.flush(name).await.unwrap();
        bench.source.release(name).await.unwrap();
        bench.same_metadata(name).await;
        bench.source.load(name).await.unwrap();
    }
    assert_eq!(bench.equal(deletes).await.target_rows, 60);
    assert_eq!(bench.equal(rows).await.target_rows, 100);
    bench.finish().await;
}

/// The checkpoints of the target's channels, as its data coordinator has stored them.
pub(crate) async fn checkpoints(bench: &Bench) -> BTreeMap<String, u64> {
    let folder = format!("{}/meta/datacoord-meta/channel-cp", bench.pair.target.options.name);
    // All keys that begin with the folder: '0' comes behind '/'.
    let (prefix, end) = (format!("{folder}/"), format!("{folder}0"));
    let range = json!({"key": STANDARD.encode(&prefix), "range_end": STANDARD.encode(end)});
    let uri = format!("http://{}/v3/kv/range", bench.pair.target_etcd.endpoint());
    let answer = reqwest::Client::new().post(uri).json(&range).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    let positions = answer["kvs"].as_array().cloned().unwrap_or_default();
    let decoded = |kv: &Value, part| STANDARD.decode(kv[part].as_str().unwrap()).unwrap();
    let position = |kv: &Value| {
        let channel = String::from_utf8(decoded(kv, "key")).unwrap().replace(&prefix, "");
        (channel, MsgPosition::decode(&*decoded(kv, "value")).unwrap().timestamp)
    };
    positions.iter().map(position).collect()
}
