//! Tests the lab itself on real servers: a pair starts, freezes, crashes and comes back, and
//! nothing outlives its owner. Never uses a client of Milvus: a few HTTP requests are enough.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use lab::{Milvus, Pair, PairOptions, READY_WITHIN, Server, is_alive};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ACCEPTED: i64 = 200;
const REFUSED_BY_A_REPLICA: i64 = 1303;

#[test]
fn a_pair_starts_freezes_crashes_comes_back_and_ends() {
    let installed = lab::install_servers().unwrap();
    let run = tempfile::tempdir().unwrap();
    let mut pair = Pair::start(&installed, run.path(), &PairOptions::default()).unwrap();
    for server in pair.servers() {
        let usage = server.usage().unwrap();
        println!("{}: {} MiB, {:?}", server.name(), usage.resident_bytes >> 20, usage.cpu);
        assert!(server.is_ready(), "{} is not well", server.name());
    }

    create_collection(&pair.source);
    create_collection(&pair.target);
    assert_eq!(insert(&pair.source), ACCEPTED);
    assert_eq!(insert(&pair.target), REFUSED_BY_A_REPLICA);

    freeze_and_thaw(&mut pair);
    crash_and_promote(&mut pair.target);
    restart_below_milvus(&mut pair);

    let pids: Vec<u32> = pair.servers().iter().map(|server| server.pid().unwrap()).collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let begun = Instant::now();
    pair.stop().unwrap();
    println!("stopped in {:?}", begun.elapsed());
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[test]
fn servers_end_with_an_owner_that_is_killed() {
    let run = tempfile::tempdir().unwrap();
    let mut owner = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["up", "--dir"])
        .arg(run.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .find_map(|line| serde_json::from_str::<Value>(&line).ok())
        .expect("it ended without a line of JSON");
    let pids: Vec<u32> = told["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|server| u32::try_from(server["pid"].as_u64().unwrap()).unwrap())
        .collect();
    assert_eq!(pids.len(), 5);
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("all servers to end", || pids.iter().all(|pid| !is_alive(*pid)));
}

fn freeze_and_thaw(pair: &mut Pair) {
    for server in pair.servers() {
        server.freeze().unwrap();
        assert!(server.is_running());
        assert!(!server.is_ready(), "{} answers although frozen", server.name());
        server.thaw().unwrap();
        server.wait_ready(READY_WITHIN).unwrap();
    }
}

/// After a hard end a target comes back with its data, and may come back as something that takes
/// writes.
fn crash_and_promote(target: &mut Milvus) {
    let (old_pid, address) = (target.pid().unwrap(), target.address());
    target.kill().unwrap();
    assert!(!is_alive(old_pid));
    assert!(!target.is_ready());
    target.options.tt_msg_enabled = true;
    let begun = Instant::now();
    target.restart().unwrap();
    target.wait_ready(READY_WITHIN).unwrap();
    println!("target ready again in {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(25), "it waited for the leases of the dead");
    assert_ne!(target.pid().unwrap(), old_pid);
    assert_eq!(target.address(), address);
    // Its components find each other a moment after they are well.
    eventually("a promoted target to take rows", || insert(target) == ACCEPTED);
}

/// Milvus itself lives on while its etcd and its queue are away for a moment.
fn restart_below_milvus(pair: &mut Pair) {
    for server in [&mut pair.source_etcd as &mut dyn Server, &mut pair.queue] {
        server.kill().unwrap();
        assert!(!server.is_ready());
        let begun = Instant::now();
        server.restart().unwrap();
        server.wait_ready(READY_WITHIN).unwrap();
        println!("{} ready again in {:?}", server.name(), begun.elapsed());
    }
    let source = &mut pair.source;
    source.wait_ready(READY_WITHIN).unwrap();
    eventually("the source to take rows again", || insert(source) == ACCEPTED);
}

fn create_collection(milvus: &Milvus) {
    let request = json!({"collectionName": "rows", "dimension": 4});
    assert_eq!(post(milvus, "/v1/vector/collections/create", &request), ACCEPTED);
}

fn insert(milvus: &Milvus) -> i64 {
    let request = json!({"collectionName": "rows", "data": [{"vector": [1, 2, 3, 4]}]});
    post(milvus, "/v1/vector/insert", &request)
}

/// The code in the answer, 0 if there is none.
fn post(milvus: &Milvus, path: &str, body: &Value) -> i64 {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = String::new();
    let mut stream = TcpStream::connect(milvus.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    println!("{} {path}: {answer}", milvus.name());
    answer["code"].as_i64().unwrap_or_default()
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
