//! Stores in an etcd and in a MariaDB that earlier versions wrote (`crates/testkit/stores`): the
//! binary of this tree shows the same of their tasks as that version did, respects its lease, and
//! keeps all that is stored in a form that it could read. Neither source nor targets are there.

#![allow(clippy::unwrap_used)] // A test fails by a panic, and so do its helpers.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testkit::service::Service;
use testkit::stores::{Kind, Store, Written, differences, shown};
use testkit::wait;

/// A lease runs out after 15 seconds; on a busy machine that is noticed later.
const TAKEN_WITHIN: Duration = Duration::from_secs(90);

const LEASE: &str = "lease/127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_etcd_of_an_earlier_version_is_shown_as_it_was_and_kept() {
    for written in Written::by_all().unwrap() {
        is_shown_and_kept(&written, Kind::Etcd).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_mysql_of_an_earlier_version_is_shown_as_it_was_and_kept() {
    for written in Written::by_all().unwrap() {
        is_shown_and_kept(&written, Kind::Mysql).await;
    }
}

async fn is_shown_and_kept(written: &Written, kind: Kind) {
    let folder = TempDir::new().unwrap();
    let store = Store::start(kind, folder.path()).unwrap();
    let text = written.text(kind).unwrap();
    store.load(&text).await.unwrap();
    let loaded = store.dump().await.unwrap();
    assert_eq!(loaded.settings, text.settings);

    let mut service = Service::start(store.config(folder.path())).await.unwrap();
    wait::until("milvus-cdc to look after its tasks", TAKEN_WITHIN, || async {
        Ok((service.api().get_status("/readyz").await? == 200).then_some(()))
    })
    .await
    .unwrap();
    let now = shown(&service.address(), service.program()).await.unwrap();
    let differences = differences(&written.shown(kind).unwrap(), &now);
    assert!(differences.is_empty(), "{}: {differences:#?}", written.version());

    // Its holder may be alive, and waits for a target, too.
    let theirs: Value = serde_json::from_str(text.value(LEASE).unwrap()).unwrap();
    let other = format!("another milvus-cdc ({})", theirs["holder"].as_str().unwrap());
    waits(&service, "runs", |waiting| waiting.contains(&other)).await;
    // It gives no sign of life.
    waits(&service, "runs", |waiting| !waiting.contains("another milvus-cdc")).await;
    let taken = store.dump().await.unwrap();
    assert_ne!(taken.value(LEASE), text.value(LEASE));
    text.kept_in(&taken, &["alive/", "lease/"]).unwrap();

    let api = service.api();
    api.resume("paused").await.unwrap();
    assert_eq!(api.task("paused").await.unwrap()["state"], "Running");
    api.pause("paused").await.unwrap();
    api.delete("waits").await.unwrap();
    service.must_run().unwrap();
    service.stop().unwrap();
    let after = store.dump().await.unwrap();
    let waits = after.records.iter().filter(|record| record.key.split('/').nth(1) == Some("waits"));
    assert_eq!(waits.count(), 0, "what is stored of a task goes with it");
    let gone: Vec<String> = text
        .records
        .iter()
        .filter(|record| record.key.split('/').nth(1) == Some("waits"))
        .map(|record| record.key.clone())
        .collect();
    assert!(gone.len() > 4, "{gone:?}");
    let may_change: Vec<&str> =
        ["alive/", "lease/", "task-roster"].into_iter().chain(gone.iter().map(|k| &**k)).collect();
    text.kept_in(&after, &may_change).unwrap();
}

/// Waits until a task that runs waits for what is wanted.
async fn waits(service: &Service, task: &str, is_wanted: impl Fn(&str) -> bool) {
    wait::until(format!("{task} to wait for something else"), TAKEN_WITHIN, || async {
        let seen = service.api().task(task).await?;
        anyhow::ensure!(seen["state"] == "Running", "{seen}");
        let waiting = seen["status"]["waiting"].as_str().unwrap_or_default();
        Ok((!waiting.is_empty() && is_wanted(waiting)).then_some(()))
    })
    .await
    .unwrap();
}
