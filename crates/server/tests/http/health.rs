//! Health and readiness: what makes the service unready, and what is only shown.

use crate::support::Harness;
use serde_json::Value;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_source_that_is_away_is_shown_and_the_service_stays_ready() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.queue.away.store(true, Ordering::SeqCst);
    let (status, body) = service.get("/readyz").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["data"]["source_queue"], "the queue is away");
    assert_eq!(body["data"]["source_catalog"], "ok");
    assert_eq!(body["data"]["store"], "ok");
}

#[tokio::test]
async fn a_healthy_process_says_so() {
    let service = Harness::start().await;
    assert_eq!(service.get("/healthz").await, (200, "{\"code\":200}\n".into()));
}
