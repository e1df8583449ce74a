//! Lists the records below a prefix, page by page, as of one moment. Never asks for an unbounded
//! answer.

use super::connection::Connection;
use crate::key_range;
use etcd_client::{Client, GetOptions, KeyValue, KvClient};
use replication::error::{Error, Result};

/// Records of a page: a schema is some kilobytes at most, so a page stays far below a megabyte.
const PAGE_RECORDS: i64 = 500;

/// Records of one listing: one page more than Milvus allows, which is 65,536 collections of 64
/// fields.
const LISTING_RECORDS_MAX: usize = 65_536 * 64 + PAGE_RECORDS as usize;

/// The largest answer; the client's default of four megabytes may not be enough.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The part of the client that reads and writes keys, with room for large answers.
pub(crate) fn reader(client: &Client) -> KvClient {
    client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX)
}

/// All records of a prefix, sorted by key, and their revision: the given one, or the newest (then
/// the read is linearizable).
pub(crate) async fn list(
    connection: &Connection,
    prefix: &str,
    revision: Option<i64>,
) -> Result<(Vec<KeyValue>, i64)> {
    let mut records: Vec<KeyValue> = Vec::new();
    let mut revision = revision;
    loop {
        // The first key after the last one read; for the first page the prefix itself.
        let from = records.last().map_or(prefix.as_bytes().to_vec(), |last| {
            let mut key = last.key().to_vec();
            key.push(0);
            key
        });
        let (page, more, at) = page(connection, prefix, from, revision).await?;
        let at = *revision.get_or_insert(at);
        records.extend(page);
        if !more {
            return Ok((records, at));
        }
        if records.len() >= LISTING_RECORDS_MAX {
            let what = format!("there are more than {LISTING_RECORDS_MAX} records under {prefix}");
            return Err(Error::permanent(what));
        }
    }
}

/// Whether there was nothing below a prefix at a revision.
pub(super) async fn is_empty(connection: &Connection, prefix: &str, revision: i64) -> Result<bool> {
    let options = GetOptions::new()
        .with_range(key_range::behind(prefix.as_bytes()))
        .with_limit(1)
        .with_keys_only()
        .with_revision(revision);
    let ask = |client: Client| {
        let options = options.clone();
        async move { reader(&client).get(prefix, Some(options)).await }
    };
    let answer = connection.ask(&format!("look for {prefix}"), ask).await?;
    Ok(answer.kvs().is_empty())
}

async fn page(
    connection: &Connection,
    prefix: &str,
    from: Vec<u8>,
    revision: Option<i64>,
) -> Result<(Vec<KeyValue>, bool, i64)> {
    let mut options =
        GetOptions::new().with_range(key_range::behind(prefix.as_bytes())).with_limit(PAGE_RECORDS);
    if let Some(revision) = revision {
        options = options.with_revision(revision);
    }
    let ask = |client: Client| {
        let (from, options) = (from.clone(), options.clone());
        async move { reader(&client).get(from, Some(options)).await }
    };
    let mut answer = connection.ask(&format!("list {prefix}"), ask).await?;
    let revision = answer.header().map_or(0, |header| header.revision());
    let more = answer.more();
    Ok((answer.take_kvs(), more, revision))
}
