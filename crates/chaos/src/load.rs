//! What is written during the faults: one writer for each lasting collection, which never ceases to
//! insert, upsert and delete, and one that creates and drops collections, partitions and databases
//! and renames. Never knows of the faults: a call that fails is written down, and the next one is
//! made.

use crate::ddl;
use crate::journal::Journal;
use crate::world::DATABASES;
use crate::writer::Writer;
use anyhow::{Context as _, Result};
use testkit::milvus::{CollectionSpec, FieldKind, Milvus};
use testkit::rows::Random;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Everything that is writing.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    writers: JoinSet<()>,
    /// All calls.
    pub(crate) journal: Journal,
}

impl Load {
    /// Creates the lasting collections and begins to write.
    pub(crate) async fn start(source: &Milvus, seed: u64, with_databases: bool) -> Result<Self> {
        let journal = Journal::begin();
        let (stop, stopped) = watch::channel(false);
        let mut writers = JoinSet::new();
        for (place, (database, spec)) in lasting().into_iter().enumerate() {
            let source = source.database(database);
            let mut random = Random::of(&[seed, 2, place as u64]);
            let writer = Writer::begin(&source, &spec, &journal, random.word()).await?;
            writers.spawn(writer.run(random, stopped.clone()));
        }
        let ddl = ddl::Ddl::new(source, &journal, Random::of(&[seed, 3]), with_databases);
        writers.spawn(ddl.run(stopped));
        Ok(Self { stop, writers, journal })
    }

    /// Ends writing and waits for the calls that are under way.
    pub(crate) async fn stop(mut self) -> Result<Journal> {
        self.stop.send_replace(true);
        while let Some(ended) = self.writers.join_next().await {
            ended.context("a writer broke off")?;
        }
        Ok(self.journal)
    }
}

/// Collections that live as long as a run, with their databases.
fn lasting() -> [(&'static str, CollectionSpec); 4] {
    let version = FieldKind::Plain(milvus_wire::proto::schema::DataType::Int64);
    let text = CollectionSpec::new("lasting_text")
        .varchar_key("id", 64)
        .field("version", version)
        .field("vector", FieldKind::FloatVector(8))
        .shards(2);
    [
        (DATABASES[0], CollectionSpec::small("lasting_int", 16).shards(2)),
        (DATABASES[0], text),
        (DATABASES[1], CollectionSpec::every_type("lasting_types", FieldKind::FloatVector(8))),
        (DATABASES[1], CollectionSpec::small("lasting_one", 8).shards(1)),
    ]
}
