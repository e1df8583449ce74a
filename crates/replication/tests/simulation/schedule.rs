//! One schedule: a seed, a source that writes, a service that dies and comes back, and the verdict
//! at the end. Never takes real time.

use crate::cluster::LANES;
use crate::faults::{Faults, Verdict};
use crate::milvus::Milvus;
use crate::script::Script;
use crate::simulated_time::block_on;
use crate::store::Memory;
use crate::stranger::{self, Meddling, Stranger};
use crate::topic::Topic;
use milvus_wire::ids::{CollectionName, DEFAULT_DATABASE};
use replication::context::Ports;
use replication::destination::Destination;
use replication::destination::log::append::Log;
use replication::destination::milvus::link::Link;
use replication::error::Kind;
use replication::observer::{Event, Noted, Observer};
use replication::ports::{CatalogEvent, Store};
use replication::records::checkpoint::{self, ReplicatedCollection, Stage};
use replication::run;
use replication::selection::{Names, Selection, Selector};
use replication::task::{Limits, Policies, Task};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Where the changes go.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    Milvus,
    /// Of one task.
    Log {
        exact: bool,
    },
}

/// How the source behaves and what is asked of the service.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) faults: bool,
    /// A fault is rarer by this factor.
    pub(crate) rarer: u64,
    pub(crate) late: bool,
    pub(crate) policies: Policies,
    pub(crate) goal: Goal,
    pub(crate) tasks: usize,
    /// The first task stays away for longer than its lanes wait for it, and again soon after it has
    /// come back: it may not be through with the stretch that has become uncertain.
    pub(crate) long_absences: bool,
    /// The target refuses the first task's rows for a while, at this act.
    pub(crate) refuses_at: Option<u64>,
    /// The only task selects some names, and collections get such a name that had another one.
    pub(crate) enters: bool,
    pub(crate) keeps_timestamps: bool,
    /// The source's clock is ahead of the target's.
    pub(crate) ahead_ms: u64,
    /// A stranger changes the target by hand.
    pub(crate) meddles: bool,
    /// The target is restarted, and forgets then what it has not flushed.
    pub(crate) forgets: bool,
    pub(crate) acts: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            faults: true,
            rarer: 1,
            late: false,
            policies: Policies::default(),
            goal: Goal::Milvus,
            tasks: 1,
            long_absences: false,
            refuses_at: None,
            enters: false,
            keeps_timestamps: false,
            ahead_ms: 0,
            meddles: false,
            forgets: false,
            acts: 150,
        }
    }
}

/// What a schedule saw.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Windows that were sent again.
    pub(crate) replayed: u64,
    /// How often late rows were listed.
    pub(crate) late: u64,
    /// How often a collection went out of step.
    pub(crate) out_of_step: u64,
    /// How often the target has forgotten rows.
    pub(crate) forgot: u64,
    /// How often what it may have forgotten was read again.
    pub(crate) read_again: u64,
    /// Of how many collections something is known to be flushed at the end.
    pub(crate) flushed: u64,
    pub(crate) crashes: u64,
}

impl Outcome {
    /// What both saw.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self {
            replayed: self.replayed + other.replayed,
            late: self.late + other.late,
            out_of_step: self.out_of_step + other.out_of_step,
            forgot: self.forgot + other.forgot,
            read_again: self.read_again + other.read_again,
            flushed: self.flushed + other.flushed,
            crashes: self.crashes + other.crashes,
        }
    }
}

struct Counter {
    replayed: AtomicU64,
    late: AtomicU64,
    out_of_step: AtomicU64,
    read_again: AtomicU64,
    goal: Goal,
    verdict: Verdict,
}

