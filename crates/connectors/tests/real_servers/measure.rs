//! What reading costs: rate, memory, idle processor time. Run by hand, alone, and read the output:
//! `cargo test --release -p connectors --test real_servers -- --ignored --nocapture measure`.

use crate::kafka::{at, produce};
use crate::support::{User, own_kafka, shared_pair, soon};
use connectors::kafka::{Kafka, KafkaOptions};
use replication::ports::Source;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CHANNELS: usize = 16;
const MESSAGE_BYTES: usize = 512 << 10;

fn own_status(key: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

fn resident_mib() -> u64 {
    own_status("VmRSS").parse::<u64>().unwrap() >> 10
}

/// Processor time of this process in hundredths of a second.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, by hand"]
async fn measure_reading_and_idling() {
    let (server, _run) = own_kafka(lab::KafkaOptions { heap_mib: 768, ..Default::default() });
    let broker = server.broker();
    let total: usize = std::env::var("MEASURE_MIB").map_or(512, |mib| mib.parse().unwrap());
    let each = (total << 20) / CHANNELS / MESSAGE_BYTES;
    let topics: Vec<_> = (0..CHANNELS).map(|number| format!("measured_{number}")).collect();
    for topic in &topics {
        for _ in 0..each / 8 {
            produce(&broker, topic, (0..8).map(|_| vec![7; MESSAGE_BYTES])).await;
        }
    }
    let before = resident_mib();
    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    let mut readers = Vec::new();
    for topic in &topics {
        readers.push(kafka.open(topic, &at(0)).await.unwrap());
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!(
        "prefetched, nobody reads: {} MiB more, {} threads",
        resident_mib() - before,
        own_status("Threads")
    );
    let busy = ticks();
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("full queues, nobody reads: {} % of a core", (ticks() - busy) as f64 / 10.0);

    let (begun, busy, mut peak) = (Instant::now(), ticks(), 0);
    let mut left = vec![each / 8 * 8; CHANNELS];
    while left.iter().any(|left| *left > 0) {
        for (reader, left) in readers.iter_mut().zip(&mut left).filter(|(_, left)| **left > 0) {
            soon(reader.next()).await.unwrap();
            *left -= 1;
            while *left > 0 && reader.try_next().unwrap().is_some() {
                *left -= 1;
            }
        }
        peak = peak.max(resident_mib());
    }
    let took = begun.elapsed().as_secs_f64();
    let rate = (each / 8 * 8 * CHANNELS * MESSAGE_BYTES) as f64 / took / 1e6;
    println!(
        "read {rate:.0} MB/s, {peak} MiB at most, {:.0} % of a core",
        (ticks() - busy) as f64 / took
    );

    // Ticks as Milvus sends them; the writer is another process, or its work would be measured.
    println!("idle: {} MiB", resident_mib());
    let busy = ticks();
    tokio::time::sleep(Duration::from_secs(10)).await;
    println!("no messages at all: {} % of a core", (ticks() - busy) as f64 / 10.0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, by hand"]
async fn measure_a_source_that_ticks() {
    let pair = shared_pair();
    let mut user = User::of(&pair.source).await;
    for number in 0..8 {
        user.create("default", &format!("ticking_{number}"), 2).await;
    }
    let kafka = Kafka::new(KafkaOptions::new(pair.kafka.broker())).unwrap();
    let channels: Vec<_> = (0..CHANNELS)
        .map(|number| format!("src-rootcoord-dml_{number}"))
        .chain(["src-replicate-msg".to_owned()])
        .collect();
    let mut tasks = Vec::new();
    let read = Arc::new(AtomicU64::new(0));
    for channel in &channels {
        let end = soon(kafka.end(channel)).await.unwrap();
        let (mut reader, read) = (kafka.open(channel, &end).await.unwrap(), read.clone());
        tasks.push(tokio::spawn(async move {
            while reader.next().await.is_ok() {
                read.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (busy, before) = (ticks(), read.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_secs(20)).await;
    let per_second = (read.load(Ordering::Relaxed) - before) as f64 / 20.0;
    println!(
        "{per_second} messages a second on {} channels: {} % of a core, {} MiB",
        channels.len(),
        (ticks() - busy) as f64 / 20.0,
        resident_mib()
    );
    let begun = (ticks(), Instant::now());
    for _ in 0..5 {
        for channel in &channels {
            soon(kafka.newest(channel, 2)).await.unwrap();
        }
    }
    println!(
        "the newest of {} channels: {:?} and {} ms of processor time",
        channels.len(),
        begun.1.elapsed() / 5,
        (ticks() - begun.0) * 2
    );
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}
