//! Scripts of a target that forgets at its restarts what it has not flushed: what a seed meets too
//! rarely. Never takes real time.

use crate::faults::{Faults, Verdict};
use crate::milvus::Milvus;
use crate::schedule::{limits, task};
use crate::script::Script;
use crate::simulated_time::block_on;
use crate::store::Memory;
use crate::stranger;
use milvus_wire::ids::{CollectionName, DEFAULT_DATABASE};
use replication::context::Ports;
use replication::destination::Destination;
use replication::destination::milvus::link::Link;
use replication::observer::{Event, Noted, Observer};
use replication::run;
use replication::selection::Selector;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How often something was counted.
#[derive(Default)]
struct Told {
    read_again: AtomicU64,
    forgotten: AtomicU64,
}

impl Observer for Told {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Counted(Noted::ReadAgain, n) => self.read_again.fetch_add(n, Ordering::Relaxed),
            Event::Counted(Noted::Forgotten, n) => self.forgotten.fetch_add(n, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// A source with collections, such a target, and a task.
struct Forgetful {
    script: Script,
    milvus: Milvus,
    store: Arc<Memory>,
    verdict: Verdict,
    told: Arc<Told>,
    process: JoinSet<()>,
}

type Outcome = Result<(), String>;

/// A flush is due when the task goes back, and what it then sends again comes behind that flush. It
/// is forgotten once more, before the next one.
pub(crate) fn flushed_at_the_moment_of_going_back() -> Outcome {
    block_on(0, async {
        let world = Forgetful::begin(&[("a99", 1)]);
        world.write(5_000).await?;
        world.script.set_away(true);
        world.restart();
        world.until(|told| told.read_again.load(Ordering::Relaxed) == 1).await?;
        // That flush has ended by then, and the next one has asked for its own.
        world.wait(15_500).await;
        world.script.set_away(false);
        world.until_equal("a99").await?;
        world.restart();
        world.until(|told| told.read_again.load(Ordering::Relaxed) == 2).await?;
        world.until_equal("a99").await
    })
}

/// A collection is out of step when the target is flushed: what is flushed under its name is not
/// it.
pub(crate) fn flushed_while_out_of_step() -> Outcome {
    block_on(0, async {
        let mut world = Forgetful::begin(&[("a99", 1), ("b99", 1)]);
        world.write(5_000).await?;
        world.process.shutdown().await;
        let (name, moved) = (named("b99"), named("moved"));
        let like = world.script.world().collections().next().cloned().unwrap();
        world.milvus.by_hand(|cluster| {
            cluster.rename(&name, &moved);
            stranger::make(&name, &like, cluster);
        });
        world.start();
        // Two flushes.
        world.wait(40_000).await;
        world.restart();
        world.until(|told| told.read_again.load(Ordering::Relaxed) == 1).await?;
        world.milvus.by_hand(|cluster| {
            cluster.drop_collection(&name);
            cluster.rename(&moved, &name);
        });
        world.until_equal("b99").await?;
        world.until_equal("a99").await
    })
}

/// The queue has lost what one collection needs to go back, and not what the other one needs.
pub(crate) fn one_place_is_lost() -> Outcome {
    block_on(0, async {
        let world = Forgetful::begin(&[("b99", 2), ("a99", 1)]);
        world.write(5_000).await?;
        // The channel that only the first one has.
        world.script.change(|world| {
            let end = crate::log::offset(&world.log.end("s-dml_9"));
            world.log.lose("s-dml_9", end);
        });
        world.restart();
        world.until(|told| told.forgotten.load(Ordering::Relaxed) == 1).await?;
        world.until_equal("a99").await
    })
}

fn named(name: &str) -> CollectionName {
    CollectionName::new(DEFAULT_DATABASE, name)
}

impl Forgetful {
    /// Collections with so many shards.
    fn begin(collections: &[(&str, usize)]) -> Self {
        let (faults, verdict) = (Faults::new(0, false), Verdict::default());
        let script = Script::new(0, faults.clone(), verdict.clone());
        for (name, shards) in collections {
            let now = script.now();
            script.change(|world| world.create_as(now, &named(name), *shards));
        }
        let milvus = Milvus::new(faults.clone(), script.clone(), verdict.clone(), 1).forgets();
        let store = Arc::new(Memory::new(faults));
        store.add_task("task0");
        let (told, process) = (Arc::default(), JoinSet::new());
        let mut world = Self { script, milvus, store, verdict, told, process };
        world.start();
        world
    }

    fn start(&mut self) {
        let target = Arc::new(self.milvus.clone());
        let link = Link::new("target", target, self.store.clone(), limits());
        let destination = Destination::Milvus(link);
        let source = Arc::new(self.script.clone());
        let (catalog, observer) = (source.clone(), self.told.clone());
        let ports = Ports { source, catalog, destination: destination.clone(), observer };
        let all = Selector {
            database: "*".into(),
            collection: "*".into(),
            use_start_position: true,
            positions: Default::default(),
        };
        let (task, verdict) = (task("task0", vec![all]), self.verdict.clone());
        self.process.spawn(async move {
            let error = run::run(task, ports, CancellationToken::new()).await;
            verdict.violated(format!("the task has ended: {error:?}"));
        });
        self.process.spawn(async move { destination.keep(CancellationToken::new()).await });
    }

    /// The target forgets all that it has not flushed.
    fn restart(&self) {
        assert!(self.milvus.restart(|_| true), "nothing was forgotten");
    }

    /// Writes for so long.
    async fn write(&self, ms: u64) -> Outcome {
        for _ in 0..ms / 200 {
            let now = self.script.now();
            self.script.change(|world| world.write_to_each(now, "99"));
            self.wait(200).await;
        }
        self.verdict.first().map_or(Ok(()), Err)
    }

    /// Ticks for so long.
    async fn wait(&self, ms: u64) {
        for _ in 0..ms / 100 {
            self.script.tick();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn until(&self, is_so: impl Fn(&Told) -> bool) -> Outcome {
        for _ in 0..600 {
            if is_so(&self.told) {
                return Ok(());
            }
            self.wait(100).await;
        }
        Err("it does not notice that the target was restarted".to_owned())
    }

    /// Waits until a collection of the target has what the source's has.
    async fn until_equal(&self, name: &str) -> Outcome {
        let mut difference = None;
        for _ in 0..600 {
            self.wait(100).await;
            self.verdict.first().map_or(Ok(()), Err)?;
            difference = self.difference(name);
            if difference.is_none() {
                return Ok(());
            }
        }
        difference.map_or(Ok(()), Err)
    }

    fn difference(&self, name: &str) -> Option<String> {
        self.milvus.by_hand(|cluster| match cluster.named(&named(name)) {
            Some(there) => there.compare(&self.script.world()),
            None => Some(format!("{name} is not there")),
        })
    }
}
