//! Tells of changes, for ever: a watch that is lost, compacted or cancelled is made anew. Never
//! tells what has changed in a record: the events say what to read again.
//!
//! A new watch begins at the newest revision, and only then `Resync` is sent: whoever lists after
//! that misses nothing, and what came before is in the list.

use super::Shared;
use super::connection::Cause;
use super::listing::ANSWER_BYTES_MAX;
use super::read::text;
use etcd_client::{Client, KeyValue, WatchOptions, WatchResponse, WatchStream, Watcher};
use milvus_wire::serving::decode_alias;
use rand::Rng as _;
use replication::ports::CatalogEvent;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

/// The first pause before a new attempt; it doubles with each.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A watch that lived that long was a success: the next pause is a short one.
const LIVED: Duration = Duration::from_secs(30);

/// So long without any event, and the server is asked whether the watch is still alive.
const QUIET: Duration = Duration::from_secs(60);

/// Then an answer must come.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Watches until its task is aborted.
pub(super) async fn forever(shared: Arc<Shared>) {
    let mut pause = PAUSE_MIN;
    let mut failures: u64 = 0;
    loop {
        let begun = Instant::now();
        let reason = match watch(&shared, &mut failures).await {
            Ok(never) => match never {},
            Err(reason) => reason,
        };
        if begun.elapsed() > LIVED {
            pause = PAUSE_MIN;
        }
        failures += 1;
        if failures == 1 {
            warn!(reason, "the watch of the source's metadata is lost, watching anew");
        } else {
            debug!(reason, failures, "the source's metadata still can't be watched");
        }
        shared.connection.discard().await;
        let jitter = rand::rng().random_range(0.5..1.0);
        sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One watch, from its beginning to its end and the reason for that.
async fn watch(shared: &Shared, failures: &mut u64) -> Result<Infallible, String> {
    let (mut watcher, mut stream) = begin(shared).await?;
    if *failures > 0 {
        info!("watching the source's metadata again");
    }
    *failures = 0;
    // Nobody may be listening yet.
    let _ = shared.events.send(CatalogEvent::Resync);
    loop {
        let answer = match timeout(QUIET, stream.message()).await {
            Ok(answer) => answer,
            Err(_) => {
                watcher.request_progress().await.map_err(short)?;
                let asked = timeout(ANSWER_WITHIN, stream.message()).await;
                asked.map_err(|_| "no answer in time".to_owned())?
            }
        };
        announce(shared, &alive(answer)?);
    }
}

/// All watches, on one stream, confirmed by the server.
async fn begin(shared: &Shared) -> Result<(Watcher, WatchStream), String> {
    let keys = &shared.keys;
    let ask = |client: Client| {
        let more = [
            keys.all_partitions(),
            keys.all_indexes(),
            keys.all_loads(),
            keys.all_partition_loads(),
            keys.aliases(),
            keys.credentials(),
        ];
        begin_on(client, keys.collections(), more)
    };
    let asked = shared.connection.ask("watch the source's metadata", ask).await;
    let (watcher, stream, confirmed) = asked.map_err(|error| format!("{error:?}"))?;
    alive(Ok(confirmed))?;
    Ok((watcher, stream))
}

async fn begin_on(
    client: Client,
    first: String,
    more: [String; 6],
) -> Result<(Watcher, WatchStream, Option<WatchResponse>), etcd_client::Error> {
    // Only what an alias's record was before tells from whom it was taken.
    let options = || Some(WatchOptions::new().with_prefix().with_prev_key().with_progress_notify());
    let mut watch = client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX);
    let (mut watcher, mut stream) = watch.watch(first, options()).await?;
    let mut unconfirmed = more.len();
    for prefix in more {
        watcher.watch(prefix, options()).await?;
    }
    loop {
        let answer = stream.message().await?;
        // Those that are confirmed may have events already: the resync covers them.
        let Some(confirmed) = &answer else { return Ok((watcher, stream, answer)) };
        unconfirmed -= usize::from(confirmed.created());
        if confirmed.canceled() || unconfirmed == 0 {
            return Ok((watcher, stream, answer));
        }
    }
}

fn alive(
    answer: Result<Option<WatchResponse>, etcd_client::Error>,
) -> Result<WatchResponse, String> {
    match answer {
        Ok(Some(answer)) if answer.canceled() => {
            let (reason, compacted) = (answer.cancel_reason(), answer.compact_revision());
            Err(format!("cancelled: {reason} (compacted at {compacted})"))
        }
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err("the stream has ended".to_owned()),
        Err(error) => Err(short(error)),
    }
}

fn short(error: etcd_client::Error) -> String {
    Cause(error).to_string()
}

fn announce(shared: &Shared, answer: &WatchResponse) {
    for event in answer.events() {
        let Some(record) = event.kv() else { continue };
        let key = text(record.key());
        let concerned = if let Some((database, id)) = shared.keys.parse_collection_key(&key) {
            let mut homes = shared.homes.lock().unwrap_or_else(PoisonError::into_inner);
            homes.insert(id, database);
            vec![CatalogEvent::Collection(id)]
        } else if let Some((id, _)) = shared.keys.parse_partition_key(&key) {
            vec![CatalogEvent::Partition(id)]
        } else if let Some(id) = shared.keys.parse_serving_key(&key) {
            vec![CatalogEvent::Serving(id)]
        } else if shared.keys.parse_alias_key(&key).is_some() {
            of_alias(event.prev_kv(), record)
        } else if key.starts_with(&shared.keys.credentials()) {
            vec![CatalogEvent::Access]
        } else {
            continue;
        };
        for event in concerned {
            let _ = shared.events.send(event);
        }
    }
}

/// Who had an alias, and who has it now.
fn of_alias(before: Option<&KeyValue>, now: &KeyValue) -> Vec<CatalogEvent> {
    let has = |record: &KeyValue| decode_alias(record.value()).ok().flatten();
    let (before, now) = (before.and_then(has), has(now));
    // In this order: a look at who has it now moves it, and then there is nothing left to take away.
    let concerned: Vec<_> = now.into_iter().chain(before).map(CatalogEvent::Serving).collect();
    if concerned.is_empty() { vec![CatalogEvent::Resync] } else { concerned }
}
