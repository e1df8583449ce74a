//! Tests the counting target as the product uses it: over gRPC, in this process and in one of its
//! own. Never against a real Milvus.

#![allow(clippy::unwrap_used)] // A test fails by a panic, and so do its helpers.

use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::milvus::ReplicateMessageRequest;
use milvus_wire::proto::msg::{InsertRequest, TimeTickMsg};
use prost::Message;
use testkit::counting::{CountingOptions, CountingProcess, CountingTarget, Counts};
use testkit::milvus::{CollectionSpec, Milvus};
use testkit::rows::{RowGenerator, RowId};

const ROWS: u64 = 1000;

fn base(kind: MsgType, id: i64, timestamp: u64) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind as i32, msg_id: id, timestamp, ..Default::default() })
}

/// Creates a collection and writes to it as the product would; every row is 512 bytes of vector.
async fn drive(target: &Milvus, calls: u64) {
    let spec = CollectionSpec::small("rows", 128).shards(2);
    target.create_collection(&spec).await.unwrap();
    let described = target.describe("rows").await.unwrap();
    assert_eq!(described.virtual_channel_names.len(), 2);
    assert_eq!(target.partitions("rows").await.unwrap().len(), 1);
    let generator = RowGenerator::new(&spec.schema, 0).unwrap();
    let ids: Vec<RowId> = (0..ROWS).map(|key| RowId { key, version: 0 }).collect();
    let mut insert = InsertRequest {
        shard_name: described.virtual_channel_names[0].clone(),
        collection_id: described.collection_id,
        fields_data: generator.columns(&ids),
        row_i_ds: (0..ROWS as i64).collect(),
        num_rows: ROWS,
        ..Default::default()
    };
    for call in 1..=calls {
        let stamp = 10 * call;
        insert.base = base(MsgType::Insert, call as i64, stamp);
        insert.timestamps = vec![stamp; ROWS as usize];
        let tick = TimeTickMsg { base: base(MsgType::TimeTick, 0, stamp + 1) };
        let request = ReplicateMessageRequest {
            channel_name: described.physical_channel_names[0].clone(),
            begin_ts: stamp,
            end_ts: stamp + 1,
            msgs: vec![insert.encode_to_vec(), tick.encode_to_vec()],
            ..Default::default()
        };
        target.replicate(request).await.unwrap();
    }
}

fn check(counts: &Counts, calls: u64) {
    assert_eq!((counts.calls, counts.ticks, counts.row_messages), (calls, calls, calls));
    assert_eq!((counts.inserted, counts.highest_tick), (calls * ROWS, calls * 10 + 1));
    assert_eq!(counts.faults, 0, "{:?}", counts.fault_texts);
    assert!(counts.bytes > calls * ROWS * 512);
}

#[tokio::test]
async fn rows_ticks_and_bytes_are_counted() {
    let options = CountingOptions { check: true, ..Default::default() };
    let target = CountingTarget::start(options).await.unwrap();
    let client = Milvus::at(&target.address()).unwrap();
    assert!(client.describe("rows").await.unwrap_err().to_string().contains("(100)"));
    assert!(client.clock().await.unwrap() < client.clock().await.unwrap());
    drive(&client, 20).await;
    check(&target.counts(), 20);
    assert_eq!(client.databases().await.unwrap(), ["default"]);
    client.create_database("more").await.unwrap();
    assert!(client.database("more").describe("rows").await.is_err());
    client.drop_collection("rows").await.unwrap();
    assert!(client.collections().await.unwrap().is_empty());
    // Nothing stands behind these, so they succeed.
    client.create_index("rows", "vector", "index", &[]).await.unwrap();
    client.release("rows").await.unwrap();
}

#[tokio::test]
async fn a_process_of_its_own_counts_the_same_and_costs_little() {
    let folder = tempfile::tempdir().unwrap();
    let options = CountingOptions::default();
    let target = CountingProcess::start(&options, folder.path()).await.unwrap();
    drive(&Milvus::at(&target.address()).unwrap(), 200).await;
    let counts = target.counts().await.unwrap();
    check(&counts, 200);
    let usage = target.usage().unwrap();
    println!("{} MB, {usage:?}", counts.bytes >> 20);
}
