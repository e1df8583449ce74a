//! The bench of a test: the pair of servers, which no other test uses meanwhile, and a milvus-cdc
//! of its own. Never leaves a server dead or frozen to the next test.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use lab::{BrokerOptions, Pair, PairOptions, PulsarOptions, READY_WITHIN};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::compare::{Comparison, Metadata, RowReport, metadata_differences};
use testkit::milvus::{Batch, CollectionSpec, Key, Milvus};
use testkit::rows::{RowGenerator, RowId};
use testkit::run_folder::run_folder;
use testkit::service::{Service, ServiceConfig};
use testkit::wait;
use tokio::sync::{Mutex, MutexGuard};

/// From the last acknowledged write to equality; on a busy machine after a fault.
pub(crate) const EQUAL_WITHIN: Duration = Duration::from_secs(90);

/// Times that make a test wait for nothing; what they guard against is tested on purpose.
const SHORT_TIMES: &str = "target: {settleTime: 2s, laneWaitMax: 2s}\nretry: {maxBackOff: 2}\n";

struct Servers {
    _folder: TempDir,
    pair: Mutex<Pair>,
}

/// One test's share of the world. Dropped, its milvus-cdc is killed.
pub(crate) struct Bench {
    pub(crate) source: Milvus,
    pub(crate) target: Milvus,
    pub(crate) service: Service,
    pub(crate) pair: MutexGuard<'static, Pair>,
    tasks: Vec<String>,
    /// Whether the servers are its own.
    alone: bool,
}

impl Bench {
    /// Waits for its turn, mends what an earlier test broke, and starts a milvus-cdc.
    pub(crate) async fn new() -> Self {
        Self::with(servers().pair.lock().await, false).await
    }

    /// With servers of its own, which it stops at its end: of another kind, or for what they cannot
    /// be mended from.
    pub(crate) async fn of(options: PairOptions) -> Self {
        // Until the end of the process: a test has no better place to keep them.
        let servers: &'static Servers = Box::leak(Box::new(start(options)));
        Self::with(servers.pair.lock().await, true).await
    }

    async fn with(mut pair: MutexGuard<'static, Pair>, alone: bool) -> Self {
        for server in pair.servers() {
            if server.is_running() {
                server.thaw().unwrap();
            } else {
                server.restart().unwrap();
            }
        }
        for server in pair.servers() {
            server.wait_ready(READY_WITHIN).unwrap();
        }
        let more = SHORT_TIMES.to_owned();
        let config = ServiceConfig { more, ..ServiceConfig::of_pair(&pair) };
        let service = Service::start(config).await.unwrap();
        let source = Milvus::at(&pair.source.address()).unwrap();
        let target = Milvus::at(&pair.target.address()).unwrap();
        Self { source, target, service, pair, tasks: vec![], alone }
    }

    /// Creates a task from what differs in its request, and waits until it has begun.
    pub(crate) async fn task(&mut self, request: Value) -> String {
        let target = self.pair.target.address();
        let task = self.service.api().create_task(&target, request).await.unwrap();
        self.tasks.push(task.clone());
        self.service.api().wait_begun(&task, READY_WITHIN).await.unwrap();
        task
    }

    /// Creates a task from its whole request, and waits until it has begun.
    pub(crate) async fn task_as(&mut self, request: Value) -> String {
        let created = self.service.api().request("create", request).await.unwrap();
        let task = created["task_id"].as_str().unwrap().to_owned();
        self.tasks.push(task.clone());
        self.service.api().wait_begun(&task, READY_WITHIN).await.unwrap();
        task
    }

    /// A task that the test has deleted.
    pub(crate) fn forget(&mut self, task: &str) {
        self.tasks.retain(|known| known != task);
    }

    /// Creates a task that cannot go on, and returns it as it is shown then.
    pub(crate) async fn task_that_pauses(&mut self, request: Value) -> Value {
        let target = self.pair.target.address();
        let task = self.service.api().create_task(&target, request).await.unwrap();
        self.tasks.push(task.clone());
        wait::until(format!("task {task} to be paused"), READY_WITHIN, || async {
            let seen = self.service.api().task(&task).await?;
            Ok((seen["state"] == "Paused").then_some(seen))
        })
        .await
        .unwrap()
    }

    /// Creates a task for everything.
    pub(crate) async fn task_for_all(&mut self) -> String {
        self.task(json!({"db_collections": {"*": [{"name": "*"}]}})).await
    }

    /// Waits until both sides have the same rows and say the same about a collection.
    pub(crate) async fn equal(&self, collection: &str) -> RowReport {
        self.while_running(Box::pin(equal(&self.source, &self.target, collection))).await
    }