impl Observer for Counter {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Counted(Noted::ReplayedWindow, n) => {
                self.replayed.fetch_add(n, Ordering::Relaxed);
            }
            Event::Counted(Noted::Missed("LateInsert" | "LateDelete"), n) => {
                self.late.fetch_add(n, Ordering::Relaxed);
            }
            Event::Counted(Noted::OutOfStep, n) => {
                self.out_of_step.fetch_add(n, Ordering::Relaxed);
            }
            Event::Counted(Noted::ReadAgain, n) => {
                self.read_again.fetch_add(n, Ordering::Relaxed);
            }
            // A log has no databases.
            Event::Called(name @ "CreateDatabase") if matches!(self.goal, Goal::Log { .. }) => {
                self.verdict
                    .violated(format!("{name} was told of a log, which was not asked for it"));
            }
            _ => {}
        }
    }
}

/// Runs one schedule.
pub(crate) fn run(seed: u64, options: &Options) -> Result<Outcome, String> {
    block_on(seed, async { Schedule::new(seed, options).run().await })
}

struct Schedule {
    options: Options,
    faults: Faults,
    script: Script,
    milvus: Milvus,
    topic: Topic,
    store: Arc<dyn Store>,
    /// What it contains, for a reader without faults.
    records: Memory,
    verdict: Verdict,
    observer: Arc<Counter>,
    rng: fastrand::Rng,
    /// Tasks below it stay away.
    absent: usize,
    /// When the first task does not come back for a while.
    absences: Vec<u64>,
    stranger: Stranger,
    /// How often the target has forgotten rows.
    forgot: u64,
    /// When it is restarted once more.
    restarts_again: Option<u64>,
}

/// A process: its tasks, until it dies or is stopped.
struct Process {
    /// Ends what is kept alive beside the tasks.
    close: CancellationToken,
    stop: Vec<CancellationToken>,
    running: JoinSet<(usize, replication::error::Error)>,
    ports: Ports,
}

impl Schedule {
    fn new(seed: u64, options: &Options) -> Self {
        let faults = Faults::new(seed, options.faults).rarer(options.rarer);
        let verdict = Verdict::default();
        let script = Script::new(seed, faults.clone(), verdict.clone());
        script.world().selected = options.enters.then_some("a");
        let proxies = 1 + usize::from(seed % 2 == 1);
        let milvus = Milvus::new(faults.clone(), script.clone(), verdict.clone(), proxies);
        let milvus = milvus.behind(options.ahead_ms);
        let milvus = if options.forgets { milvus.forgets() } else { milvus };
        let exact = options.goal == Goal::Log { exact: true };
        let store = Memory::new(faults.clone());
        (0..options.tasks).for_each(|n| store.add_task(&format!("task{n}")));
        let topic = Topic::new(exact, faults.clone(), script.clone(), verdict.clone());
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut absences = Vec::new();
        if options.long_absences {
            absences.extend([options.acts / 2, options.acts / 2 + rng.u64(1..15)]);
        }
        Self {
            options: options.clone(),
            records: store.shared("a reader", Faults::new(seed, false)),
            store: Arc::new(store),
            observer: Arc::new(Counter {
                replayed: AtomicU64::new(0),
                late: AtomicU64::new(0),
                out_of_step: AtomicU64::new(0),
                read_again: AtomicU64::new(0),
                goal: options.goal,
                verdict: verdict.clone(),
            }),
            rng,
            absent: 0,
            absences,
            stranger: Stranger::default(),
            forgot: 0,
            restarts_again: None,
            faults,
            script,
            milvus,
            topic,
            verdict,
        }
    }

    async fn run(mut self) -> Result<Outcome, String> {
        // Something exists before the tasks do.
        self.script.act(false);
        self.script.tick();
        let mut process = self.start(self.absent);
        let mut since_tick = Duration::ZERO;
        for act in 0..self.options.acts {
            if act > 2 {
                self.script.act(self.options.late);
            }
            let pause = Duration::from_millis(self.rng.u64(5..80));
            since_tick += pause;
            process = self.live(process, pause).await;
            if since_tick >= Duration::from_millis(200) {
                since_tick = Duration::ZERO;
                self.script.tick();
            }
            process = self.disturb(process, act).await;
            if let Some(what) = self.verdict.first() {
                return Err(what);
            }
        }
        self.faults.heal();
        self.undo_meddling();
        self.settle(process).await
    }

