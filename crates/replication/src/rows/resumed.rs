//! Reads a channel on from where an earlier run has stopped. What was read there then has to be
//! there again: otherwise the topic was made anew, or has lost its end. The queue's retention may
//! have passed over it, if it is done and nothing behind it is lost. Never decides where that is.

use crate::error::{Error, Kind, Result};
use crate::ports::{ChannelReader, Record, Source};
use async_trait::async_trait;
use bytes::Bytes;
use milvus_wire::position::MessageId;
use std::sync::Arc;

/// Tells whether an entry is the one that was read before.
type IsIt = Box<dyn Fn(&Bytes) -> bool + Send + Sync>;

/// A channel from the entry on at which an earlier run has stopped.
pub(crate) struct Resumed {
    source: Arc<dyn Source>,
    channel: String,
    reader: Box<dyn ChannelReader>,
    /// The entry, until something was read.
    from: Option<Entry>,
    /// Why the entry can't be read.
    lost: Option<Error>,
}

/// An entry that was read before.
pub(crate) struct Entry {
    /// Its id.
    pub(crate) id: MessageId,
    /// Whether nothing of it is to be done any more.
    pub(crate) is_done: bool,
    /// Tells whether this is it.
    pub(crate) is_it: IsIt,
}

impl Resumed {
    /// Opens a channel at an entry, inclusive.
    pub(crate) async fn open(source: Arc<dyn Source>, channel: &str, from: Entry) -> Result<Self> {
        let mut lost = None;
        let reader = match source.open(channel, &from.id).await {
            Err(error) if error.kind == Kind::Permanent && from.is_done => {
                let reader = source.open(channel, &behind(&*source, &from, &error)?).await?;
                lost = Some(error);
                reader
            }
            reader => reader?,
        };
        let from = Some(from).filter(|_| lost.is_none());
        Ok(Self { source, channel: channel.to_owned(), reader, from, lost: None })
    }

    /// Takes in what was read first.
    fn check(&mut self, record: &Record) -> Result<()> {
        let Some(from) = self.from.take() else { return Ok(()) };
        if record.id != from.id || (from.is_it)(&record.payload) {
            return Ok(());
        }
        // Whoever asks again is told the same.
        let (channel, id) = (&self.channel, from.id.clone());
        let error = Error::permanent(format!(
            "channel {channel} has another message at position {id:?} than the one that was read \
             there before: its topic was made anew or has lost its end. Nothing was skipped; make \
             the target equal to the source, delete the task and create it again"
        ));
        self.from = Some(from);
        Err(error)
    }

    /// Takes in an error. One that may only say that the entry is lost is kept.
    fn fault(&mut self, error: Error) -> Result<()> {
        let may_go_on = self.from.as_ref().is_some_and(|from| from.is_done);
        if error.kind != Kind::Permanent || !may_go_on {
            return Err(error);
        }
        self.lost = Some(error);
        Ok(())
    }

    /// Opens the channel behind the entry if it is lost.
    async fn go_on(&mut self) -> Result<()> {
        let (Some(error), Some(from)) = (&self.lost, &self.from) else { return Ok(()) };
        let behind = behind(&*self.source, from, error)?;
        self.reader = self.source.open(&self.channel, &behind).await?;
        tracing::info!(
            channel = self.channel,
            "the queue has lost the last entry that was done; reading goes on behind it"
        );
        (self.lost, self.from) = (None, None);
        Ok(())
    }
}

/// Where to open the channel behind an entry; the error if the queue can't say.
fn behind(source: &dyn Source, entry: &Entry, lost: &Error) -> Result<MessageId> {
    let behind = source.behind(&entry.id);
    if behind == entry.id { Err(Error::permanent(lost.what.clone())) } else { Ok(behind) }
}

#[async_trait]
impl ChannelReader for Resumed {
    async fn next(&mut self) -> Result<Record> {
        loop {
            self.go_on().await?;
            match self.reader.next().await {
                Ok(record) => {
                    self.check(&record)?;
                    return Ok(record);
                }
                Err(error) => self.fault(error)?,
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<Record>> {
        if self.lost.is_some() {
            return Ok(None);
        }
        match self.reader.try_next() {
            Ok(record) => {
                if let Some(record) = &record {
                    self.check(record)?;
                }
                Ok(record)
            }
            Err(error) => self.fault(error).map(|()| None),
        }
    }
}
