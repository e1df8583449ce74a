//! Health and readiness: what makes the service unready, and what is only shown.

use crate::support::{Harness, eventually};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_source_that_fails_is_shown_and_the_service_stays_ready() {
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

/// A store that is full can be read all the same.
#[tokio::test]
async fn a_store_that_could_not_be_written_makes_the_service_unready_until_it_can() {
    let service = Harness::start().await;
    service.create("a", "d.c").await;
    service.store.full.store(true, Ordering::SeqCst);
    let (status, body) = service.refused("pause", json!({"task_id": "a"})).await;
    assert_eq!(status, 500, "{body}");
    let unready = eventually(async || match service.get("/readyz").await {
        (503, body) => Ok(body),
        (status, body) => Err(format!("{status}: {body}")),
    });
    assert!(unready.await.contains("the disk of the store is full"));
    service.store.full.store(false, Ordering::SeqCst);
    // Nobody has to write anything for that.
    eventually(async || match service.get("/readyz").await {
        (200, _) => Ok(()),
        (status, body) => Err(format!("{status}: {body}")),
    })
    .await;
}

/// Anybody may ask, as often as they like.
#[tokio::test]
async fn requests_for_readiness_share_one_look_at_the_store_and_the_source() {
    let service = Harness::start().await;
    let looks = 50;
    let all = (0..looks).map(|_| service.get("/readyz"));
    let all = futures::future::join_all(all).await;
    assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
    let asked = service.catalog.asked.load(Ordering::SeqCst);
    assert!(asked < looks, "asked {asked} times");
}

#[tokio::test]
async fn a_process_that_answers_is_healthy() {
    let service = Harness::start().await;
    assert_eq!(service.get("/healthz").await, (200, "{\"code\":200}\n".into()));
}
