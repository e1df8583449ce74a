//! The life of a task: it begins, or takes up what an earlier life left, and goes on until it is told
//! to stop or meets a fault. Its rows and its op channel go side by side.
//! Never touches a row: that is the way in `path`.

use crate::collections::cover::Cover;
use crate::context::Ports;
use crate::error::{Error, Result};
use crate::metadata::op_channel;
use crate::path::Path;
use crate::ports::CatalogEvent;
use crate::progress::Progress;
use crate::records::checkpoint;
use crate::records::checkpoint::Checkpoint;
use crate::records::lease;
use crate::stop::Stop;
use crate::takeover;
use crate::task::Task;
use futures::FutureExt;
use futures::future::{Either, select};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Replicates until `stop` (then the error's kind is `Stopped`, and an open window has been
/// finished if that was possible in time) or until a fault. A transient fault means: call again
/// after a pause, it resumes from its checkpoint; but if the destination is lost, with one that was
/// opened anew. A permanent one means: pause the task with this reason.
pub async fn run(task: Task, ports: Ports, stop: CancellationToken) -> Error {
    let task = Arc::new(task);
    let stop = Stop { token: stop, finish_max: task.limits.finish_max };
    let (progress, seen) = watch::channel(Progress::default());
    let inner = Stop { token: stop.token.child_token(), ..stop.clone() };
    let rows = replicate(task.clone(), ports.clone(), inner.clone(), progress).boxed();
    let ops = op_channel::replicate(task.clone(), ports.clone(), inner.clone(), seen).boxed();
    let both = async {
        match select(rows, ops).await {
            Either::Left((result, _)) => result,
            Either::Right((result, rows)) => {
                // A window in flight is finished, not cut off.
                inner.token.cancel();
                let _ = rows.await;
                result
            }
        }
    };
    let result = tokio::select! {
        biased;
        // Whoever has the target now finds the window as after a crash.
        () = ports.destination.lease().lost() => Err(lease::lost()),
        result = both => result,
    };
    ports.destination.leave(&task.id);
    result.err().unwrap_or_else(Error::stopped)
}

async fn replicate(
    task: Arc<Task>,
    ports: Ports,
    stop: Stop,
    progress: watch::Sender<Progress>,
) -> Result<()> {
    // Before anything is listed: what changes from here on is not missed.
    let changes = ports.catalog.changes();
    stop.until(ports.destination.ready()).await??;
    let mut delivery = ports.destination.delivery(&task.id, ports.observer.clone(), stop.clone());
    // In this order: a lane that is taken in between has left its fence when the records are read.
    let mut exactly = delivery.left_open().await?;
    let loaded = stop.until(checkpoint::load(&*ports.store, &task.id)).await??;
    let mut fence = loaded.fence;
    if let Some(begun) = loaded.checkpoint.as_ref().filter(|c| c.taken_over) {
        let end = stop.until(takeover::fence_at_start(&task, &ports, begun)).await??;
        fence = fence.max(Some(end));
    }
    if let Some(fence) = fence {
        delivery.raise_fence(fence).await?;
        exactly = exactly.filter(|_| delivery.is_replaying());
    }
    let mut cover = Cover::new(task, ports, loaded.collections);
    take_up(&mut cover, loaded.checkpoint, &stop).await?;
    Path::new(cover, delivery, stop, exactly).go(changes, progress).await
}

/// Begins, or takes up what an earlier life left.
async fn take_up(cover: &mut Cover, stored: Option<Checkpoint>, stop: &Stop) -> Result<()> {
    let Some(checkpoint) = stored else {
        return stop.until(cover.begin()).await?;
    };
    stop.until(cover.resume(&checkpoint)).await??;
    if let Some(pending) = checkpoint.pending {
        stop.bounded(cover.drop(&pending)).await??;
    }
    stop.until(cover.look(CatalogEvent::Resync)).await?
}
