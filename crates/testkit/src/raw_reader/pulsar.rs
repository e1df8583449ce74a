//! Reads the topics of a Pulsar with the readers of the client library that the service takes its
//! frames from. Never leaves a subscription behind.

use super::reading::{ANSWER_WITHIN, Clock, RawRead, RawResult, STALL};
use anyhow::{Context, Result};
use futures::TryStreamExt;
use futures::future::try_join_all;
use pulsar::consumer::InitialPosition;
use pulsar::proto::MessageIdData;
use pulsar::reader::Reader;
use pulsar::{ConsumerOptions, Pulsar, TokioExecutor};
use tokio::time::timeout;

type TopicReader = Reader<Vec<u8>, TokioExecutor>;

/// Messages that a reader asks for at a time.
const AT_A_TIME: u32 = 1000;

pub(super) fn read(asked: &RawRead) -> Result<RawResult> {
    tokio::runtime::Runtime::new()?.block_on(read_all(asked))
}

async fn read_all(asked: &RawRead) -> Result<RawResult> {
    // The futures of this client are large.
    let client = Box::pin(Pulsar::builder(&asked.brokers, TokioExecutor).build()).await?;
    let mut ends = Vec::new();
    for topic in &asked.topics {
        let mut reader = Box::pin(open(&client, topic)).await?;
        let end = Box::pin(timeout(ANSWER_WITHIN, reader.get_last_message_id())).await??;
        // Of a topic without entries.
        if end.entry_id < u64::MAX {
            ends.push((topic, place(&end)));
        }
    }
    let clock = Clock::start()?;
    let readings = ends.into_iter().map(|(topic, end)| Box::pin(to_the_end(&client, topic, end)));
    let read = try_join_all(readings).await?;
    let sum = |(all, more): (u64, u64), (messages, bytes)| (all + messages, more + bytes);
    let (messages, bytes) = read.into_iter().fold((0, 0), sum);
    clock.stop(messages, bytes)
}

/// How many messages there are up to the end, and their bytes.
async fn to_the_end(
    client: &Pulsar<TokioExecutor>,
    topic: &str,
    end: (u64, u64),
) -> Result<(u64, u64)> {
    let mut reader = Box::pin(open(client, topic)).await?;
    let (mut messages, mut bytes) = (0, 0);
    loop {
        let next = timeout(STALL, reader.try_next()).await;
        let next = next.with_context(|| format!("nothing came of {topic} for {STALL:?}"))??;
        let message = next.with_context(|| format!("{topic} ended"))?;
        messages += 1;
        bytes += message.payload.data.len() as u64;
        if place(message.message_id()) >= end {
            return Ok((messages, bytes));
        }
    }
}

async fn open(client: &Pulsar<TokioExecutor>, topic: &str) -> Result<TopicReader> {
    let options = ConsumerOptions {
        durable: Some(false),
        initial_position: InitialPosition::Earliest,
        ..Default::default()
    };
    let reader = client
        .reader()
        .with_topic(format!("persistent://public/default/{topic}"))
        .with_options(options)
        .with_batch_size(AT_A_TIME)
        .into_reader();
    Box::pin(reader).await.with_context(|| format!("open {topic}"))
}

fn place(id: &MessageIdData) -> (u64, u64) {
    (id.ledger_id, id.entry_id)
}
