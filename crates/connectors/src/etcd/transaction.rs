//! Runs a transaction of etcd, such as several reads as of one moment. Never repeats one that may
//! have had an effect, unless it is asked to.

use super::connection::{Connection, Repeat};
use super::listing::reader;
use etcd_client::{Client, KeyValue, Txn, TxnOpResponse};
use replication::error::Result;

/// The answer to a transaction.
pub(crate) struct Answer {
    /// Whether its conditions held.
    pub(crate) succeeded: bool,
    /// etcd's revision at that moment.
    pub(crate) revision: i64,
    /// What its reads found, in their order.
    pub(crate) reads: std::vec::IntoIter<Vec<KeyValue>>,
    /// Whether the same transaction was sent before, and may have been carried out then.
    pub(crate) is_doubtful: bool,
}

impl Answer {
    /// What the next read found.
    pub(crate) fn next_read(&mut self) -> Vec<KeyValue> {
        self.reads.next().unwrap_or_default()
    }
}

/// Runs a transaction; `tried` names it in an error.
pub(crate) async fn transact(
    connection: &Connection,
    tried: &str,
    repeat: Repeat,
    txn: Txn,
) -> Result<Answer> {
    let ask = async |client: Client| reader(&client).txn(txn.clone()).await;
    let answered = connection.ask_members(tried, repeat, ask).await?;
    let (answer, is_doubtful) = (answered.answer, answered.is_doubtful);
    let reads = answer.op_responses().into_iter().filter_map(|answer| match answer {
        TxnOpResponse::Get(mut got) => Some(got.take_kvs()),
        _ => None,
    });
    Ok(Answer {
        succeeded: answer.succeeded(),
        revision: answer.header().map_or(0, |header| header.revision()),
        reads: reads.collect::<Vec<_>>().into_iter(),
        is_doubtful,
    })
}
