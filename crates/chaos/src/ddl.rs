//! Collections, partitions and databases that come and go, and collections that are renamed, with
//! rows in between. Never has more than a few collections at a time, and never minds a refusal: a
//! source that was away may have done what it did not acknowledge.

use crate::journal::{Deed, Journal};
use crate::world::DATABASES;
use crate::writer::Writer;
use anyhow::{Context as _, Result};
use std::time::Duration;
use testkit::milvus::{CollectionSpec, Milvus};
use testkit::rows::Random;
use tokio::sync::watch;

/// Collections at a time.
const ALIVE: usize = 3;

/// From one change to the next one, in milliseconds.
const BEAT: [u64; 2] = [500, 5000];

/// A source that is away must not keep it for longer.
const CALL_WITHIN: Duration = Duration::from_secs(20);

/// Whoever changes the collections of a source.
pub(crate) struct Ddl {
    source: Milvus,
    journal: Journal,
    random: Random,
    /// Databases come and go only if a task selects all of them.
    with_databases: bool,
    collections: Vec<Coming>,
    made: u64,
}

/// A collection that will go.
struct Coming {
    source: Milvus,
    /// If it has a database of its own, that.
    database: Option<String>,
    name: String,
    writer: Writer,
    partitions: Vec<String>,
}

impl Ddl {
    /// Changes nothing yet.
    pub(crate) fn new(
        source: &Milvus,
        journal: &Journal,
        random: Random,
        with_databases: bool,
    ) -> Self {
        let source = source.patient_for(CALL_WITHIN);
        let journal = journal.clone();
        Self { source, journal, random, with_databases, collections: vec![], made: 0 }
    }

    /// Changes until it is told to stop.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow_and_update() {
            if let Err(error) = self.change().await {
                println!("{:9.1} s  ddl: {error:#}", self.journal.now().as_secs_f64());
            }
            let beat = BEAT[0] + self.random.below(BEAT[1] - BEAT[0]);
            let _ = tokio::time::timeout(
                Duration::from_millis(beat),
                stopped.wait_for(|stopped| *stopped),
            )
            .await;
        }
    }

    async fn change(&mut self) -> Result<()> {
        let many = self.collections.len();
        if many == 0 || (many < ALIVE && self.random.below(3) == 0) {
            return self.create(None).await;
        }
        let at = self.random.below(many as u64) as usize;
        match self.random.below(10) {
            0 => self.drop(at).await.map(drop),
            1 => {
                let name = self.drop(at).await?;
                self.create(Some(name)).await
            }
            2 | 3 => self.rename(at).await,
            4 | 5 => self.create_partition(at).await,
            6 => self.drop_partition(at).await,
            7 => {
                let it = &self.collections[at];
                it.source.flush(&it.name).await.context("flush")
            }
            _ => {
                for _ in 0..4 {
                    let it = &mut self.collections[at];
                    it.writer.write(&mut self.random).await;
                }
                Ok(())
            }
        }
    }

    /// Under a name that was used before, or a new one.
    async fn create(&mut self, name: Option<String>) -> Result<()> {
        self.made += 1;
        let made = self.made;
        let name = name.unwrap_or_else(|| format!("coming_{made}"));
        let own = self.with_databases && self.random.below(4) == 0;
        let database = own.then(|| format!("coming_{made}"));
        let source = match &database {
            Some(database) => {
                self.source.create_database(database).await.context("create a database")?;
                self.source.database(database)
            }
            None => self.source.database(DATABASES[self.random.below(2) as usize]),
        };
        let spec = CollectionSpec::small(&name, 8);
        let seed = self.random.word();
        let mut writer = Writer::begin(&source, &spec, &self.journal, seed)
            .await
            .with_context(|| format!("create {name}"))?;
        writer.write(&mut self.random).await;
        let partitions = vec![];
        self.collections.push(Coming { source, database, name, writer, partitions });
        Ok(())
    }

    /// Returns its name. Whether or not the source did it, it is not touched again.
    async fn drop(&mut self, at: usize) -> Result<String> {
        let it = self.collections.swap_remove(at);
        it.source.drop_collection(&it.name).await.with_context(|| format!("drop {}", it.name))?;
        if let Some(database) = &it.database {
            self.source.drop_database(database).await.context("drop a database")?;
        }
        Ok(it.name)
    }

    async fn rename(&mut self, at: usize) -> Result<()> {
        self.made += 1;
        let to = format!("renamed_{}", self.made);
        // If it is not acknowledged, nobody knows its name.
        let mut it = self.collections.swap_remove(at);
        it.source.rename(&it.name, &to).await.with_context(|| format!("rename {}", it.name))?;
        it.writer.renamed(&to);
        it.name = to;
        it.writer.write(&mut self.random).await;
        self.collections.push(it);
        Ok(())
    }

    /// With rows in it.
    async fn create_partition(&mut self, at: usize) -> Result<()> {
        self.made += 1;
        let it = &mut self.collections[at];
        let partition = format!("part_{}", self.made);
        it.source.create_partition(&it.name, &partition).await.context("create a partition")?;
        it.source.load(&it.name).await.context("load")?;
        let first = 1_000_000 * self.made;
        let rows = 1 + self.random.below(60);
        it.writer.call(Deed::Insert, &partition, (first..first + rows).collect()).await;
        it.partitions.push(partition);
        Ok(())
    }

    async fn drop_partition(&mut self, at: usize) -> Result<()> {
        let it = &mut self.collections[at];
        let Some(partition) = it.partitions.pop() else { return Ok(()) };
        // A loaded one is not dropped.
        it.source.release(&it.name).await.context("release")?;
        it.source.drop_partition(&it.name, &partition).await.context("drop a partition")?;
        it.source.load(&it.name).await.context("load")
    }
}
