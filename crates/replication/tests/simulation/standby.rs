//! Two services on one store and one target, of which one works at a time: they die, stand still
//! and wake, and in the end one of them is gone for good. Never takes real time.

use crate::faults::{Faults, Verdict};
use crate::milvus::{Condition, Milvus};
use crate::schedule::{limits, task};
use crate::script::Script;
use crate::simulated_time::block_on;
use crate::store::Memory;
use futures::future::join;
use replication::context::Ports;
use replication::destination::Destination;
use replication::destination::milvus::link::Link;
use replication::error::Kind;
use replication::observer::{Event, Observer};
use replication::ports::{Store as _, Transaction};
use replication::records::keys;
use replication::run;
use replication::selection::Selector;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const STEPS: u64 = 500;
const TASK: &str = "task0";

struct Deaf;

impl Observer for Deaf {
    fn event(&self, _: Event<'_>) {}
}

/// All that the two share.
#[derive(Clone)]
struct Outside {
    faults: Faults,
    script: Script,
    milvus: Milvus,
    store: Arc<Memory>,
    verdict: Verdict,
}

/// A service that is given time, unless it stands still.
struct Service {
    faults: Faults,
    life: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Runs one schedule; answers how often a service took the target from the other one.
pub(crate) fn run(seed: u64) -> Result<u64, String> {
    block_on(seed, two(seed))
}

/// What is stored of a task that is deleted while it runs, some time after that.
pub(crate) fn left_of_a_deleted_task() -> Vec<String> {
    block_on(0, delete())
}

/// What is stored of a task whose source has no collection yet.
pub(crate) fn records_of_an_empty_source() -> Vec<String> {
    block_on(0, async {
        let outside = Outside::empty(0, false);
        pass(&mut [outside.service("one")], Duration::from_secs(10)).await;
        let stored = outside.store.list("").await.unwrap().into_iter().map(|(key, _)| key);
        stored.filter(|key| key.ends_with(TASK)).collect()
    })
}

/// How long a target of this service, of which no task runs, waits for a tick after it was in this
/// condition, in milliseconds.
pub(crate) fn until_a_tick_after(condition: Condition) -> u64 {
    block_on(0, async {
        let outside = Outside::with_lanes().await;
        let mut keeps = outside.keeps();
        // The next tick is not due for some seconds.
        outside.ticked_again(&mut keeps).await;
        outside.milvus.set_condition(condition);
        _ = tokio::time::timeout(Duration::from_secs(2), &mut keeps).await;
        outside.milvus.set_condition(Condition::Serves);
        outside.ticked_again(&mut keeps).await
    })
}

/// The same, of a service that has started while nobody was there.
pub(crate) fn until_a_tick_after_a_start() -> u64 {
    block_on(0, async {
        let outside = Outside::with_lanes().await;
        outside.milvus.set_condition(Condition::IsDead);
        let mut keeps = outside.keeps();
        // The lease of the service before it has run out by then.
        _ = tokio::time::timeout(Duration::from_secs(20), &mut keeps).await;
        outside.milvus.set_condition(Condition::Serves);
        outside.ticked_again(&mut keeps).await
    })
}

/// Whether a task goes on after the queue has lost all that it has done, and nothing else. If it
/// was `remade`, other entries are in their places.
pub(crate) fn after_the_retention(remade: bool) -> Result<u64, String> {
    block_on(0, async {
        let outside = Outside::new(0, false);
        let mut services = vec![outside.service("one")];
        for _ in 0..100 {
            outside.script.act(false);
            outside.script.tick();
            pass(&mut services, Duration::from_millis(200)).await;
        }
        outside.settle(&mut services).await?;
        // The source stands still for a while, and then the service is killed.
        pass(&mut services, Duration::from_secs(10)).await;
        drop(services);
        outside.script.change(|world| match remade {
            true => world.log.replace_all(),
            false => world.log.lose_all(),
        });
        let mut services = vec![outside.service("one")];
        pass(&mut services, Duration::from_secs(20)).await;
        for _ in 0..100 {
            outside.script.act(false);
            outside.script.tick();
            pass(&mut services, Duration::from_millis(200)).await;
        }
        outside.settle(&mut services).await?;
        Ok(outside.milvus.kept().1)
    })
}

async fn delete() -> Vec<String> {
    let outside = Outside::new(0, false);
    let mut services = vec![outside.service("one")];
    for act in 0..200 {
        if act == 100 {
            let mut deletes = keys::of_task(&*outside.store, TASK).await.unwrap();
            deletes.push(keys::task_key(TASK));
            let deletion = Transaction { deletes, ..Transaction::default() };
            outside.store.commit(deletion).await.unwrap();
        }
        outside.script.act(false);
        outside.script.tick();
        pass(&mut services, Duration::from_millis(200)).await;
    }
    let stored = outside.store.list("").await.unwrap().into_iter().map(|(key, _)| key);
    stored.filter(|key| key.contains(TASK)).collect()
}

async fn two(seed: u64) -> Result<u64, String> {
    let outside = Outside::new(seed, true);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut services = vec![outside.service("one"), outside.service("other")];
    let mut since_tick = Duration::ZERO;
    for _ in 0..STEPS {
        // Windows of several calls.
        (0..rng.u32(1..8)).for_each(|_| outside.script.act(false));
        let pause = Duration::from_millis(rng.u64(5..600));
        pass(&mut services, pause).await;
        since_tick += pause;
        if since_tick >= Duration::from_millis(200) {
            since_tick = Duration::ZERO;
            outside.script.tick();
        }
        outside.verdict.first().map_or(Ok(()), Err)?;
    }
    outside.faults.heal();
    // The one that is left has to do all, whether or not it had the target before.
    services.remove(rng.usize(0..2));
    outside.settle(&mut services).await?;
    Ok(outside.store.changes_of("lease/target"))
}

/// Lets time pass.
async fn pass(services: &mut [Service], time: Duration) {
    let lives = services.iter_mut().map(|service| Box::pin(service.go()));
    let all = futures::future::join_all(lives);
    let _ = tokio::time::timeout(time, all).await;
}

impl Outside {
    /// Something exists before the task does.
    fn new(seed: u64, has_faults: bool) -> Self {
        let outside = Self::empty(seed, has_faults);
        outside.script.act(false);
        outside.script.tick();
        outside
    }

