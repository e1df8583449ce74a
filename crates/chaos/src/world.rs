//! The servers of a run, with a network that can fail between them and milvus-cdc. Source and
//! target have a queue each, so that either log can be read at the end. Never decides which fault
//! comes.

use crate::plan::{Part, Setting};
use anyhow::{Context as _, Result, bail};
use lab::{Etcd, EtcdOptions, Kafka, KafkaOptions, Listener, MilvusOptions, READY_WITHIN, Server};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::milvus::Milvus;
use testkit::process::built_program;
use testkit::relay::Relay;
use testkit::service::{Api, Service, ServiceConfig};
use testkit::stores::Store;
use testkit::wait;
use tokio::task::block_in_place;

/// Databases of a run with two tasks; with one task the second is a database like any other.
pub(crate) const DATABASES: [&str; 2] = ["default", "second"];

/// More than the shards of all collections that live at a time. A Milvus up to 2.3.18 loses rows at
/// its own restarts where two shards share a channel (milvus-io/milvus#34255), and that is not what
/// is looked for here.
pub(crate) const CHANNELS: u16 = 24;

/// The prefix of the source's topics, and of the target's.
pub(crate) const SOURCE: &str = "src";
pub(crate) const TARGET: &str = "dst";

/// The listener of the source's queue behind the proxy.
const FAR: &str = "FAR";

const SHORT_TIMES: &str = "target: {settleTime: 2s, laneWaitMax: 2s}\nretry: {maxBackOff: 2}\n";

/// A store that is away may keep milvus-cdc from starting; who runs it starts it again.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// All servers. Dropped, they are killed.
pub(crate) struct World {
    pub(crate) source: lab::Milvus,
    pub(crate) target: lab::Milvus,
    pub(crate) queue: Kafka,
    pub(crate) target_queue: Kafka,
    pub(crate) source_etcd: Etcd,
    pub(crate) target_etcd: Etcd,
    pub(crate) store: Store,
    /// The first one, and the standby if there is one.
    pub(crate) services: Vec<Service>,
    pub(crate) to_target: Relay,
    pub(crate) to_queue: Relay,
    pub(crate) to_etcd: Relay,
    pub(crate) tasks: Vec<String>,
    /// Clients of both sides, which no network fault befalls.
    pub(crate) at_source: Milvus,
    pub(crate) at_target: Milvus,
}

impl World {
    /// Starts them all below a folder and begins the tasks.
    pub(crate) async fn start(folder: &Path, setting: &Setting) -> Result<Self> {
        let (to_target, to_queue, to_etcd) =
            (Relay::listen().await?, Relay::listen().await?, Relay::listen().await?);
        let installed = block_in_place(lab::install_servers)?;
        let etcd = |name: &str| Etcd::start(&folder.join(name), EtcdOptions::default());
        let (mut source_etcd, mut target_etcd) = (etcd("source-etcd")?, etcd("target-etcd")?);
        let far = Listener { advertised: Some(to_queue.port()), ..Listener::new(FAR, "PLAINTEXT") };
        let options = KafkaOptions { listeners: vec![far], ..KafkaOptions::default() };
        let mut queue = Kafka::start(&installed, &folder.join("source-kafka"), options)?;
        let mut target_queue =
            Kafka::start(&installed, &folder.join("target-kafka"), KafkaOptions::default())?;
        let store = block_in_place(|| Store::start(setting.store, &folder.join("store")))?;
        for server in [&mut source_etcd as &mut dyn Server, &mut target_etcd, &mut queue] {
            block_in_place(|| server.wait_ready(READY_WITHIN))?;
        }
        block_in_place(|| target_queue.wait_ready(READY_WITHIN))?;
        let milvus = |name: &str, etcd: &Etcd, kafka: &Kafka, tt_msg_enabled| {
            let queue = lab::Queue::Kafka(kafka.broker());
            let options = MilvusOptions {
                dml_channels: CHANNELS,
                tt_msg_enabled,
                ..MilvusOptions::new(name, etcd.client(), queue)
            };
            lab::Milvus::start(&installed, &folder.join(name), options)
        };
        let mut source = milvus(SOURCE, &source_etcd, &queue, true)?;
        let mut target = milvus(TARGET, &target_etcd, &target_queue, false)?;
        block_in_place(|| source.wait_ready(READY_WITHIN))?;
        block_in_place(|| target.wait_ready(READY_WITHIN))?;
        to_target.lead_to(&target.address())?;
        to_queue.lead_to(&queue.listener(FAR).context("no further listener")?)?;
        to_etcd.lead_to(&source_etcd.endpoint())?;
        let at_source = Milvus::at(&source.address())?;
        let at_target = Milvus::at(&target.address())?;
        let mut world = Self {
            source,
            target,
            queue,
            target_queue,
            source_etcd,
            target_etcd,
            store,
            services: vec![],
            to_target,
            to_queue,
            to_etcd,
            tasks: vec![],
            at_source,
            at_target,
        };
        world.begin(folder, setting).await?;
        Ok(world)
    }

