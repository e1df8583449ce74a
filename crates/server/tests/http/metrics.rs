//! Metrics: the Go tool's names and labels, the lag, and that a deleted task leaves no series.

use crate::support::{Harness, eventually};
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use replication::observer::{Event, Noted};
use serde_json::json;
use std::sync::atomic::Ordering;

/// Waits for a line of the metrics with this beginning, and returns its value.
async fn value(service: &Harness, line: &str, wanted: impl Fn(f64) -> bool) -> f64 {
    eventually(async || {
        let text = service.metrics().await;
        let found = text.lines().find(|l| l.starts_with(line));
        let value = found.map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        value.filter(|v| wanted(*v)).ok_or_else(|| format!("{line}: {value:?}\n{text}"))
    })
    .await
}

#[tokio::test]
async fn events_become_the_go_tools_metrics_and_are_removed_with_their_task() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    let tick = Timestamp::from_ms(1_700_000_000_000);
    for event in [
        Event::Joined("p_0"),
        Event::Read { channel: "p_0", tick, kind: "insert", bytes: 100 },
        Event::RowsRead {
            collection_id: CollectionId(7),
            collection: "c",
            kind: "insert",
            rows: 3,
        },
        Event::Written {
            channel: "p_0",
            collection_id: CollectionId(7),
            collection: "c",
            kind: "insert",
            rows: 3,
            bytes: 90,
        },
        Event::Called("ReplicateMessage"),
        Event::Acknowledged { channel: "p_0", tick },
        Event::Tick { pchannel: "t_0", tick },
        Event::Counted(Noted::Restamped, 2),
    ] {
        service.script.event("a", event);
    }
    let text = service.metrics().await;
    let size = |op: &str, bytes: u64| {
        let labels = format!(r#"msg_type="insert",op_type="{op}",task_id="a",vchannel_name="p_0""#);
        format!("milvus_cdc_replicate_data_size{{{labels}}} {bytes}")
    };
    let rows = |op: &str| {
        let collection = r#"collection_id="7",collection_name="c""#;
        let labels = format!(r#"api_type="insert",{collection},op_type="{op}",task_id="a""#);
        format!("milvus_cdc_replicate_data_cnt{{{labels}}} 3")
    };
    for line in [
        r#"milvus_cdc_task_num{task_state="Running"} 1"#,
        r#"milvus_cdc_task_num{task_state="Paused"} 0"#,
        r#"milvus_cdc_task_state{task_id="a"} 1"#,
        r#"milvus_cdc_replicate_tt{op_type="read",task_id="a",vchannel_name="p_0"} 1700000000000"#,
        r#"milvus_cdc_replicate_tt{op_type="write",task_id="a",vchannel_name="p_0"} 1700000000000"#,
        &size("read", 100),
        &size("write", 90),
        &rows("read"),
        &rows("write"),
        r#"milvus_cdc_api_execute_total{api_type="ReplicateMessage",task_id="a"} 1"#,
        r#"milvus_cdc_center_tt{channel_name="t_0"} 1700000000000"#,
        r#"milvus_cdc_replicate_events_total{event="restamped",task_id="a"} 2"#,
        r#"milvus_cdc_request_total{request_status="success",request_type="create"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    service.done("delete", json!({"task_id": "a"})).await;
    let text = service.metrics().await;
    assert!(!text.contains(r#"task_id="a""#), "{text}");
    assert!(text.contains(r#"milvus_cdc_task_num{task_state="Running"} 0"#), "{text}");
}

#[tokio::test]
async fn requests_of_unknown_types_are_counted_in_one_series() {
    let service = Harness::start().await;
    for i in 0..50 {
        service.ask(&format!("kind{i}"), json!({})).await;
    }
    service.send("x").await;
    service.method(reqwest::Method::GET).await;
    let text = service.metrics().await;
    assert!(!text.contains("kind1"), "{text}");
    for status in [
        "unmarshal_error\",request_type=\"unknown\"} 1",
        "invalid_method\",request_type=\"unknown\"} 1",
    ] {
        assert!(text.contains(status), "{text}");
    }
}

#[tokio::test]
async fn the_lag_is_the_distance_to_the_queues_end_and_grows_while_that_cannot_be_read() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.queue.newest_ms.store(100_000, Ordering::SeqCst);
    service.script.event("a", Event::Joined("p_0"));
    let tick = Timestamp::from_ms(90_000);
    service.script.event("a", Event::Acknowledged { channel: "p_0", tick });
    let line = r#"milvus_cdc_lag_seconds{channel_name="p_0",task_id="a"}"#;
    value(&service, line, |lag| lag == 10.0).await;
    assert_eq!(service.task("a").await["status"]["lag_seconds"], 10.0);

    // The target acknowledges nothing more, while the source continues.
    service.queue.newest_ms.store(130_000, Ordering::SeqCst);
    value(&service, line, |lag| lag == 40.0).await;

    // A paused task falls behind like any other.
    service.done("pause", json!({"task_id": "a"})).await;
    service.queue.newest_ms.store(140_000, Ordering::SeqCst);
    value(&service, line, |lag| lag == 50.0).await;

    service.queue.away.store(true, Ordering::SeqCst);
    let first = value(&service, line, |lag| lag > 50.0).await;
    value(&service, line, |lag| lag > first).await;
    value(&service, r#"milvus_cdc_source_readable{channel_name="p_0"}"#, |v| v == 0.0).await;
}

#[tokio::test]
async fn there_are_metrics_of_the_process() {
    let service = Harness::start().await;
    let (status, text) = service.get("/cdc/metrics_default").await;
    assert_eq!(status, 200);
    assert!(text.contains("process_resident_memory_bytes"), "{text}");
}
