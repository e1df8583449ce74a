//! One run of a task: it begins, or resumes what an earlier run left, and goes on until it is
//! stopped or meets a fault. Its rows and its op channel run side by side. Never touches a row:
//! `path` does.

use crate::collections::flushes::Flushes;
use crate::collections::replicated::{Collections, Ending};
use crate::context::{Context, Ports};
use crate::error::{Error, Kind, Result};
use crate::metadata::op_channel;
use crate::observer::Event;
use crate::path::Path;
use crate::ports::CatalogEvent;
use crate::progress::Progress;
use crate::records::checkpoint::Checkpoint;
use crate::replay::Replay;
use crate::rows::read::Channels;
use crate::stop::Stop;
use crate::takeover;
use crate::task::Task;
use futures::FutureExt;
use futures::future::{Either, select};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Replicates until `stop` or until a fault. After `stop` the error's kind is `Stopped`, and an
/// open window was finished if that was possible in time. After a transient fault call again after
/// a pause: the task resumes from its checkpoint. If the destination was lost, open a new one
/// first. After a permanent fault pause the task with this reason.
pub async fn run(task: Task, ports: Ports, stop: CancellationToken) -> Error {
    let task = Arc::new(task);
    let stop = Stop { token: stop, finish_max: task.limits.finish_max };
    let (progress, seen) = watch::channel(Progress::default());
    let inner = Stop { token: stop.token.child_token(), ..stop.clone() };
    let context = Context { task, ports };
    let rows = replicate(context.clone(), inner.clone(), progress).boxed();
    let ops = op_channel::replicate(context.clone(), inner.clone(), seen).boxed();
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
    let records = context.ports.destination.records();
    let result = tokio::select! {
        biased;
        // Whoever has the target now finds the window as after a crash.
        () = records.lease_lost() => Err(records.lost_error()),
        result = both => result,
    };
    context.ports.destination.leave(&context.task.id);
    let error = result.err().unwrap_or_else(Error::stopped);
    // Where no collection could be left out, the whole task has to wait.
    let is_of_one = error.kind == Kind::OneCollection;
    if is_of_one { Error { kind: Kind::Permanent, ..error } } else { error }
}

async fn replicate(context: Context, stop: Stop, progress: watch::Sender<Progress>) -> Result<()> {
    let ports = context.ports.clone();
    // Before anything is listed: what changes from here on is not missed.
    let changes = ports.catalog.changes();
    stop.until(ports.destination.ready()).await??;
    if let Some(link) = ports.destination.milvus() {
        ports.observer.event(Event::TargetVersion(&link.restarts.version()));
    }
    let mut delivery =
        ports.destination.delivery(&context.task.id, ports.observer.clone(), stop.clone());
    // In this order: a lane that is taken in between has left its fence when the records are read.
    let left_open = delivery.left_open().await?;
    let loaded = stop.until(context.records().load_all()).await??;
    let mut fence = loaded.fence;
    if let Some(stored) = loaded.checkpoint.as_ref().filter(|c| c.taken_over) {
        let end = stop.until(takeover::fence_at_start(&context, stored)).await??;
        fence = fence.max(Some(end));
    }
    if let Some(fence) = fence {
        delivery.raise_fence(fence);
    }
    let limits = &context.task.limits;
    let (source, observer) = (ports.source, ports.observer);
    let channels = Channels::new(source, observer, limits.round_bytes, limits.held_bytes_max);
    let mut collections = Collections::new(context.clone(), loaded.collections);
    fence.max(left_open).iter().for_each(|upto| collections.raise_unsure(*upto));
    let (replay, saved) = (Replay::until(left_open), Instant::now());
    let (has_moved, tried, flushes) = (false, saved, Flushes::new(&context));
    let mut path = Path {
        context,
        collections,
        channels,
        delivery,
        replay,
        stop,
        saved,
        has_moved,
        heard: saved,
        is_silent: false,
        tried,
        flushes,
    };
    match loaded.checkpoint {
        None => begin(&mut path).await?,
        Some(checkpoint) => resume(&mut path, checkpoint).await?,
    }
    path.go(changes, progress).await
}

/// Begins a task. It is stored before the target is touched.
async fn begin(path: &mut Path) -> Result<()> {
    let stop = path.stop.clone();
    let begun = async {
        let change = path.collections.begin().await?;
        // Also if there is nothing yet: with this record the task has begun.
        path.store(change).await?;
        let created = path.collections.create_existing(path.channels.done()).await?;
        path.carry(created).await
    };
    stop.until(begun).await?
}

/// Takes up what an earlier run left.
async fn resume(path: &mut Path, checkpoint: Checkpoint) -> Result<()> {
    let stop = path.stop.clone();
    let resumed = async {
        let out_of_step = path.collections.resume(&checkpoint).await?;
        path.channels.resume_behind(checkpoint.done);
        for (channel, position) in &checkpoint.channels {
            path.channels.open(channel, position.clone()).await?;
        }
        Ok(out_of_step)
    };
    let out_of_step = stop.until::<Result<_>>(resumed).await??;
    // Before anything else is stored, which would clear it.
    stop.bounded(path.carry_out(checkpoint.pending.map(Ending::Drop))).await??;
    let looked = async {
        path.carry(out_of_step).await?;
        let created = path.collections.create_existing(path.channels.done()).await?;
        path.carry(created).await?;
        path.look(CatalogEvent::Resync).await
    };
    stop.until(looked).await?
}
