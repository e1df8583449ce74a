//! The servers, the service, and what the demo does with them. Never prints progress itself: see
//! `show`.

use crate::show::Moment;
use anyhow::{Result, ensure};
use lab::{Pair, PairOptions, READY_WITHIN, Server};
use std::time::Duration;
use tempfile::TempDir;
use testkit::compare::{Comparison, Metadata, metadata_differences};
use testkit::milvus::{CollectionSpec, FieldKind, Milvus, Reading};
use testkit::service::{Service, ServiceConfig};
use testkit::wait;
use testkit::workload::{Stats, Workload};
use tokio::time::{Instant, interval};

/// How long the source is written to.
const WRITING: Duration = Duration::from_secs(15);

/// How soon after it the sides must be equal.
const EQUAL_WITHIN: Duration = Duration::from_secs(120);

const PARTITION: &str = "second";

/// All that runs.
pub(crate) struct Stage {
    service: Service,
    task: String,
    source: Milvus,
    target: Milvus,
    collections: Vec<CollectionSpec>,
    pair: Pair,
    _folder: TempDir,
}

impl Stage {
    /// Starts the servers, then milvus-cdc.
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("milvus-cdc-demo-").tempdir()?;
        let path = folder.path().to_owned();
        let pair = tokio::task::spawn_blocking(move || {
            Pair::start(&lab::install_servers()?, &path, &PairOptions::default())
        });
        let pair = pair.await??;
        let service = Service::start(ServiceConfig::of_pair(&pair)).await?;
        println!("  source Milvus {}", pair.source.address());
        println!("  target Milvus {}", pair.target.address());
        println!("  milvus-cdc    http://{}", service.address());
        Ok(Self {
            source: Milvus::at(&pair.source.address())?,
            target: Milvus::at(&pair.target.address())?,
            collections: collections(),
            task: String::new(),
            service,
            pair,
            _folder: folder,
        })
    }

    /// Over HTTP, as a user would.
    pub(crate) async fn create_task(&mut self) -> Result<()> {
        let target = self.pair.target.address();
        println!("  POST http://{}/cdc", self.service.address());
        println!("  {{\"request_type\": \"create\", \"request_data\": {{");
        println!("    \"milvus_connect_param\": {{\"uri\": \"http://{target}\"}},");
        println!("    \"db_collections\": {{\"*\": [{{\"name\": \"*\"}}]}}}}}}");
        self.task = self.service.api().create_task_for_all(&target).await?;
        self.service.api().wait_begun(&self.task, READY_WITHIN).await?;
        println!("  task {} is running", self.task);
        Ok(())
    }

    /// On the source only; the target gets them from milvus-cdc.
    pub(crate) async fn create_collections(&self) -> Result<()> {
        for spec in &self.collections {
            let name = spec.name();
            self.source.create_collection(spec).await?;
            self.source.create_partition(name, PARTITION).await?;
            let index = [
                ("index_type", "HNSW"),
                ("metric_type", "L2"),
                ("params", r#"{"M": 8, "efConstruction": 64}"#),
            ];
            self.source.create_index(name, spec.vector_field()?, "by_vector", &index).await?;
            self.source.load(name).await?;
            println!("  {name}: created, with partition {PARTITION}, indexed and loaded");
        }
        for spec in &self.collections {
            wait::until(format!("{} on the target", spec.name()), EQUAL_WITHIN, || async {
                let source = Metadata::read(&self.source, spec.name()).await?;
                let target = Metadata::read(&self.target, spec.name()).await?;
                let differences = metadata_differences(&source, &target);
                ensure!(differences.is_empty(), "{differences:?}");
                Ok(Some(()))
            })
            .await?;
        }
        println!("  the target has the same collections, partitions and indexes, loaded");
        Ok(())
    }

    /// Inserts, upserts and deletes for a while, and shows how the target follows.
    pub(crate) async fn write(&self) -> Result<Stats> {
        let workload = Workload {
            partitions: vec!["_default".to_owned(), PARTITION.to_owned()],
            ..Workload::mixed(self.collections.clone(), 1)
        };
        let running = workload.start(&self.source)?;
        let begun = Instant::now();
        let mut beat = interval(Duration::from_secs(1));
        while begun.elapsed() < WRITING {
            beat.tick().await;
            self.moment(begun).await?.print();
        }
        let written = running.stop().await?;
        ensure!(written.failed_calls == 0, "the source refused a write: {written:?}");
        self.moment(begun).await?.print();
        println!(
            "  written: {} inserts, {} upserts, {} deletes",
            written.inserted, written.upserted, written.deleted
        );
        Ok(written)
    }

    async fn moment(&self, begun: Instant) -> Result<Moment> {
        let (source_rows, target_rows) =
            tokio::try_join!(self.rows(&self.source), self.rows(&self.target))?;
        let task = self.service.api().task(&self.task).await?;
        ensure!(task["state"] == "Running", "the task has stopped: {task}");
        let lag = task["status"]["lag_seconds"].as_f64();
        Ok(Moment { seconds: begun.elapsed().as_secs_f64(), source_rows, target_rows, lag })
    }

    async fn rows(&self, milvus: &Milvus) -> Result<u64> {
        let mut rows = 0;
        for spec in &self.collections {
            rows += milvus.count(spec.name(), "", &[], Reading::Now).await?;
        }
        Ok(rows)
    }

    /// How many rows there are, all of them equal; an error if they are not.
    pub(crate) async fn compare(&self) -> Result<u64> {
        let mut rows = 0;
        for spec in &self.collections {
            let comparison = Comparison::new(&self.source, &self.target, spec.name());
            let report = comparison.equal_within(EQUAL_WITHIN).await?;
            println!("  {}: {report}", spec.name());
            rows += report.target_rows;
        }
        Ok(rows)
    }

    /// Where everything is, for somebody who wants to go on by hand.
    pub(crate) fn print_addresses(&self) {
        println!("\n== Everything keeps running. Ctrl-C ends it");
        println!("  source Milvus  {}", self.pair.source.address());
        println!("  target Milvus  {} (a replica: refuses ordinary writes)", self.target.address());
        println!("  source queue   {}", self.pair.queue.address());
        println!("  source etcd    {}", self.pair.source_etcd.endpoint());
        println!("  milvus-cdc     http://{}/cdc", self.service.address());
        println!("  metrics        http://{}/cdc/metrics", self.service.address());
        println!("  its log        {}", self.service.log_file().display());
        let program = self.service.program().display();
        println!(
            "  watch the task {program} task watch {} --server http://{}",
            self.task,
            self.service.address()
        );
    }

    /// Stops milvus-cdc, then the servers.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.service.stop()?;
        self.pair.servers().into_iter().try_for_each(Server::kill)?;
        Ok(())
    }
}

fn collections() -> Vec<CollectionSpec> {
    vec![
        CollectionSpec::every_type("every_type", FieldKind::FloatVector(32)),
        CollectionSpec::new("text_keys")
            .varchar_key("id", 64)
            .field("vector", FieldKind::FloatVector(64))
            .shards(2),
    ]
}
