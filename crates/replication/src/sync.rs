//! Two small things for code that runs side by side: a lock, and work with something beside it.
//! Never holds a lock over an await.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a value that no panic can leave half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work`, and `beside` meanwhile. The end of `work` cuts `beside` off; a failure of `beside`
/// is returned when `work` has ended, if that did not fail itself.
pub(crate) async fn join<T, E>(
    work: impl Future<Output = Result<T, E>>,
    beside: impl Future<Output = Result<(), E>>,
) -> Result<T, E> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        other = beside => {
            let done = work.await?;
            other.map(|()| done)
        }
    }
}
