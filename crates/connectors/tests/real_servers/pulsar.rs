//! Tests the Pulsar source on a real broker. Never reads what a Milvus has written: the messages
//! are made here.

use crate::support::{make_certificates, openssl, own_pulsar, shared_pulsar, soon};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use connectors::pulsar::{Pulsar, PulsarLogin, PulsarOptions};
use connectors::{Secret, TlsFiles};
use lab::Server;
use milvus_wire::position::MessageId;
use pulsar::compression::{Compression, CompressionLz4, CompressionZlib, CompressionZstd};
use pulsar::producer::Message;
use pulsar::{ProducerOptions, TokioExecutor};
use replication::error::{Error, Kind};
use replication::ports::{ChannelReader, Source};
use std::path::Path;
use std::time::{Duration, Instant};

type Taken = Vec<(MessageId, Vec<u8>)>;

fn source(server: &lab::Pulsar) -> Pulsar {
    Pulsar::new(options(server)).unwrap()
}

fn options(server: &lab::Pulsar) -> PulsarOptions {
    PulsarOptions::new(server.url().strip_prefix("pulsar://").unwrap())
}

/// Milvus's and Pulsar's id of the first message there is.
fn earliest() -> MessageId {
    let mut id = Vec::new();
    for field in [1 << 3, 2 << 3] {
        id.push(field);
        id.extend([0xff; 9]);
        id.push(1);
    }
    MessageId(Bytes::from(id))
}

async fn produce(server: &lab::Pulsar, topic: &str, payloads: impl Iterator<Item = Vec<u8>>) {
    produce_with(server, topic, ProducerOptions::default(), payloads).await;
}

async fn produce_with(
    server: &lab::Pulsar,
    topic: &str,
    options: ProducerOptions,
    payloads: impl Iterator<Item = Vec<u8>>,
) {
    // The futures of this client are large.
    let client = pulsar::Pulsar::builder(server.url(), TokioExecutor);
    let client = Box::pin(client.build()).await.unwrap();
    let topic = format!("persistent://public/default/{topic}");
    let is_batching = options.batch_size.is_some();
    let options = ProducerOptions { block_queue_if_full: true, ..options };
    let producer = client.producer().with_topic(topic).with_options(options);
    let mut producer = Box::pin(producer.build()).await.unwrap();
    let mut sent = Vec::new();
    for payload in payloads {
        let message = Message { payload, ..Message::default() };
        sent.push(Box::pin(producer.send_non_blocking(message)).await.unwrap());
    }
    if is_batching {
        producer.send_batch().await.unwrap();
    }
    for sent in sent {
        soon(sent).await.unwrap();
    }
    soon(Box::pin(producer.close())).await.unwrap();
}

async fn take(reader: &mut Box<dyn ChannelReader>, count: usize) -> Taken {
    let mut taken = Vec::new();
    while taken.len() < count {
        let record = soon(reader.next()).await.unwrap();
        taken.push((record.id, record.payload.to_vec()));
    }
    taken
}

async fn all(source: &Pulsar, topic: &str, count: usize) -> Taken {
    let mut reader = source.open(topic, &earliest()).await.unwrap();
    take(&mut reader, count).await
}

async fn stopped(mut reader: Box<dyn ChannelReader>) -> Error {
    loop {
        if let Err(error) = soon(reader.next()).await {
            return error;
        }
    }
}

fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = Vec<u8>> {
    range.map(|number| number.to_le_bytes().to_vec())
}

fn subscriptions(server: &lab::Pulsar, topic: &str) -> serde_json::Value {
    let path = format!("persistent/public/default/{topic}/stats");
    let stats: serde_json::Value =
        serde_json::from_str(&server.admin("GET", &path, "").unwrap()).unwrap();
    stats["subscriptions"].clone()
}

