//! What is known of each task right now and stored nowhere: its stage, its ticks, what it waits
//! for. The `status` in answers, the lag, and the question whether a retry made progress are
//! answered from it. Never decides whether a task runs.

use crate::monitoring::history::{EventKind, History, TaskEvent};
use crate::tasks::State;
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A run that goes well has opened all its channels long before this has passed.
const CONFIRM_MAX: Duration = Duration::from_secs(60);

/// What a task does in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RunStage {
    /// The task does not run.
    #[default]
    Stopped,
    /// The task runs.
    Running,
    /// The task failed and is started again after a pause.
    Retrying,
    /// The task was told to stop and finishes its open window.
    Stopping,
}

impl RunStage {
    /// The name in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Stopping => "stopping",
        }
    }
}

/// One source channel of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelTicks {
    /// The last tick read.
    pub read: Timestamp,
    /// Everything up to it is on the target; zero if that is not known yet.
    pub acknowledged: Timestamp,
    /// The current run reads the channel. A channel of an earlier run may be gone.
    pub confirmed: bool,
}

/// A collection that is out of step with its task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutOfStep {
    /// Its database and name on the source.
    pub collection: String,
    /// How far the task was on the source then; zero: it had just begun.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// What is known of one task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// What it does.
    pub stage: RunStage,
    /// What it waits for, if it waits.
    pub waiting: Option<String>,
    /// The version of its target, if that is a Milvus and names one.
    pub target_version: String,
    /// Restarts since the service started.
    pub restarts: u64,
    /// By source channel.
    pub channels: BTreeMap<String, ChannelTicks>,
    /// By the collection's id on the source.
    pub out_of_step: BTreeMap<i64, OutOfStep>,
    /// Grows whenever the target acknowledges a later tick, or rows.
    pub progress: u64,
    /// When the current run began.
    pub began: Option<Instant>,
}

/// One task. Its observer, its runner and the answers share this.
#[derive(Debug, Default)]
pub(crate) struct LiveTask {
    facts: Mutex<Facts>,
    history: Mutex<History>,
}

impl LiveTask {
    /// A copy of all that is known.
    pub(crate) fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// Changes what is known. `change` must not wait for anything.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.lock())
    }

    /// A run begins. A channel that it does not read within a while no longer belongs to the task.
    pub(crate) fn begin_run(&self) {
        self.with(|facts| {
            facts.stage = RunStage::Running;
            facts.began = Some(Instant::now());
            // The run tells of those that are out of step still.
            facts.out_of_step.clear();
            facts.channels.values_mut().for_each(|c| c.confirmed = false);
        });
    }

    /// Drops the channels that a healthy run has not read for long, and returns their names.
    pub(crate) fn drop_unconfirmed(&self) -> Vec<String> {
        self.with(|facts| {
            let is_healthy = facts.stage == RunStage::Running
                && facts.waiting.is_none()
                && facts.began.is_some_and(|b| b.elapsed() > CONFIRM_MAX);
            if !is_healthy {
                return Vec::new();
            }
            let gone = facts.channels.iter().filter(|(_, c)| !c.confirmed);
            let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
            facts.channels.retain(|_, c| c.confirmed);
            gone
        })
    }

    /// Records an event of the task.
    pub(crate) fn record(&self, event: EventKind, reason: &str) {
        self.history().record(event, reason);
    }

    /// Records an event if the stored state has changed.
    pub(crate) fn record_stored(&self, state: State, reason: &str) {
        self.history().record_stored(state, reason);
    }

    /// The events of the task, the newest last.
    pub(crate) fn events(&self) -> Vec<TaskEvent> {
        self.history().events()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        // Facts are plain values, complete even if a thread panicked while it held the lock.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All stored tasks.
#[derive(Debug, Default)]
pub(crate) struct Live {
    tasks: Mutex<HashMap<String, Arc<LiveTask>>>,
}

impl Live {
    /// What is known of a task, if the supervisor has seen it.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<LiveTask>> {
        self.lock().get(id).cloned()
    }

    /// What is known of a task. It is added if it is new, and then the second value is `true`.
    pub(crate) fn get_or_add(&self, id: &str) -> (Arc<LiveTask>, bool) {
        let mut tasks = self.lock();
        if let Some(task) = tasks.get(id) {
            return (Arc::clone(task), false);
        }
        let task = Arc::new(LiveTask::default());
        tasks.insert(id.to_owned(), Arc::clone(&task));
        (task, true)
    }

    /// Forgets a task that was deleted.
    pub(crate) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<(String, Arc<LiveTask>)> {
        self.lock().iter().map(|(id, task)| (id.clone(), Arc::clone(task))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<LiveTask>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