    async fn begin(&mut self, folder: &Path, setting: &Setting) -> Result<()> {
        self.at_source.create_database(DATABASES[1]).await?;
        let names: &[&str] = if setting.standby { &["first", "standby"] } else { &["first"] };
        for name in names {
            let program = that_survives_a_full_disk(folder)?;
            let more = if setting.short_times { SHORT_TIMES } else { "" };
            let config = ServiceConfig {
                environment: self.store.config(&folder.join(name)).environment,
                more: more.to_owned(),
                ..ServiceConfig::new(&self.to_etcd.address(), SOURCE, &self.to_queue.address())
            };
            self.services.push(Service::start_program(program, config).await?);
        }
        let all = [json!({"name": "*"})];
        let selections = if setting.two_tasks {
            DATABASES.map(|database| json!({"db_collections": {database: all}})).to_vec()
        } else {
            vec![json!({"db_collections": {"*": all}})]
        };
        for selection in selections {
            let task = self.api().create_task(&self.to_target.address(), selection).await?;
            self.api().wait_begun(&task, READY_WITHIN).await?;
            self.tasks.push(task);
        }
        Ok(())
    }

    /// The API of the first milvus-cdc.
    pub(crate) fn api(&self) -> &Api {
        self.services[0].api()
    }

    /// The milvus-cdc that a part stands for, if it does.
    pub(crate) fn service(&mut self, part: Part) -> Option<&mut Service> {
        match part {
            Part::Service => self.services.first_mut(),
            Part::Standby => self.services.get_mut(1),
            _ => None,
        }
    }

    /// The server that a part stands for, if it does.
    pub(crate) fn server(&mut self, part: Part) -> Option<&mut dyn Server> {
        Some(match part {
            Part::Source => &mut self.source,
            Part::Queue => &mut self.queue,
            Part::SourceEtcd => &mut self.source_etcd,
            Part::Target => &mut self.target,
            Part::TargetQueue => &mut self.target_queue,
            Part::TargetEtcd => &mut self.target_etcd,
            Part::Store => match &mut self.store {
                Store::Sqlite(_) => return None,
                Store::Etcd(etcd) => etcd,
                Store::Mysql(mariadb) => mariadb,
            },
            Part::Service | Part::Standby | Part::Task => return None,
        })
    }

    /// The network between milvus-cdc and a part, if one is there.
    pub(crate) fn relay(&self, part: Part) -> Option<&Relay> {
        match part {
            Part::Target => Some(&self.to_target),
            Part::Queue => Some(&self.to_queue),
            Part::SourceEtcd => Some(&self.to_etcd),
            _ => None,
        }
    }

