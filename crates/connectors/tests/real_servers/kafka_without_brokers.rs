//! Tests a Kafka that says for a moment that it has no broker, as one does that was fenced because
//! it stood still. A real broker behind a proxy that gives this answer; everything else is passed
//! on. Never changes any other answer.

use crate::kafka::{at, numbers};
use crate::support::{own_kafka, soon};
use crate::topics::produce;
use connectors::kafka::{Kafka, KafkaOptions};
use lab::Listener;
use replication::ports::Source;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const TOPIC: &str = "fenced";

/// More than are ever told.
const MANY: usize = 1000;

/// The key of a request for metadata.
const METADATA: i16 = 3;

/// How many answers on metadata are to say that there is no broker.
type Lies = Arc<AtomicUsize>;

/// The versions of the requests for metadata that are not answered yet, by their numbers.
type Asked = Arc<Mutex<HashMap<i32, i16>>>;

/// Ends all connections of the proxy when it is notified.
type Cut = Arc<Notify>;

async fn proxy(listener: TcpListener, broker: String, lies: Lies, cut: Cut) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let Ok(server) = TcpStream::connect(&broker).await else { continue };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let asked = Asked::default();
        let asking = asked.clone();
        let requests = async move {
            while let Ok(request) = frame(&mut from_client).await {
                if i16_at(&request, 0) == METADATA {
                    let (version, number) = (i16_at(&request, 2), i32_at(&request, 4));
                    asking.lock().unwrap().insert(number, version);
                }
                let sent = send(&mut to_server, &request).await;
                if sent.is_err() {
                    return;
                }
            }
        };
        let lies = lies.clone();
        let answers = async move {
            while let Ok(mut answer) = frame(&mut from_server).await {
                let number = i32_at(&answer, 0);
                let version = asked.lock().unwrap().remove(&number);
                let lie = |left: usize| left.checked_sub(1);
                if let Some(version) = version
                    && lies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lie).is_ok()
                {
                    answer = without_brokers(number, version);
                }
                if send(&mut to_client, &answer).await.is_err() {
                    return;
                }
            }
        };
        let cut = cut.clone().notified_owned();
        tokio::spawn(async move {
            tokio::select! {
                () = requests => {}
                () = answers => {}
                () = cut => {}
            }
        });
    }
}

async fn frame(from: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body).await?;
    Ok(body)
}

async fn send(to: &mut (impl AsyncWriteExt + Unpin), body: &[u8]) -> std::io::Result<()> {
    to.write_u32(body.len() as u32).await?;
    to.write_all(body).await
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// An answer in the form of versions 9 to 12, as a broker that was fenced gives it: it has the
/// topic, with a partition that nobody leads, but no broker.
fn without_brokers(number: i32, version: i16) -> Vec<u8> {
    assert!((9..=12).contains(&version), "version {version} of Metadata");
    let (nobody, no_rights, no_tags) = ((-1_i32).to_be_bytes(), i32::MIN.to_be_bytes(), [0]);
    let mut answer = number.to_be_bytes().to_vec();
    answer.extend(no_tags);
    // No throttling, no broker, no name of the cluster, no controller. A list has one more in its
    // length than elements.
    answer.extend([0, 0, 0, 0, 1, 0]);
    answer.extend(nobody);
    answer.extend([2, 0, 0, 1 + TOPIC.len() as u8]);
    answer.extend(TOPIC.as_bytes());
    if version >= 10 {
        answer.extend([0; 16]);
    }
    // It is not an internal one. Its partition: LEADER_NOT_AVAILABLE, number, leader, epoch, and
    // nobody who has it.
    answer.extend([0, 2, 0, 5, 0, 0, 0, 0]);
    answer.extend([nobody, nobody].concat());
    answer.extend([1, 1, 1]);
    answer.extend(no_tags);
    answer.extend(no_rights);
    answer.extend(no_tags);
    if version <= 10 {
        answer.extend(no_rights);
    }
    answer.extend(no_tags);
    answer
}

/// A broker with one message in the topic, behind the proxy, and what makes that lie.
async fn lying_kafka() -> (lab::Kafka, tempfile::TempDir, String, Lies, Cut) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let far = Listener { advertised: Some(address.port()), ..Listener::new("FAR", "PLAINTEXT") };
    let (server, run) =
        own_kafka(lab::KafkaOptions { listeners: vec![far], ..lab::KafkaOptions::default() });
    let (lies, cut) = (Lies::default(), Cut::default());
    tokio::spawn(proxy(listener, server.listener("FAR").unwrap(), lies.clone(), cut.clone()));
    produce(&server.broker(), TOPIC, numbers(0..1)).await;
    (server, run, address.to_string(), lies, cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_says_that_it_has_no_broker_does_not_say_where_a_channel_ends() {
    let (_server, _run, address, lies, _) = lying_kafka().await;
    // The client asks by itself when it has connected, and again for the topic.
    for number in 1..4 {
        lies.store(number, Ordering::Relaxed);
        let kafka = Kafka::new(KafkaOptions::new(&address)).unwrap();
        let end = soon(kafka.end(TOPIC)).await;
        assert!(end.as_ref().is_ok_and(|end| *end == at(1)) || end.is_err(), "{end:?}");
        lies.store(0, Ordering::Relaxed);
        assert_eq!(soon(kafka.end(TOPIC)).await.unwrap(), at(1));
    }
}

/// The client never connects again after such an answer. Its readers go on in another one, and do
/// not even say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_whose_client_has_lost_its_brokers_goes_on() {
    let (server, _run, address, lies, cut) = lying_kafka().await;
    let kafka = Kafka::new(KafkaOptions::new(&address)).unwrap();
    let mut reader = kafka.open(TOPIC, &at(0)).await.unwrap();
    assert_eq!(soon(reader.next()).await.unwrap().id, at(0));
    lies.store(MANY, Ordering::Relaxed);
    cut.notify_waiters();
    let behind = tokio::spawn(async move { reader.next().await });
    // The client asks now and then.
    let lied = async {
        while lies.load(Ordering::Relaxed) > MANY - 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), lied).await.unwrap();
    lies.store(0, Ordering::Relaxed);
    cut.notify_waiters();
    produce(&server.broker(), TOPIC, numbers(1..2)).await;
    assert_eq!(soon(behind).await.unwrap().unwrap().id, at(1));
}
