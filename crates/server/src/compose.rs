//! The only place where concrete clients are made. Another queue is one more arm in `source`,
//! another store one in `store`, another target one in `RealTargets::open`. Never connects to a
//! source or target: a client connects when it is used.

use crate::config::{Config, EtcdConfig, KafkaConfig, PulsarConfig, QueueConfig, StoreConfig};
use crate::dry_run::NoTargets;
use crate::tasks::TaskRecord;
use crate::world::{RealPath, TargetClient, Targets, World};
use connectors::etcd::{Etcd, EtcdMembers, EtcdOptions};
use connectors::go_records::{GoRecords, from_etcd};
use connectors::kafka::{Kafka, KafkaOptions};
use connectors::kafka_sink::KafkaSink;
use connectors::milvus::{Milvus, MilvusOptions};
use connectors::pulsar::{Pulsar, PulsarOptions};
use connectors::store::{EtcdStore, MemoryStore, MysqlStore, SqliteStore};
use replication::error::{Error, Result};
use replication::ports::{Source, Store, Transaction};
use replication::records::keys::is_of_a_lease;
use std::sync::Arc;
use std::time::Duration;

/// The outside systems, as configured.
pub async fn world(config: &Config) -> Result<World> {
    let members = EtcdMembers::default();
    Ok(World {
        store: store(config, &members).await?,
        source: source(&config.source.queue, config.source.channels)?,
        catalog: Arc::new(Etcd::new(etcd_options(&config.source.catalog, &members))?),
        targets: Arc::new(RealTargets),
        path: Arc::new(RealPath),
        members,
    })
}

/// The outside systems for a dry run: the store is a copy, and no target can be reached.
pub async fn for_dry_run(world: World) -> Result<World> {
    let store = copy_in_memory(&*world.store).await?;
    Ok(World { store, targets: Arc::new(NoTargets), ..world })
}

async fn store(config: &Config, members: &EtcdMembers) -> Result<Arc<dyn Store>> {
    let state = &config.state_folder;
    Ok(match &config.store {
        StoreConfig::Sqlite(file) => Arc::new(SqliteStore::open(file).await?),
        StoreConfig::Memory => Arc::new(MemoryStore::new()),
        StoreConfig::Etcd(etcd) => {
            Arc::new(EtcdStore::open(etcd_options(etcd, members), state).await?)
        }
        StoreConfig::Mysql(mysql) => Arc::new(MysqlStore::open(mysql.clone(), state).await?),
    })
}

/// A copy of a store in memory, to try something on. Nobody else writes to it.
pub async fn copy_in_memory(store: &dyn Store) -> Result<Arc<dyn Store>> {
    let copy = MemoryStore::new();
    let records = store.list("").await?.into_iter().filter(|(key, _)| !is_of_a_lease(key));
    let puts = records.map(|(key, stored)| (key, stored.value)).collect();
    copy.commit(Transaction { puts, ..Transaction::default() }).await?;
    Ok(Arc::new(copy))
}

/// The records that the Go tool left in an etcd.
pub async fn go_records_in_etcd(etcd: &EtcdConfig) -> Result<GoRecords> {
    from_etcd(etcd_options(etcd, &EtcdMembers::default())).await
}

fn source(queue: &QueueConfig, channels: usize) -> Result<Arc<dyn Source>> {
    Ok(match queue {
        QueueConfig::Kafka(kafka) => Arc::new(Kafka::new(kafka_options(kafka, channels))?),
        QueueConfig::Pulsar(pulsar) => Arc::new(Pulsar::new(pulsar_options(pulsar, channels))?),
    })
}

fn kafka_options(kafka: &KafkaConfig, channels: usize) -> KafkaOptions {
    KafkaOptions {
        brokers: kafka.brokers.clone(),
        login: kafka.login.clone(),
        consumer: kafka.consumer.clone(),
        // One more for the op channel.
        channels: channels + 1,
    }
}

fn pulsar_options(pulsar: &PulsarConfig, channels: usize) -> PulsarOptions {
    PulsarOptions {
        brokers: pulsar.brokers.clone(),
        tenant: pulsar.tenant.clone(),
        namespace: pulsar.namespace.clone(),
        login: pulsar.login.clone(),
        tls: pulsar.tls.clone(),
        // One more for the op channel.
        channels: channels + 1,
    }
}

fn etcd_options(etcd: &EtcdConfig, members: &EtcdMembers) -> EtcdOptions {
    let (username, password) = etcd.login.clone().unwrap_or_default();
    EtcdOptions {
        endpoints: etcd.endpoints.clone(),
        root_path: etcd.root_path.clone(),
        meta_sub_path: etcd.meta_sub_path.clone(),
        username,
        password,
        tls: etcd.tls.clone(),
        members: members.clone(),
    }
}

/// Makes clients of real targets.
struct RealTargets;

impl Targets for RealTargets {
    fn open(&self, task: &TaskRecord) -> Result<TargetClient> {
        if task.is_to_kafka() {
            let options = task.kafka_connect_param.options(&task.task_id);
            let options = options.map_err(|wrong| Error::permanent(wrong.to_string()))?;
            return Ok(TargetClient::Log(Arc::new(KafkaSink::new(options)?)));
        }
        let param = &task.milvus_connect_param;
        let address = task.milvus().map_err(|wrong| Error::permanent(wrong.problem))?;
        let mut options = MilvusOptions::new(address.uri());
        options.token = param.login();
        if let Ok(seconds @ 1..) = u64::try_from(param.connect_timeout) {
            options.connect_timeout = Duration::from_secs(seconds);
        }
        // Without TLS the files are not used, so they can't be wrong.
        if address.tls() {
            let files = param.dial_config.files();
            options.tls = files.map_err(|wrong| Error::permanent(wrong.problem))?;
        }
        Ok(TargetClient::Milvus(Arc::new(Milvus::new(&options)?)))
    }
}
