//! What happened to a task since the service started, the newest last: for people who ask what it
//! was doing. Never grows without limit, and never decides anything.

use crate::tasks::State;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

/// Beyond this the oldest events go. It covers some days of a task that has little trouble.
const EVENTS_MAX: usize = 200;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = What)]
pub(crate) enum EventKind {
    /// The stored state became `Initial`.
    Initial,
    /// The stored state became `Running`.
    Running,
    /// The stored state became `Paused`; the reason says why.
    Paused,
    /// The task began to run here.
    Started,
    /// The task failed and is started again; the reason is the fault.
    Retrying,
    /// The task waits for something that should recover.
    Waiting,
    /// The task no longer waits.
    GoesOn,
    /// A collection is out of step with the task; the reason names it.
    OutOfStep,
    /// A collection is in step again, or has ended; the reason names it.
    InStep,
    /// The target was restarted: what it may have forgotten is read again.
    ReadAgain,
    /// The target was restarted, and what it may have forgotten can't be read again.
    Forgotten,
    /// The task has stopped.
    Stopped,
    /// The task did not stop in time and was cut off; its checkpoint is intact.
    CutOff,
}

/// One event, or several equal ones in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct TaskEvent {
    /// When it happened first, unix milliseconds.
    #[schema(example = 1_700_000_000_000_u64)]
    pub first_ms: u64,
    /// When it happened last, unix milliseconds.
    #[schema(example = 1_700_000_000_000_u64)]
    pub at_ms: u64,
    /// How often it happened in a row.
    #[schema(example = 1)]
    pub times: u64,
    /// What happened.
    pub event: EventKind,
    /// Why; empty if the event says it.
    #[schema(example = "the target does not answer")]
    pub reason: String,
}

/// The events of one task.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: VecDeque<TaskEvent>,
    stored: Option<(State, String)>,
}

impl History {
    /// Records an event.
    pub(crate) fn record(&mut self, event: EventKind, reason: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = now.as_millis() as u64;
        if let Some(last) = self.events.back_mut()
            && last.event == event
            && last.reason == reason
        {
            last.at_ms = at_ms;
            last.times += 1;
            return;
        }
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        let reason = reason.to_owned();
        self.events.push_back(TaskEvent { first_ms: at_ms, at_ms, times: 1, event, reason });
    }

    /// Records an event if the stored state of the task has changed.
    pub(crate) fn record_stored(&mut self, state: State, reason: &str) {
        let stored = (state, reason.to_owned());
        if self.stored.as_ref() == Some(&stored) {
            return;
        }
        self.stored = Some(stored);
        let event = match state {
            State::Initial => EventKind::Initial,
            State::Running => EventKind::Running,
            State::Paused => EventKind::Paused,
        };
        self.record(event, reason);
    }

    /// All of them, the newest last.
    pub(crate) fn events(&self) -> Vec<TaskEvent> {
        self.events.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_events_in_a_row_are_merged_and_the_oldest_are_dropped() {
        let mut history = History::default();
        history.record(EventKind::Retrying, "away");
        history.record(EventKind::Retrying, "away");
        history.record(EventKind::Retrying, "still away");
        let events = history.events();
        assert_eq!(events.iter().map(|e| e.times).collect::<Vec<_>>(), [2, 1]);
        for i in 0..EVENTS_MAX {
            history.record(EventKind::Waiting, &i.to_string());
        }
        let events = history.events();
        assert_eq!((events.len(), events[0].reason.as_str()), (EVENTS_MAX, "0"));
    }

    #[test]
    fn only_a_change_of_the_stored_state_is_an_event() {
        let mut history = History::default();
        history.record_stored(State::Running, "");
        history.record_stored(State::Running, "");
        history.record_stored(State::Paused, "why");
        let events: Vec<_> = history.events().into_iter().map(|e| (e.event, e.reason)).collect();
        assert_eq!(
            events,
            [(EventKind::Running, String::new()), (EventKind::Paused, "why".into())]
        );
    }
}
