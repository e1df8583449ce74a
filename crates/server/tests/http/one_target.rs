//! Targets that tasks name by different addresses: those with one clock are one Milvus, and all
//! that writes to it goes under the address by which it was known first.

use crate::scripted::Clock;
use crate::support::{Harness, eventually, request};
use replication::ports::{Store, Transaction};
use serde_json::{Value, json};

/// A task at this host for this collection.
fn at(host: &str, task: &str, collection: &str) -> Value {
    let mut data = request();
    data["task_id"] = json!(task);
    data["milvus_connect_param"]["uri"] = json!(format!("http://{host}:19530"));
    data["collection_infos"] = json!([{"name": collection}]);
    data
}

async fn put(service: &Harness, key: &str, value: Value) {
    let puts = vec![(key.to_owned(), value.to_string().into_bytes())];
    service.store.commit(Transaction { puts, ..Default::default() }).await.unwrap();
}

async fn stored(service: &Harness, key: &str) -> Value {
    let stored = service.store.get(key).await.unwrap();
    stored.map_or(Value::Null, |stored| serde_json::from_slice(&stored.value).unwrap())
}

/// Waits until a record is as wanted.
async fn until_stored(service: &Harness, key: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(async || {
        let seen = stored(service, key).await;
        if wanted(&seen) { Ok(seen) } else { Err(format!("{key}: {seen}")) }
    })
    .await
}

async fn same_as(service: &Harness, task: &str) -> Value {
    service.task(task).await["milvus_connect_param"]["same_as"].clone()
}

#[tokio::test]
async fn a_task_at_another_address_joins_the_target_or_is_refused() {
    let service = Harness::start().await;
    let clock = Clock::default();
    service.targets.clocks.set("one", &clock);
    service.targets.clocks.set("balancer", &clock);
    service.done("create", at("one", "a", "c")).await;

    let (status, message) = service.refused("create", at("balancer", "b", "c")).await;
    assert_eq!(status, 400, "{message}");
    let why = "http://balancer:19530 is the same Milvus as http://one:19530 of task a";
    assert!(message.contains(why), "{message}");
    let (status, body) = service.v1("POST", "/tasks/check", at("balancer", "b", "c")).await;
    assert_eq!(status, 409, "{body}");
    assert!(body.to_string().contains(why), "{body}");
    let mut other_login = at("balancer", "b", "d");
    other_login["milvus_connect_param"]["token"] = json!("somebody:else");
    service.refused("create", other_login).await;

    service.done("create", at("balancer", "b", "d")).await;
    assert_eq!(same_as(&service, "b").await, "one:19530");
    assert_eq!(same_as(&service, "a").await, Value::Null);
    until_stored(&service, "lease/one:19530", |lease| !lease.is_null()).await;
    service.until("b", |t| t["status"]["stage"] == "running").await;
    assert_eq!(stored(&service, "lease/balancer:19530").await, Value::Null);
}

#[tokio::test]
async fn targets_with_clocks_of_their_own_stay_apart() {
    let service = Harness::start().await;
    for host in ["one", "copy"] {
        service.targets.clocks.set(host, &Clock::default());
    }
    service.done("create", at("one", "a", "c")).await;
    service.done("create", at("copy", "b", "c")).await;
    for lease in ["lease/one:19530", "lease/copy:19530"] {
        until_stored(&service, lease, |lease| !lease.is_null()).await;
    }
    until_stored(&service, "apart/copy:19530/one:19530", |apart| !apart.is_null()).await;
    assert_eq!(same_as(&service, "b").await, Value::Null);
}

#[tokio::test]
async fn of_two_tasks_found_on_one_target_the_one_in_the_way_is_paused() {
    let service = Harness::start().await;
    for (host, task, collection) in [("one", "a", "c"), ("two", "b", "c"), ("three", "d", "e")] {
        service.done("create", at(host, task, collection)).await;
    }
    let clock = Clock::default();
    service.targets.clocks.set("one", &clock);
    until_stored(&service, "lease/one:19530", |lease| !lease.is_null()).await;
    service.targets.clocks.set("two", &clock);
    service.targets.clocks.set("three", &clock);
    let paused = service.until("b", |t| t["state"] == "Paused").await;
    let reason = paused["reason"].as_str().unwrap();
    for part in ["milvus_connect_param.uri", "http://two:19530", "http://one:19530 of task a"] {
        assert!(reason.contains(part), "{reason}");
    }
    service.until("d", |t| t["milvus_connect_param"]["same_as"] == "one:19530").await;
    service.until("d", |t| t["status"]["stage"] == "running").await;
    assert_eq!(service.task("d").await["state"], "Running");
    assert_eq!(service.task("a").await["state"], "Running");
}

