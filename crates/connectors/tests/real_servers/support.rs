//! The servers and the waiting that all tests here use. Never sleeps where it can wait for
//! something.

use lab::{
    Etcd, EtcdOptions, Kafka, KafkaOptions, Listener, Mariadb, MariadbOptions, Milvus, Pair,
    PairOptions, Pulsar, PulsarOptions, READY_WITHIN, Server,
};
use milvus_wire::proto::common::{KeyValuePair, Status};
use milvus_wire::proto::milvus as pb;
use milvus_wire::proto::milvus::milvus_service_client::MilvusServiceClient;
use milvus_wire::proto::schema::{CollectionSchema, DataType, FieldSchema};
use prost::Message as _;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Once};
use std::time::Duration;
use tempfile::TempDir;
use tonic::transport::Channel;

/// Anything that works at all is done by then.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Waits for something that must not take for ever; names the caller if it does.
#[track_caller]
pub(crate) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let done = tokio::time::timeout(SOON, future).await;
        done.unwrap_or_else(|_| panic!("took too long at {caller}"))
    }
}

/// Logs go to the test's output.
pub(crate) fn logged() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().init();
    });
}

/// A broker that all tests share; it ends with this process.
pub(crate) fn shared_kafka() -> &'static Kafka {
    static SHARED: LazyLock<Kafka> =
        LazyLock::new(|| kafka_in(&shared_folder("kafka"), KafkaOptions::default()));
    &SHARED
}

/// A broker for one test.
pub(crate) fn own_kafka(options: KafkaOptions) -> (Kafka, TempDir) {
    let run = tempfile::tempdir().unwrap();
    (kafka_in(&run.path().join("kafka"), options), run)
}

/// How a broker is run that has a listener `TLS` too: it wants a certificate of the authority in
/// `files`, and the user `cdc` with the password `right`.
pub(crate) fn secured(files: &Path) -> KafkaOptions {
    let file = |name: &str| files.join(name).display().to_string();
    let chain = ["server.key", "server.pem"].map(|name| std::fs::read(file(name)).unwrap());
    std::fs::write(file("server.both"), chain.concat()).unwrap();
    let property = |key: &str, value: &str| (format!("listener.name.tls.{key}"), value.to_owned());
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 user_cdc=\"right\";";
    KafkaOptions {
        listeners: vec![Listener::new("TLS", "SASL_SSL")],
        properties: vec![
            property("ssl.keystore.type", "PEM"),
            property("ssl.keystore.location", &file("server.both")),
            property("ssl.truststore.type", "PEM"),
            property("ssl.truststore.location", &file("ca.pem")),
            property("ssl.client.auth", "required"),
            property("sasl.enabled.mechanisms", "PLAIN"),
            property("plain.sasl.jaas.config", login),
        ],
        ..KafkaOptions::default()
    }
}

/// What a client of it sets, as librdkafka calls it.
pub(crate) fn client_files(files: &Path) -> [(String, String); 3] {
    [
        ("ssl.ca.location", "ca.pem"),
        ("ssl.certificate.location", "client.pem"),
        ("ssl.key.location", "client.key"),
    ]
    .map(|(key, name)| (key.to_owned(), files.join(name).display().to_string()))
}

fn kafka_in(folder: &Path, options: KafkaOptions) -> Kafka {
    logged();
    let installed = lab::install_servers().unwrap();
    let mut kafka = Kafka::start(&installed, folder, options).unwrap();
    kafka.wait_ready(READY_WITHIN).unwrap();
    kafka
}

/// A Pulsar that all tests share; it ends with this process.
pub(crate) fn shared_pulsar() -> &'static Pulsar {
    static SHARED: LazyLock<Pulsar> =
        LazyLock::new(|| pulsar_in(&shared_folder("pulsar"), PulsarOptions::default()));
    &SHARED
}

/// A Pulsar for one test.
pub(crate) fn own_pulsar(options: PulsarOptions) -> (Pulsar, TempDir) {
    let run = tempfile::tempdir().unwrap();
    (pulsar_in(&run.path().join("pulsar"), options), run)
}

fn pulsar_in(folder: &Path, options: PulsarOptions) -> Pulsar {
    logged();
    let installed = lab::install_servers().unwrap();
    let mut pulsar = Pulsar::start(&installed, folder, options).unwrap();
    pulsar.wait_ready(READY_WITHIN).unwrap();
    pulsar
}

/// A source and a target that all tests share; they end with this process.
pub(crate) fn shared_pair() -> &'static Pair {
    static SHARED: LazyLock<Pair> = LazyLock::new(|| {
        logged();
        let installed = lab::install_servers().unwrap();
        Pair::start(&installed, &shared_folder("pair"), &PairOptions::default()).unwrap()
    });
    &SHARED
}

