//! Makes what runs equal to what is stored: one runner per task that should run, one link per
//! target of any stored task. Handlers write the store and poke; nothing else starts or stops a
//! task. Never changes a task's record, except to pause a task that can't start or that failed
//! permanently, and even that only if no other service runs it.
//!
//! Handlers use the `desk`, `destinations` keeps the targets, `runner` runs one task.

mod desk;
mod destinations;
mod runner;

pub(crate) use desk::{Desk, Settled};

use crate::monitoring::history::EventKind;
use crate::monitoring::lag::Lag;
use crate::monitoring::live::{Live, RunStage};
use crate::monitoring::metrics::Metrics;
use crate::monitoring::task_observer::TaskObserver;
use crate::tasks::{Book, Listing, State, TaskRecord, found_in_the_way, to_task};
use crate::world::World;
use connectors::InvalidOption;
use destinations::{Destinations, destination_name};
use replication::context::Ports;
use replication::error::{Error, Result};
use replication::records::identity::Names;
use replication::records::shown_positions;
use replication::task::{Limits, Policies, Task};
use runner::Runner;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the supervisor looks at the stored tasks without a poke: another process may have
/// changed them.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The pause after a look that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How much longer than its own limit a runner may take to stop before it is aborted.
pub(crate) const STOP_MARGIN: Duration = Duration::from_secs(5);

/// What the supervisor needs to know of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The topic of the source's op channel.
    pub op_channel: String,
    /// What becomes of what can't be replicated as it is.
    pub policies: Policies,
    /// Bounds of every task.
    pub limits: Limits,
    /// The pause after a task's first failure.
    pub backoff_first: Duration,
}

/// Runs the tasks.
pub(crate) struct Supervisor {
    world: World,
    book: Book,
    settings: Settings,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
    lag: Arc<Lag>,
    desk: Desk,
    destinations: Destinations,
    /// Which addresses of targets lead to one Milvus.
    names: Names,
    running: HashMap<String, Running>,
    runners: JoinSet<()>,
    booted: bool,
}

/// A task that runs, or that is about to end.
struct Running {
    id: Id,
    target: String,
    stop: CancellationToken,
    abort: tokio::task::AbortHandle,
    /// Set when the task is told to stop; it is aborted at this time.
    stop_by: Option<Instant>,
}

/// Why a task can't start. The text is stored as the reason of its pause.
struct CannotStart(String);

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The Go tool's words.
        write!(f, "fail to start task, err: {}", self.0)
    }
}

impl From<InvalidOption> for CannotStart {
    fn from(wrong: InvalidOption) -> Self {
        Self(wrong.problem)
    }
}

impl From<Error> for CannotStart {
    fn from(error: Error) -> Self {
        Self(error.what)
    }
}

impl Supervisor {
    /// Starts nothing before [`Self::run`].
    pub(crate) fn new(world: World, settings: Settings, metrics: Arc<Metrics>) -> Self {
        let live = Arc::new(Live::default());
        let lag = Lag::new(Arc::clone(&world.source), Arc::clone(&live), Arc::clone(&metrics));
        Self {
            book: Book::new(Arc::clone(&world.store)),
            destinations: Destinations::default(),
            names: Names::default(),
            running: HashMap::new(),
            runners: JoinSet::new(),
            desk: Desk::default(),
            booted: false,
            lag: Arc::new(lag),
            world,
            settings,
            metrics,
            live,
        }
    }

    /// The handlers' side.
    pub(crate) fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// What is known of the running tasks.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// How far the tasks are behind.
    pub(crate) fn lag(&self) -> Arc<Lag> {
        Arc::clone(&self.lag)
    }

