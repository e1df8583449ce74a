//! Answers that have no deadline, because asking again could do harm: whoever waits for one says so
//! once it is overdue. Never gives up and never asks again.

use crate::observer::{Event, Noted, Observer};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// After how long an answer is overdue, and how often that is said again while it lasts.
const OVERDUE: Duration = Duration::from_secs(10);

/// Waits for an answer. `what` is a sentence on what has not happened.
pub(crate) async fn tell<T>(
    observer: &dyn Observer,
    what: impl Fn() -> String,
    work: impl Future<Output = T>,
) -> T {
    let began = Instant::now();
    let mut work = std::pin::pin!(work);
    if let Ok(done) = timeout(OVERDUE, &mut work).await {
        return done;
    }
    observer.event(Event::Counted(Noted::Overdue, 1));
    let text = format!("{} for more than {} s; it is waited for", what(), OVERDUE.as_secs());
    tracing::warn!("{text}");
    let done = loop {
        // What is done meanwhile may have ended another wait, and with it this reason.
        observer.event(Event::Waiting(Some(&text)));
        if let Ok(done) = timeout(OVERDUE, &mut work).await {
            break done;
        }
    };
    tracing::info!(after = ?began.elapsed(), "no longer: {text}");
    observer.event(Event::Waiting(None));
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Observer for Told {
        fn event(&self, event: Event<'_>) {
            self.0.lock().unwrap().push(match event {
                Event::Counted(noted, _) => noted.name().into_owned(),
                Event::Waiting(reason) => reason.unwrap_or("goes on").to_owned(),
                _ => String::new(),
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_and_told_of_while_it_is_overdue() {
        let told = Told::default();
        let what = || "no answer".to_owned();
        let soon = tokio::time::sleep(Duration::from_secs(9));
        tell(&told, what, soon).await;
        assert!(told.0.lock().unwrap().is_empty());
        let late = tokio::time::sleep(Duration::from_secs(25));
        tell(&told, what, late).await;
        let reason = "no answer for more than 10 s; it is waited for";
        assert_eq!(*told.0.lock().unwrap(), ["overdue", reason, reason, "goes on"]);
    }
}