/// What is shared is never dropped, so its folder is emptied at the next run.
fn shared_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("connectors").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// An etcd that speaks TLS and asks clients for a certificate, with those of `make_certificates`.
pub(crate) fn etcd_with_tls(folder: &std::path::Path) -> EtcdOptions {
    let file = |name: &str| folder.join(name).display().to_string();
    EtcdOptions {
        tls: true,
        server_args: vec![
            format!("--cert-file={}", file("server.pem")),
            format!("--key-file={}", file("server.key")),
            format!("--trusted-ca-file={}", file("ca.pem")),
            "--client-cert-auth".into(),
        ],
        client_args: vec![
            format!("--cacert={}", file("ca.pem")),
            format!("--cert={}", file("client.pem")),
            format!("--key={}", file("client.key")),
        ],
    }
}

/// An etcd for one test.
pub(crate) fn own_etcd(options: EtcdOptions) -> (Etcd, TempDir) {
    logged();
    lab::install_servers().unwrap();
    let run = tempfile::tempdir().unwrap();
    let mut etcd = Etcd::start(&run.path().join("etcd"), options).unwrap();
    etcd.wait_ready(READY_WITHIN).unwrap();
    (etcd, run)
}

/// A database server for one test.
pub(crate) fn own_mariadb(options: MariadbOptions) -> (Mariadb, TempDir) {
    logged();
    lab::install_servers().unwrap();
    let run = tempfile::tempdir().unwrap();
    let mut mariadb = Mariadb::start(&run.path().join("mariadb"), options).unwrap();
    mariadb.wait_ready(READY_WITHIN).unwrap();
    (mariadb, run)
}

/// A plain client of a Milvus: what a user of it would do.
pub(crate) struct User(pub(crate) MilvusServiceClient<Channel>);

impl User {
    pub(crate) async fn of(milvus: &Milvus) -> Self {
        let address = format!("http://{}", milvus.address());
        let endpoint = tonic::transport::Endpoint::from_shared(address).unwrap();
        Self(MilvusServiceClient::new(endpoint.connect().await.unwrap()))
    }

    /// A collection with an integer key, a vector and a dynamic field.
    pub(crate) async fn create(&mut self, database: &str, name: &str, shards: i32) {
        self.create_with(database, schema(name), shards, 0).await;
    }

    pub(crate) async fn create_with(
        &mut self,
        database: &str,
        schema: CollectionSchema,
        shards_num: i32,
        num_partitions: i64,
    ) {
        let request = pb::CreateCollectionRequest {
            db_name: database.into(),
            collection_name: schema.name.clone(),
            schema: schema.encode_to_vec(),
            shards_num,
            num_partitions,
            properties: vec![pair("collection.ttl.seconds", "86400")],
            ..Default::default()
        };
        done(self.0.create_collection(request).await.unwrap().into_inner());
    }

    pub(crate) async fn create_database(&mut self, name: &str) {
        let request = pb::CreateDatabaseRequest { db_name: name.into(), ..Default::default() };
        done(self.0.create_database(request).await.unwrap().into_inner());
    }

    pub(crate) async fn create_partition(&mut self, collection: &str, partition: &str) {
        let request = pb::CreatePartitionRequest {
            collection_name: collection.into(),
            partition_name: partition.into(),
            ..Default::default()
        };
        done(self.0.create_partition(request).await.unwrap().into_inner());
    }

    pub(crate) async fn drop(&mut self, database: &str, collection: &str) {
        let request = pb::DropCollectionRequest {
            db_name: database.into(),
            collection_name: collection.into(),
            ..Default::default()
        };
        done(self.0.drop_collection(request).await.unwrap().into_inner());
    }
}

#[track_caller]
pub(crate) fn done(status: Status) {
    assert_eq!(status.code, 0, "{}", status.reason);
}

pub(crate) fn pair(key: &str, value: &str) -> KeyValuePair {
    KeyValuePair { key: key.into(), value: value.into() }
}

/// An integer key, a vector of 8 dimensions, a dynamic field.
pub(crate) fn schema(name: &str) -> CollectionSchema {
    CollectionSchema {
        name: name.into(),
        fields: vec![
            FieldSchema {
                field_id: 100,
                name: "id".into(),
                is_primary_key: true,
                data_type: DataType::Int64 as i32,
                ..Default::default()
            },
            FieldSchema {
                field_id: 101,
                name: "vec".into(),
                data_type: DataType::FloatVector as i32,
                type_params: vec![pair("dim", "8")],
                ..Default::default()
            },
        ],
        enable_dynamic_field: true,
        ..Default::default()
    }
}

/// The same with a partition key.
pub(crate) fn keyed_schema(name: &str) -> CollectionSchema {
    let mut schema = schema(name);
    schema.fields.push(FieldSchema {
        field_id: 102,
        name: "tenant".into(),
        data_type: DataType::Int64 as i32,
        is_partition_key: true,
        ..Default::default()
    });
    schema
}

/// An authority, and certificates of it for a server and a client.
pub(crate) fn make_certificates(folder: &Path) {
    lab::make_certificates(folder).unwrap();
}

/// What `openssl` says.
pub(crate) fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
