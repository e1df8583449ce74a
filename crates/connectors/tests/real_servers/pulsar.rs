//! Tests what is particular to the Pulsar source on a real broker. `conformance` has what every
//! source must pass. Never reads what a Milvus has written: the
//! messages are made here.

use crate::conformance::pulsar::Queue;
use crate::pulsar_topics::{options, produce, produce_with, subscriptions};
use crate::support::{make_certificates, openssl, own_pulsar, shared_pulsar, soon};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use connectors::pulsar::{Pulsar, PulsarLogin, PulsarOptions};
use connectors::{Secret, TlsFiles};
use milvus_wire::position::MessageId;
use pulsar::ProducerOptions;
use pulsar::compression::{Compression, CompressionLz4, CompressionZlib, CompressionZstd};
use replication::error::{Error, Kind};
use replication::ports::{ChannelReader, Source};
use std::path::Path;
use std::time::Duration;

type Taken = Vec<(MessageId, Vec<u8>)>;

fn source(server: &lab::Pulsar) -> Pulsar {
    Pulsar::new(options(server)).unwrap()
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
async fn no_subscription_is_durable() {
    let server = shared_pulsar();
    produce(server, "subscribed", numbers(0..10)).await;
    let source = source(server);
    let mut reader = source.open("subscribed", &earliest()).await.unwrap();
    take(&mut reader, 10).await;
    let open = subscriptions(server, "subscribed");
    assert!(!open.as_object().unwrap().is_empty());
    assert!(open.as_object().unwrap().values().all(|one| one["isDurable"] == false), "{open}");
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
    let queue = Queue { server: &server, keeps_messages: true };
    let losses = ::conformance::source::losses(&queue).await;
    for error in [&losses.lost, &losses.foreign] {
        assert!(error.what.contains("was to be read from"), "{error}");
        assert!(error.what.contains("start from a position that is still stored"), "{error}");
    }
    assert!(losses.lost.what.contains("lost to the retention"), "{}", losses.lost);

    let source = source(&server);
    produce(&server, "remade", numbers(0..5)).await;
    let mut held = source.open("remade", &earliest()).await.unwrap();
    take(&mut held, 5).await;
    // A topic that is made anew while it is read is another one.
    let path = "persistent/public/default/remade?force=true";
    server.admin("DELETE", path, "").unwrap();
    produce(&server, "remade", numbers(0..2)).await;
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