/// Waits for what the broker does behind a closed connection or a request.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_read_in_order_from_an_id_inclusive() {
    let server = shared_pulsar();
    produce(server, "ordered", numbers(0..1000)).await;
    let source = source(server);
    let all = all(&source, "ordered", 1000).await;
    for from in [0, 1, 2, 3, 100, 998, 999] {
        let mut reader = source.open("ordered", &all[from].0).await.unwrap();
        assert_eq!(take(&mut reader, 1000 - from).await, all[from..], "from {from}");
        assert!(reader.try_next().unwrap().is_none(), "the end is no error");
    }
    for (place, (id, payload)) in all.iter().enumerate() {
        assert_eq!(payload[..], (place as u32).to_le_bytes());
        assert!(place == 0 || source.compare(&all[place - 1].0, id).is_lt());
    }
    let end = soon(source.end("ordered")).await.unwrap();
    assert!(source.compare(&all[999].0, &end).is_lt());

    // Cancelled waits lose nothing.
    let mut reader = source.open("ordered", &end).await.unwrap();
    for _ in 0..20 {
        let waited = tokio::time::timeout(Duration::from_millis(5), reader.next()).await;
        assert!(waited.is_err());
    }
    produce(server, "ordered", numbers(1000..1001)).await;
    let next = take(&mut reader, 1).await.remove(0);
    assert_eq!(next.1, 1000_u32.to_le_bytes());
    assert!(source.compare(&end, &next.0).is_le());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_begins_inside_a_batch_however_it_is_compressed() {
    let server = shared_pulsar();
    let source = source(server);
    for (name, compression) in [
        ("none", Compression::None),
        ("lz4", Compression::Lz4(CompressionLz4::default())),
        ("zlib", Compression::Zlib(CompressionZlib::default())),
        ("zstd", Compression::Zstd(CompressionZstd::default())),
    ] {
        let topic = format!("batches_{name}");
        let with = |batch_size| ProducerOptions {
            batch_size,
            compression: Some(compression.clone()),
            ..ProducerOptions::default()
        };
        produce_with(server, &topic, with(Some(7)), numbers(0..50)).await;
        produce_with(server, &topic, with(None), numbers(50..60)).await;
        let all = all(&source, &topic, 60).await;
        for (place, (id, payload)) in all.iter().enumerate() {
            assert_eq!(payload[..], (place as u32).to_le_bytes(), "{name}");
            assert!(place == 0 || source.compare(&all[place - 1].0, id).is_lt());
        }
        for from in [1, 6, 7, 10, 48, 50, 59] {
            let mut reader = source.open(&topic, &all[from].0).await.unwrap();
            assert_eq!(take(&mut reader, 60 - from).await, all[from..], "{name} from {from}");
        }
        assert_eq!(soon(source.newest(&topic, 3)).await.unwrap().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_waited_for_and_found_within_seconds() {
    let server = shared_pulsar();
    let source = source(server);
    let first = soon(source.end("later")).await.unwrap();
    assert!(soon(source.newest("later", 3)).await.unwrap().is_empty());
    let mut reader = source.open("later", &first).await.unwrap();
    // Longer than a missing topic is doubted.
    let waited = tokio::time::timeout(Duration::from_secs(10), reader.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    let topics = server.admin("GET", "persistent/public/default", "").unwrap();
    assert!(!topics.contains("later"), "nobody creates the topic: {topics}");
    produce(server, "later", numbers(0..3)).await;
    let created = Instant::now();
    let taken = take(&mut reader, 3).await;
    assert!(created.elapsed() < Duration::from_secs(3), "{:?}", created.elapsed());
    assert!(source.compare(&first, &taken[0].0).is_le());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_of_a_channel_do_not_disturb_each_other_and_leave_nothing_behind() {
    let server = shared_pulsar();
    produce(server, "shared", numbers(0..100)).await;
    let source = source(server);
    let all = all(&source, "shared", 100).await;
    let mut first = source.open("shared", &all[0].0).await.unwrap();
    take(&mut first, 10).await;
    let mut second = source.open("shared", &all[50].0).await.unwrap();
    assert_eq!(take(&mut second, 10).await, all[50..60]);
    let open = subscriptions(server, "shared");
    assert!(!open.as_object().unwrap().is_empty());
    assert!(open.as_object().unwrap().values().all(|one| one["isDurable"] == false), "{open}");
    drop(second);
    assert_eq!(take(&mut first, 90).await, all[10..]);
    drop(first);
    drop(source);
    eventually("the subscriptions to end", || {
        subscriptions(server, "shared").as_object().unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_nobody_empties_holds_little_and_loses_nothing() {
    let server = shared_pulsar();
    let payload = vec![7; 1 << 20];
    produce(server, "stalled", std::iter::repeat_n(payload, 60)).await;
    let source = source(server);
    let mut reader = source.open("stalled", &earliest()).await.unwrap();
    take(&mut reader, 1).await;
    // Longer than a connection stays unread, so that it is given up and made again.
    let waited = tokio::time::timeout(Duration::from_secs(20), std::future::pending::<()>()).await;
    assert!(waited.is_err());
    let mut at_hand = 0;
    while reader.try_next().unwrap().is_some() {
        at_hand += 1;
    }
    assert!((1..=8).contains(&at_hand), "{at_hand} MiB were prefetched");
    assert_eq!(take(&mut reader, 59 - at_hand).await.len(), 59 - at_hand);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_entries_are_read_without_disturbing_readers() {
    let server = shared_pulsar();
    let topics: Vec<_> = (0..16).map(|number| format!("newest_{number}")).collect();
    for topic in &topics {
        produce(server, topic, numbers(0..50).chain([vec![7; 3 << 20]])).await;
    }
    let source = source(server);
    let mut reader = source.open(&topics[3], &earliest()).await.unwrap();
    take(&mut reader, 5).await;
    for round in 0..3 {
        let begun = Instant::now();
        for topic in &topics {
            let newest = soon(source.newest(topic, 2)).await.unwrap();
            let sizes: Vec<_> = newest.iter().map(|record| record.payload.len()).collect();
            assert_eq!(sizes, [4, 3 << 20]);
        }
        println!("round {round}: the newest of 16 channels took {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(soon(source.newest(&topics[0], 500)).await.unwrap().len(), 51);
    assert_eq!(take(&mut reader, 1).await[0].1, 5_u32.to_le_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_is_found_again() {
    let (mut server, _run) = own_pulsar(lab::PulsarOptions::default());
    produce(&server, "restarted", numbers(0..10)).await;
    server.admin("PUT", "persistent/public/default/empty", "").unwrap();
    let source = source(&server);
    let all = all(&source, "restarted", 10).await;
    let end = soon(source.end("restarted")).await.unwrap();
    let nothing = soon(source.end("empty")).await.unwrap();
    let mut reader = source.open("restarted", &all[0].0).await.unwrap();
    take(&mut reader, 10).await;
    server.kill().unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(10), reader.next()).await;
    assert!(waited.is_err(), "a broker that is away is no error: {waited:?}");
    assert_eq!(soon(source.end("restarted")).await.unwrap_err().kind, Kind::Transient);
    // Channels opened meanwhile wait as well; the broker goes on in a new ledger.
    let mut middle = source.open("restarted", &all[5].0).await.unwrap();
    let mut behind = source.open("restarted", &end).await.unwrap();
    let mut empty = source.open("empty", &nothing).await.unwrap();
    server.bring_back().unwrap();
    produce(&server, "restarted", numbers(10..11)).await;
    produce(&server, "empty", numbers(0..1)).await;
    let eleventh = take(&mut reader, 1).await;
    assert_eq!(eleventh[0].1, 10_u32.to_le_bytes());
    assert_eq!(take(&mut middle, 6).await[5], eleventh[0]);
    assert_eq!(take(&mut behind, 1).await, eleventh);
    assert_eq!(take(&mut empty, 1).await[0].1, 0_u32.to_le_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_lost_to_the_retention_and_topics_that_are_gone_stop_the_reading() {
    let setting = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let (server, _run) = own_pulsar(lab::PulsarOptions {
        settings: vec![
            setting("managedLedgerMaxEntriesPerLedger", "10"),
            setting("managedLedgerMinLedgerRolloverTimeMinutes", "0"),
            setting("defaultRetentionTimeInMinutes", "0"),
            setting("defaultRetentionSizeInMB", "0"),
            setting("forceDeleteNamespaceAllowed", "true"),
        ],
        ..lab::PulsarOptions::default()
    });
    let source = source(&server);
    // A durable subscription of somebody else holds the messages until it ends.
    let path = "persistent/public/default/trimmed";
    server.admin("PUT", path, "").unwrap();
    server.admin("PUT", &format!("{path}/subscription/holder"), "").unwrap();
    produce(&server, "trimmed", numbers(0..35)).await;
    let all = all(&source, "trimmed", 35).await;
    let reader = source.open("trimmed", &all[3].0).await.unwrap();
    server.admin("DELETE", &format!("{path}/subscription/holder"), "").unwrap();
    eventually("the messages to be trimmed", || {
        server.admin("POST", &format!("{path}/trim"), "").unwrap();
        let stats = server.admin("GET", &format!("{path}/internalStats"), "").unwrap();
        let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
        stats["ledgers"].as_array().unwrap().len() == 1
    })
    .await;

    let mut held = source.open("trimmed", &all[34].0).await.unwrap();
    assert_eq!(take(&mut held, 1).await, all[34..]);
    let error = stopped(source.open("trimmed", &all[3].0).await.unwrap()).await;
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(error.what.contains("channel trimmed was to be read from"), "{error}");
    assert!(error.what.contains("lost to the retention"), "{error}");
    assert!(error.what.contains("start from a position that is still stored"), "{error}");

    // A topic that is made anew while it is read is another one.
    drop(reader);
    server.admin("DELETE", &format!("{path}?force=true"), "").unwrap();
    produce(&server, "trimmed", numbers(0..2)).await;
    let error = stopped(held).await;
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(error.what.contains("lost to the retention"), "{error}");

    produce(&server, "vanishing", numbers(0..2)).await;
    let reader = source.open("vanishing", &earliest()).await.unwrap();
    let mut reader = reader;
    take(&mut reader, 2).await;
    let path = "persistent/public/default/vanishing?force=true";
    server.admin("DELETE", path, "").unwrap();
    let error = stopped(reader).await;
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(error.what.contains("vanishing") && error.what.contains("gone"), "{error}");
}

/// A Pulsar that asks who is there: for a token signed with `key` or the password `right`, and for
/// a certificate too where it speaks TLS.
fn secured_pulsar(files: &Path, key: &[u8]) -> (lab::Pulsar, tempfile::TempDir) {
    make_certificates(files);
    let file = |name: &str| files.join(name).display().to_string();
    std::fs::write(
        file("passwords"),
        format!("cdc:{}\n", openssl(files, &["passwd", "-apr1", "right"])),
    )
    .unwrap();
    let admin = token(files, "admin", key);
    let client = "org.apache.pulsar.client.impl.auth.AuthenticationToken";
    let providers = ["Token", "Basic"].map(|kind| {
        format!("org.apache.pulsar.broker.authentication.AuthenticationProvider{kind}")
    });
    let settings = [
        ("authenticationEnabled", "true".to_owned()),
        ("authenticationProviders", providers.join(",")),
        ("tokenSecretKey", format!("data:;base64,{}", STANDARD.encode(key))),
        ("superUserRoles", "admin".to_owned()),
        ("brokerClientAuthenticationPlugin", client.to_owned()),
        ("brokerClientAuthenticationParameters", format!("token:{admin}")),
        ("tlsCertificateFilePath", file("server.pem")),
        ("tlsKeyFilePath", file("server.key")),
        ("tlsTrustCertsFilePath", file("ca.pem")),
        ("tlsRequireTrustedClientCertOnConnect", "true".to_owned()),
    ];
    own_pulsar(lab::PulsarOptions {
        tls: true,
        authorization: Some(format!("Bearer {admin}")),
        settings: settings.map(|(key, value)| (key.to_owned(), value)).to_vec(),
        jvm_args: vec![format!("-Dpulsar.auth.basic.conf={}", file("passwords"))],
        ..lab::PulsarOptions::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_passwords_and_certificates_let_in_and_wrong_ones_are_permanent() {
    let files = tempfile::tempdir().unwrap();
    let key = [7; 32];
    let (server, _run) = secured_pulsar(files.path(), &key);
    server.admin("PUT", "persistent/public/default/closed", "").unwrap();
    let with = |login: PulsarLogin| PulsarOptions { login, ..options(&server) };
    let by_token = |key: &[u8]| PulsarLogin::Token(Secret::new(token(files.path(), "cdc", key)));
    let by_password = |password: &str| PulsarLogin::Basic("cdc".into(), Secret::new(password));
    for login in [by_token(&key), by_password("right")] {
        let source = Pulsar::new(with(login)).unwrap();
        soon(source.end("closed")).await.unwrap();
    }
    for login in [by_token(&[8; 32]), by_password("wrong"), PulsarLogin::None] {
        let source = Pulsar::new(with(login)).unwrap();
        assert_eq!(soon(source.end("closed")).await.unwrap_err().kind, Kind::Permanent);
        let error = stopped(source.open("closed", &earliest()).await.unwrap()).await;
        assert_eq!(error.kind, Kind::Permanent, "{error:?}");
        assert!(error.what.contains("Check address, authPlugin, authParams"), "{error}");
    }

    let file = |name: &str| files.path().join(name);
    let tls = TlsFiles {
        ca: file("ca.pem"),
        cert: file("client.pem"),
        key: file("client.key"),
        ..TlsFiles::default()
    };
    let secured = |tls: TlsFiles| PulsarOptions {
        brokers: vec![server.tls_url().unwrap().replace("pulsar+ssl://", "")],
        tls: Some(tls),
        ..with(by_token(&key))
    };
    let source = Pulsar::new(secured(tls.clone())).unwrap();
    soon(source.end("closed")).await.unwrap();
    // The broker's certificate is not one that we trust.
    let strangers = TlsFiles { ca: file("client.pem"), ..tls };
    let source = Pulsar::new(secured(strangers)).unwrap();
    let error = soon(source.end("closed")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(error.what.contains("certificate"), "{error}");
}

/// A JSON web token that is signed with a shared key.
fn token(folder: &Path, subject: &str, key: &[u8]) -> String {
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = serde_json::json!({ "sub": subject }).to_string();
    let signed = format!("{}.{}", encoded(r#"{"alg":"HS256"}"#), encoded(&claims));
    std::fs::write(folder.join("claims"), &signed).unwrap();
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("hexkey:{key}");
    let mac = openssl(folder, &["dgst", "-sha256", "-mac", "HMAC", "-macopt", &key, "claims"]);
    let mac = mac.rsplit(' ').next().unwrap();
    let mac: Vec<u8> = (0..mac.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&mac[at..at + 2], 16).unwrap())
        .collect();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_and_namespace_are_read_where_they_are_named() {
    let server = shared_pulsar();
    let tenant = r#"{"allowedClusters": ["standalone"]}"#;
    server.admin("PUT", "tenants/vectors", tenant).unwrap();
    server.admin("PUT", "namespaces/vectors/milvus", "").unwrap();
    server.admin("PUT", "persistent/vectors/milvus/elsewhere", "").unwrap();
    let named =
        PulsarOptions { tenant: "vectors".into(), namespace: "milvus".into(), ..options(server) };
    let named = Pulsar::new(named).unwrap();
    let end = soon(named.end("elsewhere")).await.unwrap();
    let missing = soon(named.end("nowhere")).await.unwrap();
    assert!(named.compare(&missing, &end).is_lt(), "an empty topic is not a missing one");
    assert_eq!(soon(source(server).end("elsewhere")).await.unwrap(), missing);
}