    /// Waits until both sides say the same about a collection.
    pub(crate) async fn same_metadata(&self, collection: &str) {
        self.while_running(Box::pin(same_metadata(&self.source, &self.target, collection))).await;
    }

    /// Waits until a collection is gone on the target.
    pub(crate) async fn gone(&self, collection: &str) {
        self.while_running(Box::pin(gone(&self.target, collection))).await;
    }

    /// Waits for something that only running tasks bring about.
    pub(crate) async fn while_running<T>(&self, awaited: impl Future<Output = T>) -> T {
        tokio::select! {
            done = awaited => done,
            stopped = self.stopped_task() => panic!("a task has stopped: {stopped}"),
        }
    }

    async fn stopped_task(&self) -> Value {
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        loop {
            beat.tick().await;
            let tasks = self.service.api().tasks().await.unwrap_or_default();
            if let Some(stopped) = tasks.into_iter().find(|task| task["state"] != "Running") {
                return stopped;
            }
        }
    }

    /// Ends the tasks and milvus-cdc as a user would, which leaves no lane open on the target.
    pub(crate) async fn finish(mut self) {
        for task in &self.tasks {
            self.service.api().delete(task).await.unwrap();
        }
        self.service.must_run().unwrap();
        self.service.stop().unwrap();
        if self.alone {
            self.pair.stop().unwrap();
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.service.log_file()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the end of milvus-cdc's log");
            lines[lines.len().saturating_sub(60)..].iter().for_each(|line| eprintln!("{line}"));
            eprintln!("--- how far it was");
            let metrics = metrics_now(&self.service.address()).unwrap_or_else(|e| e.to_string());
            let telling = ["milvus_cdc_lag", "milvus_cdc_replicate_tt", "milvus_cdc_task_waiting"];
            let told = metrics.lines().filter(|l| telling.iter().any(|name| l.starts_with(name)));
            if !metrics.starts_with("HTTP/1.0 200") {
                eprintln!("{metrics}");
            }
            told.for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Its metrics, asked for where nothing can be awaited.
fn metrics_now(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /cdc/metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| start(PairOptions::default()))
}

fn start(options: PairOptions) -> Servers {
    let installed = lab::install_servers().unwrap();
    let folder = run_folder().unwrap();
    let options = PairOptions { queue: queue(), ..options };
    let pair = Pair::start(&installed, folder.path(), &options).unwrap();
    Servers { _folder: folder, pair: Mutex::new(pair) }
}

/// Whether this is the program with the source on Pulsar, else on Kafka.
pub(crate) fn is_on_pulsar() -> bool {
    env!("CARGO_CRATE_NAME") == "replication_on_pulsar"
}

fn queue() -> BrokerOptions {
    if is_on_pulsar() {
        BrokerOptions::Pulsar(PulsarOptions::default())
    } else {
        BrokerOptions::default()
    }
}

/// Waits until a collection is the same on both sides: rows, counts and metadata.
pub(crate) async fn equal(source: &Milvus, target: &Milvus, collection: &str) -> RowReport {
    same_metadata(source, target, collection).await;
    let compared = Comparison::new(source, target, collection);
    let report = compared.equal_within(EQUAL_WITHIN).await.unwrap();
    same_metadata(source, target, collection).await;
    report
}

/// Waits until both sides say the same about a collection.
pub(crate) async fn same_metadata(source: &Milvus, target: &Milvus, collection: &str) {
    wait::until(format!("{collection} to be the same on both sides"), EQUAL_WITHIN, || async {
        let here = Metadata::read(source, collection).await?;
        let there = Metadata::read(target, collection).await?;
        let differences = metadata_differences(&here, &there);
        anyhow::ensure!(differences.is_empty(), "{differences:#?}");
        anyhow::ensure!(here.created == there.created, "another collection of this name");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// Waits until a collection is gone.
pub(crate) async fn gone(milvus: &Milvus, collection: &str) {
    wait::until(format!("{collection} to be gone"), EQUAL_WITHIN, || async {
        let there = milvus.collections().await?.iter().any(|name| name == collection);
        Ok((!there).then_some(()))
    })
    .await
    .unwrap();
}

/// Rows of a version for some keys.
pub(crate) fn batch(
    spec: &CollectionSpec,
    partition: &str,
    keys: std::ops::Range<u64>,
    version: u64,
) -> Batch {
    let rows: Vec<RowId> = keys.map(|key| RowId { key, version }).collect();
    RowGenerator::new(&spec.schema, 1).unwrap().batch(spec.name(), partition, &rows)
}

/// The primary keys that [`batch`] gives to some keys.
pub(crate) fn keys(spec: &CollectionSpec, keys: std::ops::Range<u64>) -> Vec<Key> {
    let generator = RowGenerator::new(&spec.schema, 1).unwrap();
    keys.map(|key| generator.key(key)).collect()
}
