//! Writers that go on throughout a fault, and the judgement after it. Never judges while they
//! write.

use std::time::Duration;

use testkit::milvus::{CollectionSpec, FieldKind, Milvus};
use testkit::wait;
use testkit::workload::{Running, Stats, Workload};

use super::bench::{Bench, equal, gone};

/// A server that was away, or a milvus-cdc that was, may keep the writers waiting for so long.
const WRITES_WITHIN: Duration = Duration::from_secs(120);

/// Writers of two collections.
pub(crate) struct Load {
    source: Milvus,
    target: Milvus,
    collections: Vec<CollectionSpec>,
    running: Running,
}

impl Load {
    /// Creates the collections in the database of `source` and begins to insert, upsert and delete.
    pub(crate) async fn start(source: &Milvus, target: &Milvus, name: &str, seed: u64) -> Self {
        let collections = vec![
            CollectionSpec::small(&format!("{name}_int"), 16).shards(2),
            CollectionSpec::new(&format!("{name}_text"))
                .varchar_key("id", 64)
                .field("vector", FieldKind::FloatVector(16))
                .shards(2),
        ];
        for spec in &collections {
            source.create_ready(spec).await.unwrap();
            source.create_partition(spec.name(), "second").await.unwrap();
            source.load(spec.name()).await.unwrap();
        }
        let workload = Workload {
            partitions: vec!["_default".to_owned(), "second".to_owned()],
            rows_per_second: 300,
            ..Workload::mixed(collections.clone(), seed)
        };
        let running = workload.start(source).unwrap();
        Self { source: source.clone(), target: target.clone(), collections, running }
    }

    /// The same in the default database of a bench.
    pub(crate) async fn on(bench: &Bench, name: &str, seed: u64) -> Self {
        Self::start(&bench.source, &bench.target, name, seed).await
    }

    /// Waits until the source has acknowledged so many more rows and keys.
    pub(crate) async fn write(&self, more: u64) {
        let enough = self.running.stats().acknowledged() + more;
        wait::until(format!("{more} more writes"), WRITES_WITHIN, || async {
            let stats = self.running.stats();
            anyhow::ensure!(stats.acknowledged() >= enough, "{stats:?}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    }

    /// Ends writing, waits until both sides are equal, and drops the collections.
    pub(crate) async fn judge(self) -> Stats {
        let stats = self.running.stop().await.unwrap();
        let (inserted, upserted, deleted) = (stats.inserted, stats.upserted, stats.deleted);
        println!("written: {inserted} inserts, {upserted} upserts, {deleted} deletes");
        for spec in &self.collections {
            let report = Box::pin(equal(&self.source, &self.target, spec.name())).await;
            println!("{}: {report}", spec.name());
            assert!(report.target_rows > 0);
        }
        for spec in &self.collections {
            self.source.drop_collection(spec.name()).await.unwrap();
            gone(&self.target, spec.name()).await;
        }
        stats
    }
}