    /// Starts every server that has ended, those that others need first. Returns which had ended.
    pub(crate) fn mend(&mut self) -> Result<Vec<Part>> {
        let needed_first = [
            Part::SourceEtcd,
            Part::TargetEtcd,
            Part::Store,
            Part::Queue,
            Part::TargetQueue,
            Part::Source,
            Part::Target,
        ];
        let mut ended = vec![];
        for part in needed_first {
            let Some(server) = self.server(part) else { continue };
            if !server.is_running() {
                ended.push(part);
                block_in_place(|| server.bring_back())
                    .with_context(|| format!("{part} does not come back"))?;
            }
        }
        Ok(ended)
    }

    /// Starts a milvus-cdc, again and again until its store lets it. Fails if it has ended for
    /// another reason than that, which is a panic.
    pub(crate) async fn start_service(service: &mut Service) -> Result<()> {
        let begun = tokio::time::Instant::now();
        loop {
            let Err(error) = service.restart().await else { return Ok(()) };
            if begun.elapsed() > STARTS_WITHIN {
                bail!("milvus-cdc does not start within {STARTS_WITHIN:?}: {error:#}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Lanes of which the store says that a window is open on them.
    pub(crate) async fn open_windows(&self) -> Result<usize> {
        let text = match &self.store {
            Store::Sqlite(_) => self.store.dump().await?,
            // Their clients block.
            store => {
                let handle = tokio::runtime::Handle::current();
                block_in_place(|| handle.block_on(store.dump()))?
            }
        };
        let open = |value: &str| {
            let record: serde_json::Value = serde_json::from_str(value).unwrap_or_default();
            !record["open"].is_null()
        };
        let lanes = text.records.iter().filter(|record| record.key.starts_with("lane/"));
        Ok(lanes.filter(|lane| open(&lane.value)).count())
    }

    /// Waits until all tasks run, resuming those that a fault has left paused. A task that has
    /// paused itself is a finding.
    pub(crate) async fn tasks_run(&self) -> Result<()> {
        for task in &self.tasks {
            self.api().wait_state(task, "Running", STARTS_WITHIN).await?;
        }
        Ok(())
    }

    /// Copies what each milvus-cdc has in its folder, and writes down what it says of itself.
    pub(crate) async fn keep_services(&self, folder: &Path) -> Result<()> {
        for (number, service) in self.services.iter().enumerate() {
            let to = folder.join(format!("milvus-cdc-{number}"));
            std::fs::create_dir_all(&to)?;
            // It may be gone.
            let tasks = service.api().tasks().await.unwrap_or_default();
            std::fs::write(to.join("tasks.json"), serde_json::Value::from(tasks).to_string())?;
            let metrics = service.api().metrics().await.unwrap_or_default();
            std::fs::write(to.join("metrics.txt"), metrics)?;
            for entry in std::fs::read_dir(service.folder())? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    std::fs::copy(entry.path(), to.join(entry.file_name()))?;
                }
            }
        }
        Ok(())
    }

    /// Whether the store is a file.
    pub(crate) fn store_file(&self) -> Option<&Path> {
        match &self.store {
            Store::Sqlite(file) => Some(file),
            _ => None,
        }
    }

    /// Waits until a task is in a state, while its milvus-cdc may be away for moments.
    pub(crate) async fn until_state(&self, task: &str, state: &str) -> Result<()> {
        wait::until(format!("{task} to be {state}"), STARTS_WITHIN, || async {
            Ok((self.api().task(task).await?["state"] == state).then_some(()))
        })
        .await
    }
}

/// The binary behind a script: a file that can't grow is an error, not a signal, as on a disk that
/// is full; and its log, which goes through a pipe, is not concerned.
fn that_survives_a_full_disk(folder: &Path) -> Result<PathBuf> {
    let program = built_program("milvus-cdc", "TESTKIT_SERVICE_BIN")?.canonicalize()?;
    let script = folder.join("milvus-cdc");
    let text = format!(
        "#!/bin/bash\ntrap '' XFSZ\nexec '{}' \"$@\" > >(exec cat) 2>&1\n",
        program.display()
    );
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(script)
}
