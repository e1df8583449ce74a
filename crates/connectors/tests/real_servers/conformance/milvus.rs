//! The Milvus target against the suite of targets. Never asks the target what is in its log: its
//! queue says it.

use crate::support::{User, done, logged, own_etcd, shared_kafka, shared_pair};
use crate::topics::read;
use ::conformance::target::{self, Logged, Mortal, TargetUnderTest};
use async_trait::async_trait;
use connectors::Secret;
use connectors::milvus::{Milvus, MilvusOptions};
use lab::Server as _;
use milvus_wire::message::{Message, decode};
use milvus_wire::proto::milvus as pb;
use milvus_wire::timestamp::Timestamp;
use rdkafka::Message as _;
use replication::error::Kind;
use replication::ports::Target;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_milvus_in_replica_mode_is_a_target() {
    target::suite(&Replica).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_what_a_milvus_that_is_not_a_replica_refuses_appears() {
    let pair = shared_pair();
    let address = pair.source.address();
    target::refusal(&OnKafka { address, broker: pair.queue.address(), prefix: "src" }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_a_target_that_is_away() {
    let nobody = lab::claim_port().unwrap();
    let away = OnKafka { address: nobody.address(), broker: shared_kafka().broker(), prefix: "no" };
    target::refusal(&away).await;
    let error = away.target().databases().await.unwrap_err();
    assert_eq!(error.kind, Kind::Transient, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_freezes_a_minute_answers_afterwards_and_a_killed_one_leaves_it_open() {
    logged();
    let installed = lab::install_servers().unwrap();
    let (etcd, run) = own_etcd(lab::EtcdOptions::default());
    let broker = shared_kafka().broker();
    let options = lab::MilvusOptions {
        tt_msg_enabled: false,
        // By default a Milvus that stood still for a minute has lost its session, and ends.
        settings: vec![("common.session.ttl".into(), 600.into())],
        ..lab::MilvusOptions::new("own", etcd.client(), lab::Queue::Kafka(broker.clone()))
    };
    let mut server = lab::Milvus::start(&installed, &run.path().join("own"), options).unwrap();
    server.wait_ready(lab::READY_WITHIN).unwrap();
    User::of(&server).await.create("default", "frozen", 1).await;
    let world = OnKafka { address: server.address(), broker, prefix: "own" };
    target::answers(&Own { world, server: Mutex::new(server) }).await;
}

/// The target that all tests share.
struct Replica;

#[async_trait]
impl TargetUnderTest for Replica {
    fn target(&self) -> Arc<dyn Target> {
        let address = shared_pair().target.address();
        // Who grants has to say who he is.
        let token = Secret::new("root:Milvus");
        Arc::new(Milvus::new(&MilvusOptions { token, ..MilvusOptions::new(address) }).unwrap())
    }

    async fn collections(&self, database: &str) -> BTreeSet<String> {
        let mut user = User::of(&shared_pair().target).await;
        let db_name = database.to_owned();
        let request = pb::ShowCollectionsRequest { db_name, ..Default::default() };
        let shown = user.0.show_collections(request).await.unwrap().into_inner();
        done(shown.status.unwrap());
        shown.collection_names.into_iter().collect()
    }

    async fn make_user(&self, name: &str) {
        let request = pb::CreateCredentialRequest {
            username: name.to_owned(),
            password: "c2VjcmV0".into(),
            ..Default::default()
        };
        let mut user = User::of(&shared_pair().target).await;
        done(user.0.create_credential(request).await.unwrap().into_inner());
    }

    fn moves_collections(&self) -> bool {
        true
    }

    fn removes_properties(&self) -> bool {
        false
    }
}

/// A Milvus whose queue is a Kafka.
struct OnKafka {
    address: String,
    broker: String,
    prefix: &'static str,
}

#[async_trait]
impl Logged for OnKafka {
    fn target(&self) -> Arc<dyn Target> {
        Arc::new(Milvus::new(&MilvusOptions::new(&self.address)).unwrap())
    }

    async fn pchannel(&self) -> String {
        let carrying = self.target().pchannels().await.unwrap_or_default();
        let any = format!("{}-rootcoord-dml_0", self.prefix);
        carrying.into_iter().next().unwrap_or(any)
    }

    async fn ticks(&self, pchannel: &str) -> Vec<Timestamp> {
        let payload = |record: &rdkafka::message::BorrowedMessage<'_>| {
            record.payload().unwrap_or_default().to_vec()
        };
        let messages = read(&self.broker, pchannel, payload).await.into_iter();
        let tick = |message: Vec<u8>| match decode(message.into()) {
            Ok(Message::Tick(at)) => Some(at),
            _ => None,
        };
        messages.filter_map(tick).collect()
    }
}

/// A Milvus that a test may kill.
struct Own {
    world: OnKafka,
    server: Mutex<lab::Milvus>,
}

#[async_trait]
impl Logged for Own {
    fn target(&self) -> Arc<dyn Target> {
        self.world.target()
    }

    async fn pchannel(&self) -> String {
        self.world.pchannel().await
    }

    async fn ticks(&self, pchannel: &str) -> Vec<Timestamp> {
        self.world.ticks(pchannel).await
    }
}

#[async_trait]
impl Mortal for Own {
    async fn freeze(&self) {
        self.server.lock().unwrap().freeze().unwrap();
    }

    async fn thaw(&self) {
        self.server.lock().unwrap().thaw().unwrap();
    }

    async fn die(&self) {
        self.server.lock().unwrap().kill().unwrap();
    }

    fn stands_still(&self) -> Duration {
        Duration::from_secs(62)
    }
}