    /// Nothing exists on the source yet.
    fn empty(seed: u64, has_faults: bool) -> Self {
        let faults = Faults::new(seed, has_faults);
        let verdict = Verdict::default();
        let script = Script::new(seed, faults.clone(), verdict.clone());
        let proxies = 1 + usize::from(seed % 2 == 1);
        let milvus = Milvus::new(faults.clone(), script.clone(), verdict.clone(), proxies);
        let store = Arc::new(Memory::new(faults.clone()));
        store.add_task(TASK);
        Self { faults, script, milvus, store, verdict }
    }

    /// A service has made collections on the target, and has ended.
    async fn with_lanes() -> Self {
        let outside = Self::new(0, false);
        let mut services = vec![outside.service("one")];
        for _ in 0..20 {
            outside.script.tick();
            pass(&mut services, Duration::from_millis(200)).await;
        }
        drop(services);
        outside
    }

    /// What a service does beside its tasks, as while all of them are paused.
    fn keeps(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        let target = Arc::new(self.milvus.clone());
        let link = Link::new("target", target, self.store.clone(), limits());
        let keeps = Destination::Milvus(link);
        Box::pin(async move { keeps.keep(CancellationToken::new()).await })
    }

    /// Waits until all channels have got another tick; answers how long that took, in milliseconds.
    async fn ticked_again(&self, keeps: &mut Pin<Box<dyn Future<Output = ()>>>) -> u64 {
        let (began, before) = (self.script.now().ms(), self.milvus.ticked());
        while self.milvus.ticked() == before {
            _ = tokio::time::timeout(Duration::from_millis(10), &mut *keeps).await;
        }
        self.script.now().ms() - began
    }

    fn service(&self, holder: &'static str) -> Service {
        let faults = self.faults.of_a_process();
        let life = Box::pin(self.clone().serve(holder, faults.clone()));
        Service { faults, life }
    }

    /// Process after process.
    async fn serve(self, holder: &'static str, faults: Faults) {
        let source = Arc::new(self.script.seen_by(faults.clone()));
        let store = Arc::new(self.store.shared(holder, faults.clone()));
        let all = Selector {
            database: "*".into(),
            collection: "*".into(),
            use_start_position: true,
            positions: Default::default(),
        };
        let task = task(TASK, vec![all]);
        loop {
            let target = Arc::new(self.milvus.seen_by(faults.clone()));
            let destination =
                Destination::Milvus(Link::new("target", target, store.clone(), limits()));
            let ports = Ports {
                source: source.clone(),
                catalog: source.clone(),
                destination: destination.clone(),
                observer: Arc::new(Deaf),
            };
            let runs = async {
                while !destination.is_lost() {
                    let stop = CancellationToken::new();
                    let error = run::run(task.clone(), ports.clone(), stop).await;
                    tracing::info!(holder, ?error, "task ended");
                    if error.kind == Kind::Permanent {
                        self.verdict.violated(format!("permanent fault: {error:?}"));
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            };
            let keeps = destination.keep(CancellationToken::new());
            tokio::select! {
                biased;
                () = faults.crash.notified() => {
                    tokio::time::sleep(Duration::from_millis(faults.below(20_000))).await;
                }
                _ = join(runs, keeps) => {}
            }
        }
    }

    /// No more faults: in a while the target must equal the source.
    async fn settle(&self, services: &mut [Service]) -> Result<(), String> {
        let mut difference = None;
        for _ in 0..900 {
            self.script.tick();
            pass(services, Duration::from_millis(200)).await;
            self.verdict.first().map_or(Ok(()), Err)?;
            difference = self.milvus.difference();
            let ticked = self.milvus.ticked();
            if difference.is_none() && ticked.plus_ms(2000) > self.script.world().last_tick() {
                return Ok(());
            }
            difference = difference.or_else(|| Some(format!("the ticks stay at {ticked}")));
        }
        Err(difference.unwrap_or_default())
    }
}

impl Service {
    /// Never ends.
    async fn go(&mut self) {
        let Self { faults, life } = self;
        loop {
            if let Some(until) = faults.still_until() {
                tokio::time::sleep_until(until).await;
            }
            poll_fn(|context| match faults.still_until() {
                Some(_) => Poll::Ready(()),
                None => life.as_mut().poll(context),
            })
            .await;
        }
    }
}