    /// Freezes, pauses and stops, now and then.
    async fn disturb(&mut self, mut process: Process, act: u64) -> Process {
        if self.faults.chance(150) {
            self.milvus.freeze(Duration::from_millis(self.rng.u64(1000..9000)));
        }
        if self.faults.chance(100) {
            for stop in &process.stop {
                stop.cancel();
            }
            let crash = self.faults.crash.clone();
            let ended = async {
                while process.running.len() > 1 {
                    process.running.join_next().await;
                }
                process.close.cancel();
                process.running.join_next().await;
            };
            tokio::select! {
                () = crash.notified() => {}
                () = ended => {}
            }
            drop(process);
            process = self.start(self.absent);
        }
        if self.options.refuses_at == Some(act) {
            process = self.refuse(process).await;
        }
        if self.options.forgets && (self.rng.u32(0..400) == 0 || self.restarts_again == Some(act)) {
            self.forgot += u64::from(self.milvus.restart(|_| self.rng.bool()));
            // While what it has forgotten is sent again, perhaps.
            self.restarts_again = self.rng.bool().then(|| act + self.rng.u64(1..500));
        }
        if self.options.meddles && self.has_begun().await {
            match self.rng.u32(0..20) {
                0 => process = self.meddle(process).await,
                1 => self.make_a_namesake(),
                2 if self.rng.bool() => self.undo_meddling(),
                _ => {}
            }
        }
        if self.absences.contains(&act) {
            // The whole process dies, the first task does not come back for a while.
            drop(process);
            self.absent = 1;
            process = self.start(1);
            for _ in 0..60 {
                process = self.live(process, Duration::from_millis(100)).await;
                self.script.tick();
            }
            self.absent = 0;
            process = self.begin(process, 0);
        }
        process
    }

    /// Whether the task has taken up all that it has found: until then a collection of the target
    /// with such a name and such fields is the task's, whoever made it.
    async fn has_begun(&self) -> bool {
        let stored = checkpoint::load(&self.records, "task0").await.unwrap();
        let is_found = |c: &ReplicatedCollection| c.stage == Stage::Existing;
        stored.checkpoint.is_some() && !stored.collections.iter().any(is_found)
    }

    /// A stranger does something to a replicated collection while nobody looks. Not while it may
    /// have either of two names: what comes back under the wrong one is not found again.
    async fn meddle(&mut self, process: Process) -> Process {
        drop(process);
        let like = self.script.world().collections().next().cloned();
        let stored = checkpoint::load(&self.records, "task0").await.unwrap();
        let is_named = |c: &&ReplicatedCollection| c.is_live() && c.naming.next.is_none();
        let live = stored.collections.iter().filter(is_named);
        let names: Vec<_> = live.map(|live| live.on_target(&Names::default()).name).collect();
        if let (Some(like), false) = (like, names.is_empty()) {
            let name = &names[self.rng.usize(0..names.len())];
            let what = match self.rng.u32(0..3) {
                0 => Meddling::Drop,
                1 => Meddling::Replace,
                _ => Meddling::Move,
            };
            let name = CollectionName::new(DEFAULT_DATABASE, name.clone());
            let stranger = &mut self.stranger;
            self.milvus.by_hand(|cluster| stranger.meddle(&what, &name, &like, cluster));
        }
        self.start(self.absent)
    }

    /// A stranger makes a collection whose name the source uses next.
    fn make_a_namesake(&mut self) {
        let Some(like) = self.script.world().collections().next().cloned() else { return };
        let (name, now) = (self.stranger.new_name(), self.script.now());
        self.milvus.by_hand(|cluster| stranger::make(&name, &like, cluster));
        self.script.change(|world| world.create_as(now, &name, LANES.len()));
        let id = self.script.world().id_of(&name).unwrap();
        self.script.announce(CatalogEvent::Collection(id));
    }