    /// Runs tasks until `stop`, then stops them all, each within its limit.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let lag = Arc::clone(&self.lag);
        let lag_stop = stop.child_token();
        let lag = tokio::spawn(async move { lag.watch(lag_stop).await });
        while !stop.is_cancelled() {
            let asked = self.desk.last_poke();
            match self.look().await {
                Ok(()) => self.desk.publish_look(asked, self.running_ids(), None),
                Err(error) => {
                    tracing::error!(error = ?error, "the stored tasks can't be read");
                    self.desk.publish_look(0, self.running_ids(), Some(error.what));
                }
            }
            self.wait(&stop).await;
        }
        self.stop_all().await;
        if let Err(error) = lag.await {
            tracing::error!(%error, "the lag was no longer measured");
        }
    }

    /// Waits for the next reason to look.
    async fn wait(&mut self, stop: &CancellationToken) {
        let overdue = self.running.values().filter_map(|r| r.stop_by).min();
        let pause = if self.desk.failing().is_some() { LOOK_AGAIN } else { LOOK_EVERY };
        let next = Instant::now() + pause;
        let next = overdue.map_or(next, |overdue| overdue.min(next));
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            Some(ended) = self.runners.join_next_with_id() => self.ended(ended),
            () = self.destinations.ended() => {}
            () = self.desk.wait_for_poke() => {}
            () = tokio::time::sleep_until(next) => self.abort_overdue(),
        }
    }

    /// Reads what is stored and makes what runs equal to it.
    async fn look(&mut self) -> Result<()> {
        if !self.booted {
            self.book.boot().await?;
            self.booted = true;
        }
        let Listing { records, broken } = self.book.list().await?;
        for error in &broken {
            tracing::error!(error = ?error, "a stored task can't be read");
        }
        self.metrics.broken_records.set(broken.len() as i64);
        self.names = self.book.names().await?;
        self.metrics.joined_addresses.set(self.names.joined() as i64);
        self.count(&records);
        self.stop_unwanted(&records);
        self.forget_deleted(&records);
        self.destinations.renew(&records, &self.names, &*self.world.store).await?;
        self.destinations.set_addresses(&records, &self.names, &self.world);
        self.keep_destinations(&records);
        for record in &records {
            self.add(record).await;
            let wanted = record.state == State::Running;
            if wanted && !self.running.contains_key(&record.task_id) {
                self.start(record, &records).await;
            }
        }
        Ok(())
    }

    fn count(&self, records: &[TaskRecord]) {
        let states = records.iter().map(|r| (r.task_id.clone(), r.state)).collect();
        self.metrics.set_task_states(&states);
    }

    fn stop_unwanted(&mut self, records: &[TaskRecord]) {
        // One whose target is known by another name now goes on with that.
        let name = |record: &TaskRecord| destination_name(record, &self.names).ok();
        let wanted: BTreeMap<&str, Option<String>> = records
            .iter()
            .filter(|r| r.state == State::Running)
            .map(|r| (r.task_id.as_str(), name(r)))
            .collect();
        let limit = self.settings.limits.finish_max + STOP_MARGIN;
        for (id, running) in &mut self.running {
            let target = wanted.get(id.as_str());
            let is_wanted = target.is_some_and(|name| name.as_ref() == Some(&running.target));
            if !is_wanted && running.stop_by.is_none() {
                running.tell_to_stop(limit);
                if let Some(task) = self.live.get(id) {
                    task.with(|facts| facts.stage = RunStage::Stopping);
                }
            }
        }
    }

    /// Forgets tasks that are neither stored nor running.
    fn forget_deleted(&self, records: &[TaskRecord]) {
        for (id, _) in self.live.all() {
            let stored = records.iter().any(|r| r.task_id == id);
            if !stored && !self.running.contains_key(&id) {
                self.live.forget(&id);
                self.metrics.forget_task(&id);
            }
        }
    }

    /// Opens one destination per target of any stored task, and closes the others. A Milvus whose
    /// tasks are all paused needs ticks too, otherwise nobody can query it.
    fn keep_destinations(&mut self, records: &[TaskRecord]) {
        let mut wanted: BTreeSet<String> =
            records.iter().filter_map(|r| destination_name(r, &self.names).ok()).collect();
        wanted.extend(self.running.values().map(|r| r.target.clone()));
        self.destinations.close_all_but(&wanted);
        // A target is reached by the address that it is named after, if a task has that.
        let is_named = |r: &&TaskRecord| r.target().is_ok_and(|a| self.names.of(&a) == a);
        let (named, others): (Vec<_>, Vec<_>) = records.iter().partition(is_named);
        for record in named.into_iter().chain(others) {
            let limits = &self.settings.limits;
            let ensured = self.destinations.ensure(record, &self.names, &self.world, limits);
            if let Err(error) = ensured {
                // If the task is to run, its start fails with the same error and stores it.
                tracing::debug!(task = %record.task_id, error = ?error, "no client for the target");
            }
        }
    }

    /// Adds a stored task to what is known. Its progress comes from its checkpoint, so that the lag
    /// of a task that is paused or has just started is right too.
    async fn add(&self, record: &TaskRecord) {
        let (task, new) = self.live.get_or_add(&record.task_id);
        task.record_stored(record.state, &record.reason);
        if !new {
            return;
        }
        match shown_positions::show(self.world.store.as_ref(), &record.task_id).await {
            Ok(shown) => task.with(|facts| {
                for position in shown.positions {
                    let ticks = facts.channels.entry(position.channel).or_default();
                    ticks.acknowledged = ticks.acknowledged.max(position.tick);
                }
            }),
            Err(error) => {
                let task = &record.task_id;
                tracing::warn!(%task, error = ?error, "the lag is unknown: no checkpoint was read");
            }
        }
    }

    async fn start(&mut self, record: &TaskRecord, all: &[TaskRecord]) {
        let id = record.task_id.as_str();
        if let Some(wrong) = found_in_the_way(record, all, &self.names) {
            return self.cannot_start(id, &wrong.problem).await;
        }
        let prepared = self.prepare(record);
        let (task, ports, target) = match prepared {
            Ok(Some(prepared)) => prepared,
            // When it has closed, the supervisor looks again.
            Ok(None) => return,
            Err(why) => return self.cannot_start(id, &why.to_string()).await,
        };
        let (live, _) = self.live.get_or_add(id);
        // An earlier try may have failed.
        live.with(|facts| facts.waiting = None);
        live.record(EventKind::Started, "");
        let stop = CancellationToken::new();
        let runner = Runner {
            task,
            ports,
            path: Arc::clone(&self.world.path),
            book: self.book.clone(),
            live,
            metrics: Arc::clone(&self.metrics),
            backoff_first: self.settings.backoff_first,
        };
        let abort = self.runners.spawn(runner.run(stop.clone()));
        tracing::info!(task = id, target, "task starts");
        let running = Running { id: abort.id(), target, stop, abort, stop_by: None };
        self.running.insert(id.to_owned(), running);
    }

    /// Pauses a task. If another service runs it, only shows why it can't start here.
    async fn cannot_start(&self, id: &str, reason: &str) {
        match self.book.pause_unless_elsewhere(id, reason).await {
            Ok(true) => tracing::error!(task = id, reason, "task can't start and is paused"),
            Ok(false) => {
                tracing::error!(task = id, reason, "task can't start here, another service has it");
                self.live.get_or_add(id).0.with(|facts| facts.waiting = Some(reason.to_owned()));
            }
            Err(error) => {
                tracing::error!(task = id, error = ?error, "the pause can't be stored");
                self.live.get_or_add(id).0.with(|facts| facts.waiting = Some(error.what));
            }
        }
    }

    /// What a runner needs, and the name of its target; `None` while the target is still closing.
    fn prepare(
        &mut self,
        record: &TaskRecord,
    ) -> std::result::Result<Option<(Task, Ports, String)>, CannotStart> {
        let Settings { op_channel, policies, limits, .. } = &self.settings;
        let task = to_task(record, op_channel, *policies, limits)?;
        let target = destination_name(record, &self.names)?;
        let destination = self.destinations.ensure(record, &self.names, &self.world, limits)?;
        let Some(destination) = destination else { return Ok(None) };
        let (live, _) = self.live.get_or_add(&record.task_id);
        let observer = TaskObserver::new(&record.task_id, Arc::clone(&self.metrics), live);
        let ports = Ports {
            source: Arc::clone(&self.world.source),
            catalog: Arc::clone(&self.world.catalog),
            destination,
            observer: Arc::new(observer),
        };
        Ok(Some((task, ports, target)))
    }

    fn ended(&mut self, ended: std::result::Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let task = self.running.iter().find(|(_, r)| r.id == id).map(|(task, _)| task.clone());
        let Some(task) = task else { return };
        self.running.remove(&task);
        if let Some(live) = self.live.get(&task) {
            live.with(|facts| {
                facts.stage = RunStage::Stopped;
                facts.waiting = None;
            });
            live.record(if ended.is_ok() { EventKind::Stopped } else { EventKind::CutOff }, "");
            self.metrics.task_waiting.with_label_values(&[&task]).set(0);
        }
        match ended {
            Ok(_) => tracing::info!(task, "task stopped"),
            Err(error) => {
                tracing::error!(task, %error, "task was cut off; its checkpoint is intact")
            }
        }
        self.desk.publish_running(self.running_ids());
    }

    fn abort_overdue(&mut self) {
        let now = Instant::now();
        for (task, running) in &mut self.running {
            if running.stop_by.is_some_and(|by| by <= now) {
                tracing::warn!(task, "task does not stop in time and is cut off");
                running.abort.abort();
                // The join reports its end; until then there is nothing more to do.
                running.stop_by = Some(now + LOOK_EVERY);
            }
        }
    }

    async fn stop_all(&mut self) {
        let limit = self.settings.limits.finish_max + STOP_MARGIN;
        tracing::info!(tasks = self.running.len(), "stopping all tasks");
        for running in self.running.values_mut() {
            running.tell_to_stop(limit);
        }
        let by = Instant::now() + limit;
        loop {
            match tokio::time::timeout_at(by, self.runners.join_next_with_id()).await {
                Ok(Some(ended)) => self.ended(ended),
                Ok(None) => break,
                Err(_) => {
                    tracing::warn!(tasks = self.running.len(), "tasks are cut off");
                    self.runners.shutdown().await;
                    break;
                }
            }
        }
        self.destinations.close_all().await;
        self.desk.publish_look(0, BTreeSet::new(), Some("the service stops".into()));
    }

    fn running_ids(&self) -> BTreeSet<String> {
        self.running.keys().cloned().collect()
    }
}

impl Running {
    fn tell_to_stop(&mut self, limit: Duration) {
        self.stop.cancel();
        self.stop_by = Some(Instant::now() + limit);
    }
}
