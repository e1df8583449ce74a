//! `milvus-cdc import`: takes over the tasks of a Go Milvus-CDC from its store.
//! Never changes a record of that tool, and stores no task with `--dry-run`.

use super::outcome::Outcome;
use super::output::{self, OutputFormat};
use crate::config::{self, Config, Loaded};
use crate::takeover::{self, Fate, Importer, TaskPlan};
use crate::tasks::Book;
use crate::{compose, logging};
use clap::{Args, ValueEnum};
use connectors::go_records::GoRecords;
use replication::error::{Error, Result};
use std::path::PathBuf;

/// Import the tasks of a Go Milvus-CDC from its store.
///
/// Stop the Go tool first. Its records are read from the store in `metaStoreConfig` and not
/// changed. The tasks are stored in the store of the configuration, in the state they had. Each
/// continues at the positions that the Go tool saved, and rows that are on the target already are
/// replaced, not doubled. A task that is stored already is not changed, so this can be repeated.
///
/// Exit codes: 0 all tasks are imported, now or before, 1 one was refused or nothing could be read.
#[derive(Args, Debug)]
pub(super) struct Import {
    /// The configuration file, as for `serve`.
    #[arg(long, env = "MILVUS_CDC_CONFIG")]
    config: Option<PathBuf>,
    /// Where the Go tool keeps its records; by default `metaStoreConfig.storeType`.
    #[arg(long, value_enum)]
    from: Option<From>,
    /// Only show what would happen.
    #[arg(long)]
    dry_run: bool,
    /// The form of the output.
    #[arg(long, value_enum, default_value = "table")]
    output: OutputFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum From {
    /// `metaStoreConfig.etcd`, below `metaStoreConfig.rootPath`.
    Etcd,
    /// `metaStoreConfig.mysqlSourceUrl`, below `metaStoreConfig.rootPath`.
    Mysql,
}

impl Import {
    pub(super) fn run(self) -> Outcome {
        let Loaded { config, faults, .. } =
            config::load(self.config.as_deref(), config::environment());
        faults.warnings.iter().for_each(|w| eprintln!("warning: {w}"));
        faults.errors.iter().for_each(|e| eprintln!("error: {e}"));
        let Some(config) = config else { return Outcome::Refused };
        logging::start(&config.log);
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("no threads to run on: {error}");
                return Outcome::Refused;
            }
        };
        match runtime.block_on(self.import(&config)) {
            Ok(plans) => self.show(&plans),
            Err(error) => {
                eprintln!("{}", output::with_causes(&error));
                Outcome::Refused
            }
        }
    }

    async fn import(&self, config: &Config) -> Result<Vec<TaskPlan>> {
        let records = self.records(config).await?;
        if records.tasks.is_empty() {
            return Err(Error::permanent(
                "there are no tasks of a Go tool; check metaStoreConfig.rootPath",
            ));
        }
        let world = compose::world(config).await?;
        let store = match self.dry_run {
            true => compose::copy_in_memory(&*world.store).await?,
            false => world.store.clone(),
        };
        let importer = Importer {
            book: &Book::new(store),
            source: &*world.source,
            catalog: &*world.catalog,
            op_channel: &config.source.op_channel,
            tasks_max: config.max_task_num,
        };
        importer.import(&takeover::read(&records)).await
    }

    async fn records(&self, config: &Config) -> Result<GoRecords> {
        let in_use = match &config.store {
            config::StoreConfig::Etcd(_) => Some(From::Etcd),
            config::StoreConfig::Mysql(_) => Some(From::Mysql),
            _ => None,
        };
        let missing = |key: &str| {
            Err(Error::permanent(format!(
                "{key} is missing: it says where the Go tool's records are"
            )))
        };
        match self.from.or(in_use) {
            Some(From::Etcd) => match &config.shared.etcd {
                Some(etcd) => compose::go_records_in_etcd(etcd).await,
                None => missing("metaStoreConfig.etcd.address"),
            },
            Some(From::Mysql) => match &config.shared.mysql {
                Some(mysql) => connectors::go_records::from_mysql(mysql.clone()).await,
                None => missing("metaStoreConfig.mysqlSourceUrl"),
            },
            None => Err(Error::permanent("say with --from where the Go tool's records are")),
        }
    }

    fn show(&self, plans: &[TaskPlan]) -> Outcome {
        match self.output {
            OutputFormat::Json => {
                println!("{}", serde_json::json!({ "dry_run": self.dry_run, "tasks": plans }));
            }
            OutputFormat::Table => plans.iter().for_each(|plan| print!("{}", self.text(plan))),
        }
        let of = |fate| plans.iter().filter(|plan| plan.fate == fate).count();
        let (imported, exist, refused) = (of(Fate::Imported), of(Fate::Exists), of(Fate::Refused));
        let would = if self.dry_run { "would be " } else { "" };
        eprintln!("{would}imported: {imported}; there already: {exist}; refused: {refused}");
        if refused == 0 { Outcome::Done } else { Outcome::Refused }
    }

    fn text(&self, plan: &TaskPlan) -> String {
        let fate = match plan.fate {
            Fate::Imported if self.dry_run => "would be imported".to_owned(),
            Fate::Imported => "imported".to_owned(),
            Fate::Exists => "is there already, left as it is".to_owned(),
            Fate::Refused => format!("refused: {}", plan.reason),
        };
        let mut text = format!("task {}: {fate}\n", plan.task_id);
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("  {name:<12} {value}\n"));
            }
        };
        line("state", &plan.state);
        line("target", &plan.target);
        line("selects", &plan.selection.join(" "));
        if plan.fate == Fate::Imported {
            for collection in &plan.collections {
                for (channel, from) in &collection.channels {
                    line("continues", &format!("{} on {channel} from {from}", collection.name));
                }
            }
            line("op channel", &plan.op_channel);
            line("fence", &format!("up to {} ms", plan.fence_ms));
        }
        plan.notes.iter().for_each(|note| line("note", note));
        text
    }
}