    fn undo_meddling(&mut self) {
        let stranger = &mut self.stranger;
        let live: BTreeSet<_> = self.script.world().live().into_iter().map(|(_, id)| id).collect();
        let lives =
            |created| self.script.world().created_at(created).is_some_and(|id| live.contains(&id));
        if let Some(what) = self.milvus.by_hand(|cluster| stranger.undo(cluster, lives)) {
            self.verdict.violated(what);
        }
    }

    /// The target refuses the first task's rows, so that it can't close its windows. The other task
    /// waits for its channels for no longer than for those of a task that stays away: that time,
    /// and one settle time.
    async fn refuse(&mut self, mut process: Process) -> Process {
        let both = ["a99", "b99"].map(|name| CollectionName::new(DEFAULT_DATABASE, name));
        for name in &both {
            let now = self.script.now();
            self.script.change(|world| world.create_as(now, name, LANES.len()));
            let id = self.script.world().id_of(name).unwrap();
            self.script.announce(CatalogEvent::Collection(id));
        }
        self.milvus.refuse(Some("a"));
        process = self.go_on_while_channels_are_held(process, 10).await;
        drop(process);
        self.absent = 1;
        process = self.start(1);
        process = self.go_on_while_channels_are_held(process, 100).await;
        self.absent = 0;
        process = self.begin(process, 0);
        process = self.go_on_while_channels_are_held(process, 300).await;
        self.milvus.refuse(None);
        process
    }

    async fn go_on_while_channels_are_held(&mut self, mut process: Process, acts: u64) -> Process {
        let Limits { lane_wait_max, settle, .. } = limits();
        let wait_max = lane_wait_max + settle + Duration::from_secs(2);
        let began = self.script.now();
        for _ in 0..acts {
            let now = self.script.now();
            self.script.change(|world| world.write_to_each(now, "99"));
            self.script.tick();
            process = self.live(process, Duration::from_millis(100)).await;
            // A new channel has no tick yet.
            let ticked = self.milvus.ticked().max(began);
            if !self.options.faults
                && ticked.plus_ms(wait_max.as_millis() as u64) < self.script.now()
            {
                let now = self.script.now();
                self.verdict.violated(format!("a channel stays at {ticked}, held until {now}"));
            }
        }
        process
    }

    /// Lets time pass for a process; one that dies is started again.
    async fn live(&mut self, mut process: Process, time: Duration) -> Process {
        let until = tokio::time::Instant::now() + time;
        loop {
            let crash = self.faults.crash.clone();
            let again = tokio::select! {
                biased;
                () = crash.notified() => None,
                Some(ended) = process.running.join_next() => Some(ended.unwrap()),
                () = tokio::time::sleep_until(until) => return process,
            };
            match again {
                None => {
                    drop(process);
                    tokio::time::sleep(Duration::from_millis(self.rng.u64(1..500))).await;
                    if self.faults.chance(3) {
                        self.milvus.tick_by_itself();
                    }
                    process = self.start(self.absent);
                }
                Some((n, error)) => {
                    if error.kind == Kind::Permanent {
                        self.verdict.violated(format!("permanent fault: {error:?}"));
                        return process;
                    }
                    tracing::info!(task = n, ?error, "task ended");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    process = self.begin(process, n);
                }
            }
        }
    }

    fn start(&self, first: usize) -> Process {
        let limits = limits();
        let destination = match self.options.goal {
            Goal::Milvus => {
                let target = Arc::new(self.milvus.clone());
                Destination::Milvus(Link::new("target", target, self.store.clone(), limits))
            }
            Goal::Log { .. } => {
                let sink = Arc::new(self.topic.anew());
                Destination::Log(Log::new("task0", sink, self.store.clone()))
            }
        };
        let ports = Ports {
            source: Arc::new(self.script.clone()),
            catalog: Arc::new(self.script.clone()),
            destination: destination.clone(),
            observer: self.observer.clone(),
        };
        let (close, stop) = (CancellationToken::new(), Vec::new());
        let mut process = Process { close: close.clone(), stop, running: JoinSet::new(), ports };
        process.running.spawn(async move {
            destination.keep(close).await;
            (usize::MAX, replication::error::Error::stopped())
        });
        for n in first..self.options.tasks {
            process = self.begin(process, n);
        }
        process
    }

