//! What is known of each task right now and stored nowhere: stage, ticks, what it waits for.
//! Feeds the `status` of the answers, the lag, and the retry's decision whether there was progress.
//! Never decides whether a task runs.

use crate::monitoring::history::{Event, History, What};
use crate::tasks::State;
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A run that goes well has opened all its channels long before.
const CONFIRM_MAX: Duration = Duration::from_secs(60);

/// Where a task stands in its life here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it runs.
    #[default]
    Stopped,
    /// It runs.
    Running,
    /// It failed and is started again after a pause.
    Retrying,
    /// It was told to stop and finishes what is open.
    Stopping,
}

impl Stage {
    /// The word in answers.
    pub fn word(self) -> &'static str {
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
pub struct ChannelTicks {
    /// The last tick read.
    pub read: Timestamp,
    /// Everything up to it is on the target; zero: not known yet.
    pub acknowledged: Timestamp,
    /// The current run reads it; what was read before the run may be gone.
    pub confirmed: bool,
}

/// What is known of one task.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Where it stands.
    pub stage: Stage,
    /// What it waits for.
    pub waiting: Option<String>,
    /// Restarts since the service started.
    pub restarts: u64,
    /// By source channel.
    pub channels: BTreeMap<String, ChannelTicks>,
    /// Grows whenever the target acknowledges a later tick or rows.
    pub progress: u64,
    /// When the current run began.
    pub began: Option<Instant>,
}

/// One task; shared by its observer, its runner and the answers.
#[derive(Debug, Default)]
pub struct LiveTask {
    facts: Mutex<Facts>,
    history: Mutex<History>,
}

impl LiveTask {
    /// A copy of all that is known.
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// Changes what is known. `change` must return at once.
    pub fn with<T>(&self, change: impl FnOnce(&mut Facts) -> T) -> T {
        change(&mut self.lock())
    }

    /// A run begins: what it does not read within a while is no longer a channel of the task.
    pub fn begin_run(&self) {
        self.with(|facts| {
            facts.stage = Stage::Running;
            facts.began = Some(Instant::now());
            facts.channels.values_mut().for_each(|c| c.confirmed = false);
        });
    }

    /// Drops channels that a run which goes well has not read for long; answers which.
    pub fn drop_unconfirmed(&self) -> Vec<String> {
        self.with(|facts| {
            let well = facts.stage == Stage::Running
                && facts.waiting.is_none()
                && facts.began.is_some_and(|b| b.elapsed() > CONFIRM_MAX);
            if !well {
                return Vec::new();
            }
            let gone = facts.channels.iter().filter(|(_, c)| !c.confirmed);
            let gone: Vec<String> = gone.map(|(name, _)| name.clone()).collect();
            facts.channels.retain(|_, c| c.confirmed);
            gone
        })
    }

    /// Something happened to it.
    pub fn note(&self, event: What, reason: &str) {
        self.history().note(event, reason);
    }

    /// What is stored of it, whoever changed it.
    pub fn note_stored(&self, state: State, reason: &str) {
        self.history().note_stored(state, reason);
    }

    /// What happened to it, the newest last.
    pub fn events(&self) -> Vec<Event> {
        self.history().events()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        // Facts are plain values: they are whole even if a holder panicked.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All stored tasks.
#[derive(Debug, Default)]
pub struct Live {
    tasks: Mutex<HashMap<String, Arc<LiveTask>>>,
}

impl Live {
    /// What is known of a task, if the supervisor has seen it.
    pub fn get(&self, id: &str) -> Option<Arc<LiveTask>> {
        self.lock().get(id).cloned()
    }

    /// What is known of a task; nothing yet if it is new. The second value says whether it is.
    pub fn enter(&self, id: &str) -> (Arc<LiveTask>, bool) {
        let mut tasks = self.lock();
        if let Some(task) = tasks.get(id) {
            return (Arc::clone(task), false);
        }
        let task = Arc::new(LiveTask::default());
        tasks.insert(id.to_owned(), Arc::clone(&task));
        (task, true)
    }

    /// Forgets a task that was deleted.
    pub fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// All of them.
    pub fn all(&self) -> Vec<(String, Arc<LiveTask>)> {
        self.lock().iter().map(|(id, task)| (id.clone(), Arc::clone(task))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<LiveTask>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
