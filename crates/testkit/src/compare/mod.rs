//! Decides whether a target equals its source: row by row, count for count, and in the metadata of
//! collections. Never trusts a side to be quiet: it looks again before it says that two sides are
//! equal.
//!
//! [`Comparison`] is the judge, `table` reads a side, `report` says what differs, `doubled` finds
//! keys that occur more than once, `metadata` compares what is not rows.

mod doubled;
mod metadata;
mod report;
mod table;

pub use metadata::{Metadata, metadata_differences};
pub use report::{Difference, RowReport};
pub use table::{Partition, Table};

use crate::milvus::{Milvus, Query, Reading};
use crate::rows::Columns;
use anyhow::{Result, anyhow, bail, ensure};
use std::future::Future;
use std::panic::Location;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks at a target that is not equal yet.
const LOOK_PAUSE: Duration = Duration::from_millis(300);

/// How long one look at a target may wait for its ticks.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// A collection of a source and what is to be its equal on a target. Nothing may be writing to the
/// source while they are compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    source: Milvus,
    target: Milvus,
    source_name: String,
    target_name: String,
    target_reading: Option<Reading>,
}

impl Comparison {
    /// The same name on both sides.
    pub fn new(source: &Milvus, target: &Milvus, collection: &str) -> Self {
        Self {
            source: source.clone(),
            target: target.patient_for(LOOK_WITHIN),
            source_name: collection.to_owned(),
            target_name: collection.to_owned(),
            target_reading: None,
        }
    }

    /// The collection is called so on the target.
    #[must_use]
    pub fn target_named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.target_name);
        self
    }

    /// Reads the target so, instead of waiting until it has all that the source has now. `Now` is
    /// for a target that nobody ticks.
    #[must_use]
    pub fn target_reading(mut self, reading: Reading) -> Self {
        self.target_reading = Some(reading);
        self
    }

    /// Looks once at both sides.
    ///
    /// # Errors
    /// If one of them cannot be read.
    pub async fn look(&self) -> Result<RowReport> {
        let source = self.read_source().await?;
        self.look_at_target(&source).await
    }

    /// Looks until both sides are equal, then once more at both. Returns what was equal.
    ///
    /// # Errors
    /// If they are not equal at the deadline: the message says in what.
    #[track_caller]
    pub fn equal_within(&self, deadline: Duration) -> impl Future<Output = Result<RowReport>> {
        let (caller, deadline) = (Location::caller(), Instant::now() + deadline);
        async move {
            // The source is quiet, so once is enough; after a restart it may not answer at once.
            let mut source = None;
            loop {
                let unequal = match self.look_from(&mut source).await {
                    Ok(report) if report.is_equal() => match self.look().await {
                        Ok(again) if again.is_equal() => return Ok(again),
                        Ok(again) => bail!("equal for a moment only (at {caller}): {again}"),
                        Err(error) => format!("equal, but not looked at again: {error:#}"),
                    },
                    Ok(report) => report.to_string(),
                    Err(error) => format!("{error:#}"),
                };
                let at = &self.target_name;
                ensure!(
                    Instant::now() + LOOK_PAUSE < deadline,
                    "{at} on the target does not become equal (awaited at {caller}): {unequal}"
                );
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        }
    }

    async fn look_from(&self, source: &mut Option<Table>) -> Result<RowReport> {
        let table = match source.take() {
            Some(table) => table,
            None => self.read_source().await?,
        };
        self.look_at_target(source.insert(table)).await
    }

    async fn read_source(&self) -> Result<Table> {
        Table::read(&self.source, &self.source_name, Reading::Strong)
            .await
            .map_err(|error| anyhow!("reading {} on the source: {error:#}", self.source_name))
    }

    async fn look_at_target(&self, source: &Table) -> Result<RowReport> {
        let reading = match self.target_reading {
            Some(reading) => reading,
            // Whatever the source has acknowledged lies below; the target's own clock would do as
            // well, but it may run ahead of the ticks it gets.
            None => Reading::AtLeast(self.source.clock().await?),
        };
        let target = Table::read(&self.target, &self.target_name, reading)
            .await
            .map_err(|error| anyhow!("reading {} on the target: {error:#}", self.target_name))?;
        let mut report = RowReport::of(source, &target);
        if report.doubled_rows > 0 {
            report.doubled = doubled::examples(&self.target, &target, reading).await?;
        }
        for difference in &mut report.differing {
            let key = difference.key.clone();
            let source = row(&self.source, source, &key, Reading::Strong).await?;
            difference.explain(&source, &row(&self.target, &target, &key, reading).await?);
        }
        Ok(report)
    }
}

/// One row again, to show in what it differs.
async fn row(
    milvus: &Milvus,
    table: &Table,
    key: &crate::milvus::Key,
    reading: Reading,
) -> Result<Columns> {
    let expression = crate::milvus::Key::any_of(&table.key_field, [key]);
    let query = Query { reading, ..Query::of(&table.collection, &expression) };
    Columns::new(milvus.query(&query).await?)
}