    fn begin(&self, mut process: Process, n: usize) -> Process {
        if n == usize::MAX {
            return process;
        }
        let selects_all = self.options.tasks == 1 && !self.options.enters;
        let collections = if selects_all { "*" } else { ["a", "b"][n] };
        let names: Vec<String> = match collections {
            "*" => vec!["*".into()],
            prefix => (0..100).map(|i| format!("{prefix}{i}")).collect(),
        };
        let selectors = names.into_iter().map(|collection| Selector {
            database: "*".into(),
            collection,
            use_start_position: true,
            positions: Default::default(),
        });
        let mut task = task(&format!("task{n}"), selectors.collect());
        task.policies = self.options.policies;
        if self.options.enters || self.options.goal != Goal::Milvus {
            // What was written before a collection is discovered is more than a round.
            (task.limits.round_bytes, task.limits.held_bytes_max) = (600, 4000);
        }
        let (ports, stop) = (process.ports.clone(), CancellationToken::new());
        process.stop.push(stop.clone());
        process.running.spawn(async move { (n, run::run(task, ports, stop).await) });
        process
    }

    /// No more faults: in a while the target must equal the source.
    async fn settle(&mut self, mut process: Process) -> Result<Outcome, String> {
        let mut difference = None;
        for _ in 0..600 {
            self.script.tick();
            process = self.live(process, Duration::from_millis(200)).await;
            if let Some(what) = self.verdict.first() {
                return Err(what);
            }
            let ticked;
            (difference, ticked) = match self.options.goal {
                Goal::Milvus => (self.milvus.difference(), self.milvus.ticked()),
                Goal::Log { .. } => (self.topic.difference(), self.topic.ticked()),
            };
            // Without a collection no channel is read, and none is ticked.
            let is_idle = self.script.world().live().is_empty();
            let is_ticked = is_idle
                || ticked.plus_ms(2000 + self.options.ahead_ms) > self.script.world().last_tick();
            if difference.is_none() && is_ticked {
                return self.outcome().await;
            }
            difference = difference.or_else(|| Some(format!("the ticks stay at {ticked}")));
        }
        Err(difference.unwrap_or_default())
    }

    async fn outcome(&self) -> Result<Outcome, String> {
        let stored = checkpoint::load(&self.records, "task0").await.unwrap();
        let is_flushed = |c: &&ReplicatedCollection| {
            c.flushed.as_ref().is_some_and(|f| f.from.values().any(|from| from.after.0 > 0))
        };
        let flushed = stored.collections.iter().filter(is_flushed).count() as u64;
        let (kept, rows) = self.milvus.kept();
        if self.options.keeps_timestamps && kept != rows {
            return Err(format!("I5: {kept} of {rows} rows kept their timestamp"));
        }
        Ok(Outcome {
            replayed: self.observer.replayed.load(Ordering::Relaxed),
            late: self.observer.late.load(Ordering::Relaxed),
            out_of_step: self.observer.out_of_step.load(Ordering::Relaxed),
            forgot: self.forgot,
            flushed,
            read_again: self.observer.read_again.load(Ordering::Relaxed),
            crashes: self.faults.crashes(),
        })
    }
}

/// A task for some collections.
pub(crate) fn task(id: &str, selectors: Vec<Selector>) -> Task {
    Task {
        id: id.into(),
        selection: Selection { selectors, excluded: Vec::new() },
        names: Names::default(),
        op_channel: "s-replicate-msg".into(),
        op_position: None,
        ignore_partition: false,
        // One of a target may.
        rbac: id == "task0",
        policies: Policies::default(),
        limits: limits(),
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        settle: Duration::from_secs(4),
        lane_wait_max: Duration::from_secs(4),
        keep_alive_after: Some(Duration::from_secs(3)),
        backoff_max: Duration::from_secs(1),
        finish_max: Duration::from_secs(2),
        call_bytes: 200,
        flush_every: Some(Duration::from_secs(3)),
        ..Limits::default()
    }
}
