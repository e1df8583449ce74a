//! Creates, fills and drops collections, some alive at a time, each equal on the target before its
//! drop. Never reuses a name unless told to.

use crate::compare::Comparison;
use crate::milvus::{Batch, CollectionSpec, Milvus};
use crate::rows::{RowGenerator, RowId};
use crate::wait;
use anyhow::{Context, Result, ensure};
use futures::stream::{StreamExt, TryStreamExt};
use std::time::Duration;
use tokio::time::Instant;

/// Collections that come and go.
#[derive(Clone, Debug)]
pub struct Churn {
    /// What each is like; its name is extended by a number.
    pub spec: CollectionSpec,
    /// How many in all.
    pub collections: usize,
    /// How many at a time.
    pub alive: usize,
    /// Rows of each.
    pub rows: u64,
    /// How soon each must be equal on the target, and gone there after its drop unless its name is
    /// used again.
    pub within: Duration,
    /// Whether the names of dropped ones are used again at once.
    pub same_names: bool,
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChurnStats {
    /// Collections that were equal and then dropped.
    pub collections: usize,
    /// The longest from the last acknowledged row to equality.
    pub slowest_equal: Duration,
    /// The longest from a drop on the source to that on the target; none where names are used
    /// again, for then there is a namesake at once.
    pub slowest_drop: Option<Duration>,
}

impl Churn {
    /// Lets them come and go.
    ///
    /// # Errors
    /// If one does not become equal or does not go, or the source refuses something.
    pub async fn run(&self, source: &Milvus, target: &Milvus) -> Result<ChurnStats> {
        let all = futures::stream::iter(0..self.collections)
            .map(|at| async move { self.one(at, source, target).await })
            .buffer_unordered(self.alive.max(1));
        all.try_fold(ChurnStats::default(), |stats, (equal, dropped)| async move {
            Ok(ChurnStats {
                collections: stats.collections + 1,
                slowest_equal: stats.slowest_equal.max(equal),
                slowest_drop: stats.slowest_drop.max(dropped),
            })
        })
        .await
    }

    async fn one(
        &self,
        at: usize,
        source: &Milvus,
        target: &Milvus,
    ) -> Result<(Duration, Option<Duration>)> {
        // There are as many names as collections are alive at a time.
        let number = if self.same_names { at % self.alive.max(1) } else { at };
        let name = format!("{}_{number}", self.spec.name());
        if self.same_names {
            // The previous collection of this name may still be alive.
            wait::until(format!("the turn of {name}"), self.within, || async {
                Ok((!source.collections().await?.contains(&name)).then_some(()))
            })
            .await?;
        }
        let spec = self.spec.clone().named(&name);
        source.create_ready(&spec).await.with_context(|| format!("create {name}"))?;
        let generator = RowGenerator::new(&spec.schema, at as u64)?;
        let ids: Vec<RowId> = (0..self.rows).map(|key| RowId { key, version: 0 }).collect();
        for rows in ids.chunks(1000) {
            let columns = generator.columns(rows);
            let rows = rows.len() as u32;
            let batch = Batch { collection: name.clone(), partition: String::new(), columns, rows };
            source.insert(batch).await.with_context(|| format!("fill {name}"))?;
        }
        let filled = Instant::now();
        let report = Comparison::new(source, target, &name).equal_within(self.within).await?;
        ensure!(report.source_rows == self.rows, "{name} on the source: {report}");
        let equal = filled.elapsed();
        source.drop_collection(&name).await.with_context(|| format!("drop {name}"))?;
        let dropped = Instant::now();
        if self.same_names {
            return Ok((equal, None));
        }
        wait::until(format!("{name} to be gone on the target"), self.within, || async {
            Ok((!target.collections().await?.contains(&name)).then_some(()))
        })
        .await?;
        Ok((equal, Some(dropped.elapsed())))
    }
}
