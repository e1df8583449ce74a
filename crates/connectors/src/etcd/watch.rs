//! Reports changes for ever: a watch that is lost, compacted or cancelled is made anew. Never says
//! what has changed in a record: the events say what to read again.
//!
//! A new watch begins at the newest revision, and only then is `Resync` sent. A listing after that
//! misses nothing: earlier changes are in the listing.

use super::cluster::Cluster;
use super::connection::Repeat;
use super::fault::told;
use super::listing::ANSWER_BYTES_MAX;
use super::record::text;
use etcd_client::{Client, KeyValue, WatchOptions, WatchResponse, WatchStream, Watcher};
use milvus_wire::serving::decode_alias;
use rand::Rng as _;
use replication::ports::CatalogEvent;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

/// The first pause before a new attempt; it doubles with each.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// After a watch that lasted this long the next pause is short again.
const LIVED: Duration = Duration::from_secs(30);

/// After this time without an event the server is asked whether the watch is alive.
const QUIET: Duration = Duration::from_secs(60);

/// How long the answer to that may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Watches until its task is aborted.
pub(super) async fn forever(cluster: Arc<Cluster>) {
    let mut pause = PAUSE_MIN;
    let mut failures: u64 = 0;
    loop {
        let begun = Instant::now();
        let reason = match watch(&cluster, &mut failures).await {
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
        let jitter = rand::rng().random_range(0.5..1.0);
        sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Runs one watch; returns why it ended.
async fn watch(cluster: &Cluster, failures: &mut u64) -> Result<Infallible, String> {
    let (member, watcher, stream) = begin(cluster).await?;
    if *failures > 0 {
        info!("watching the source's metadata again");
    }
    *failures = 0;
    // There may be no receiver yet.
    let _ = cluster.events.send(CatalogEvent::Resync);
    // A member that no longer answers requests may not send events either, and says nothing.
    let moved = cluster.connection.moved_from(member);
    let ended = tokio::select! {
        ended = report(cluster, watcher, stream) => ended,
        () = moved => Err("another member of etcd is asked from now on".to_owned()),
    };
    cluster.connection.discard(member).await;
    ended
}

/// Reports what a watch announces until it ends.
async fn report(
    cluster: &Cluster,
    mut watcher: Watcher,
    mut stream: WatchStream,
) -> Result<Infallible, String> {
    loop {
        let answer = match timeout(QUIET, stream.message()).await {
            Ok(answer) => answer,
            Err(_) => {
                watcher.request_progress().await.map_err(|error| told(&error))?;
                let asked = timeout(ANSWER_WITHIN, stream.message()).await;
                asked.map_err(|_| "no answer in time".to_owned())?
            }
        };
        announce(cluster, &alive(answer)?);
    }
}

/// Begins all watches, on one stream; returns once the server has confirmed them.
async fn begin(cluster: &Cluster) -> Result<(usize, Watcher, WatchStream), String> {
    let keys = &cluster.keys;
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
    let tried = "watch the source's metadata";
    let asked = cluster.connection.ask_members(tried, Repeat::Always, ask).await;
    let asked = asked.map_err(|error| format!("{error:?}"))?;
    let (watcher, stream, confirmed) = asked.answer;
    alive(Ok(confirmed))?;
    Ok((asked.member, watcher, stream))
}

async fn begin_on(
    client: Client,
    first: String,
    more: [String; 6],
) -> Result<(Watcher, WatchStream, Option<WatchResponse>), etcd_client::Error> {
    // Only the previous record of an alias says from which collection it was taken.
    let options = || Some(WatchOptions::new().with_prefix().with_prev_key().with_progress_notify());
    let mut watch = client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX);
    let (mut watcher, mut stream) = watch.watch(first, options()).await?;
    let mut unconfirmed = more.len();
    for prefix in more {
        watcher.watch(prefix, options()).await?;
    }
    loop {
        let answer = stream.message().await?;
        // Confirmed watches may have events already: the resync covers them.
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
        Err(error) => Err(told(&error)),
    }
}

fn announce(cluster: &Cluster, answer: &WatchResponse) {
    for event in answer.events() {
        let Some(record) = event.kv() else { continue };
        let key = text(record.key());
        let concerned = if let Some((database, id)) = cluster.keys.parse_collection_key(&key) {
            cluster.remember_home(id, database);
            vec![CatalogEvent::Collection(id)]
        } else if let Some((id, _)) = cluster.keys.parse_partition_key(&key) {
            vec![CatalogEvent::Partition(id)]
        } else if let Some(id) = cluster.keys.parse_serving_key(&key) {
            vec![CatalogEvent::Serving(id)]
        } else if cluster.keys.parse_alias_key(&key).is_some() {
            of_alias(event.prev_kv(), record)
        } else if key.starts_with(&cluster.keys.credentials()) {
            vec![CatalogEvent::Rbac]
        } else {
            continue;
        };
        for event in concerned {
            let _ = cluster.events.send(event);
        }
    }
}

/// The collection that had an alias, and the one that has it now.
fn of_alias(before: Option<&KeyValue>, now: &KeyValue) -> Vec<CatalogEvent> {
    let has = |record: &KeyValue| decode_alias(record.value()).ok().flatten();
    let (before, now) = (before.and_then(has), has(now));
    // The new one comes first: looking at it moves the alias, and then nothing is left to take away
    // from the old one.
    let concerned: Vec<_> = now.into_iter().chain(before).map(CatalogEvent::Serving).collect();
    if concerned.is_empty() { vec![CatalogEvent::Resync] } else { concerned }
}
