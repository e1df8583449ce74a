//! Who hears of what a link does beside its tasks: the tasks that run on it. What becomes overdue
//! is in the log even if none does. Never touches the reason for which a task itself waits.

use crate::observer::{Event, Observer};
use crate::sync::lock;
use std::sync::{Arc, Mutex, Weak};

/// The observers of the tasks on one target.
#[derive(Default)]
pub(super) struct Beside {
    tasks: Mutex<Vec<Weak<dyn Observer>>>,
}

impl Beside {
    /// Tells this one, too, as long as it is there.
    pub(super) fn tell(&self, observer: &Arc<dyn Observer>) {
        let new = Arc::downgrade(observer);
        let mut tasks = lock(&self.tasks);
        tasks.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&new));
        tasks.push(new);
    }
}

impl Observer for Beside {
    fn event(&self, event: Event<'_>) {
        if !matches!(event, Event::Counted(..)) {
            return;
        }
        for task in lock(&self.tasks).iter().filter_map(Weak::upgrade) {
            task.event(event.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::Noted;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Heard(AtomicU64);

    impl Observer for Heard {
        fn event(&self, _: Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_counted_beside_a_task_is_counted_once_and_hides_no_reason() {
        let (heard, beside) = (Arc::new(Heard::default()), Beside::default());
        let observer: Arc<dyn Observer> = heard.clone();
        // Each run of a task begins with it.
        beside.tell(&observer);
        beside.tell(&observer);
        beside.event(Event::Counted(Noted::Overdue, 1));
        beside.event(Event::Waiting(None));
        assert_eq!(heard.0.load(Ordering::Relaxed), 1);
        drop(observer);
        drop(heard);
        beside.event(Event::Counted(Noted::Overdue, 1));
    }
}