/// What a version that did not know this has stored: lanes under both addresses.
#[tokio::test]
async fn lanes_that_are_stored_under_another_address_are_taken_over() {
    let service = Harness::start_with(&[("MILVUS_CDC_TARGET__SETTLETIME", "1s")]).await;
    let lane = |committed: u64, reserved: u64, open: Value| {
        let mut lane = json!({"form": 1, "committed": committed, "reserved": reserved});
        lane["open"] = open;
        lane
    };
    let open = |task: &str, closing: u64| json!({"task": task, "closing": closing, "upto": 7});
    put(&service, "lane/one:19530/ch_0", lane(10, 20, open("a", 30))).await;
    put(&service, "lane/two:19530/ch_0", lane(15, 40, open("b", 50))).await;
    put(&service, "lane/two:19530/ch_1", lane(5, 6, Value::Null)).await;
    put(&service, "lane/one:19530/ch_2", lane(1, 2, open("a", 3))).await;
    service.done("create", at("one", "a", "c")).await;
    service.done("create", at("two", "b", "d")).await;
    let clock = Clock::default();
    service.targets.clocks.set("one", &clock);
    until_stored(&service, "lease/one:19530", |lease| !lease.is_null()).await;
    service.targets.clocks.set("two", &clock);

    until_stored(&service, "lane/two:19530/ch_0", Value::is_null).await;
    assert_eq!(stored(&service, "lane/two:19530/ch_1").await, Value::Null);
    // Ticks may have been reserved since.
    for (key, committed) in [("lane/one:19530/ch_0", 50), ("lane/one:19530/ch_1", 5)] {
        let merged = stored(&service, key).await;
        assert_eq!(merged["committed"], committed, "{merged}");
        assert_eq!(merged["open"], Value::Null, "{merged}");
        assert!(merged["reserved"].as_u64() >= Some(committed), "{merged}");
    }
    let kept = stored(&service, "lane/one:19530/ch_2").await;
    assert_eq!(kept, lane(1, 2, open("a", 3)), "nobody else had it");
    for task in ["a", "b"] {
        assert_eq!(stored(&service, &format!("fence/{task}")).await["upto"], 7, "{task}");
    }
    assert_eq!(same_as(&service, "b").await, "one:19530");
}

#[tokio::test]
async fn an_address_that_leads_elsewhere_later_has_a_target_of_its_own_again() {
    let mut service = Harness::start().await;
    let clock = Clock::default();
    service.targets.clocks.set("one", &clock);
    service.targets.clocks.set("two", &clock);
    service.done("create", at("one", "a", "c")).await;
    service.done("create", at("two", "b", "d")).await;
    assert_eq!(same_as(&service, "b").await, "one:19530");
    service.stop().await;
    service.targets.clocks.set("two", &Clock::default());
    service.restart_only().await;
    until_stored(&service, "lease/two:19530", |lease| !lease.is_null()).await;
    assert_eq!(same_as(&service, "b").await, Value::Null);
    service.until("b", |t| t["status"]["stage"] == "running").await;
}

#[tokio::test]
async fn a_target_that_can_not_be_told_from_one_that_another_service_writes_to_waits() {
    let service = Harness::start().await;
    put(&service, "lease/one:19530", json!({"holder": "another one"})).await;
    service.done("create", at("one", "a", "c")).await;
    service.targets.clocks.set("two", &Clock::default());
    service.done("create", at("two", "b", "d")).await;
    // It takes the lease to look, and leaves it to others; many times before one that keeps it has
    // shown a second sign of life.
    until_stored(&service, "alive/two:19530", |alive| alive["beat"].as_u64() > Some(5)).await;
    assert_eq!(stored(&service, "apart/one:19530/two:19530").await, Value::Null);
    // Somebody who reaches both has seen it.
    put(&service, "apart/one:19530/two:19530", json!({"form": 1})).await;
    // It is not given back any more: many looks in a row see the same sign of life.
    let seen = std::cell::RefCell::new((Value::Null, 0));
    eventually(async || {
        let alive = stored(&service, "alive/two:19530").await;
        let mut seen = seen.borrow_mut();
        *seen = if seen.0 == alive { (alive, seen.1 + 1) } else { (alive, 0) };
        if seen.1 >= 25 { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}
