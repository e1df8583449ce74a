//! What happened to a task since the service started, for people who ask what it was doing: the
//! newest last. Never grows without limit, and never decides anything.

use crate::tasks::State;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

/// The oldest ones go when there are more: some days of a task that has little trouble.
const EVENTS_MAX: usize = 200;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is stored as one that does not run yet.
    Initial,
    /// It is stored as one that runs.
    Running,
    /// It is stored as one that does not run; the reason says why.
    Paused,
    /// It began to run here.
    Started,
    /// It failed and is started again; the reason is the fault.
    Retrying,
    /// It waits for something that should heal.
    Waiting,
    /// It waits no longer.
    GoesOn,
    /// Nothing of it runs any more.
    Stopped,
    /// It did not stop in time and was cut off; its checkpoint holds.
    CutOff,
}

/// One event, or several equal ones in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Event {
    /// When it happened first, unix milliseconds.
    #[schema(example = 1_700_000_000_000_u64)]
    pub first_ms: u64,
    /// When it happened last, unix milliseconds.
    #[schema(example = 1_700_000_000_000_u64)]
    pub at_ms: u64,
    /// How often, one after the other.
    #[schema(example = 1)]
    pub times: u64,
    /// What happened.
    pub event: What,
    /// Why; empty if that needs no words.
    #[schema(example = "the target does not answer")]
    pub reason: String,
}

/// The events of one task.
#[derive(Debug, Default)]
pub struct History {
    events: VecDeque<Event>,
    stored: Option<(State, String)>,
}

impl History {
    /// Something happened.
    pub fn note(&mut self, event: What, reason: &str) {
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
        self.events.push_back(Event { first_ms: at_ms, at_ms, times: 1, event, reason });
    }

    /// What is stored of the task; an event if that has changed, whoever changed it.
    pub fn note_stored(&mut self, state: State, reason: &str) {
        let stored = (state, reason.to_owned());
        if self.stored.as_ref() == Some(&stored) {
            return;
        }
        self.stored = Some(stored);
        let event = match state {
            State::Initial => What::Initial,
            State::Running => What::Running,
            State::Paused => What::Paused,
        };
        self.note(event, reason);
    }

    /// All of them, the newest last.
    pub fn events(&self) -> Vec<Event> {
        self.events.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_events_in_a_row_are_one_and_the_oldest_go() {
        let mut history = History::default();
        history.note(What::Retrying, "away");
        history.note(What::Retrying, "away");
        history.note(What::Retrying, "still away");
        let events = history.events();
        assert_eq!(events.iter().map(|e| e.times).collect::<Vec<_>>(), [2, 1]);
        for i in 0..EVENTS_MAX {
            history.note(What::Waiting, &i.to_string());
        }
        let events = history.events();
        assert_eq!((events.len(), events[0].reason.as_str()), (EVENTS_MAX, "0"));
    }

    #[test]
    fn what_is_stored_is_an_event_only_when_it_changes() {
        let mut history = History::default();
        history.note_stored(State::Running, "");
        history.note_stored(State::Running, "");
        history.note_stored(State::Paused, "why");
        let events: Vec<_> = history.events().into_iter().map(|e| (e.event, e.reason)).collect();
        assert_eq!(events, [(What::Running, String::new()), (What::Paused, "why".into())]);
    }
}
