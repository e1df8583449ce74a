//! A log of changes in the topics of a Kafka, for readers that are no Milvus. Never reads a topic of
//! its own to know what it wrote: its marks are offsets of a group that nobody reads with.
//!
//! A [`KafkaSink`] has one producer at a time (`producer`), made by `open` with `session`. The two
//! formats (`replicate`, `change_event`) turn changes into records and know no producer.

mod event_format;
mod fault;
mod go_format;
mod marks;
mod options;
mod progress;
mod record;
#[cfg(test)]
mod sample_changes;
mod session;
mod settings;
mod topic_template;

pub use options::{Format, InvalidOption, KafkaSinkOptions, Vectors};

use async_trait::async_trait;
use marks::Marks;
use replication::error::{Error, Result};
use replication::ports::{Change, Sink};
use session::Session;
use std::sync::{Mutex, PoisonError};

/// The topics of one task. To drop it takes up to a second: then its producer is gone, and what it had
/// not sent.
pub struct KafkaSink {
    options: KafkaSinkOptions,
    session: tokio::sync::Mutex<Option<Session>>,
    marks: Mutex<Marks>,
}

impl KafkaSink {
    /// Checks the options; connects with [`Sink::open`].
    pub fn new(options: KafkaSinkOptions) -> Result<Self> {
        options.check().map_err(|invalid| {
            let what = format!("the Kafka sink can't be used so: {invalid}");
            Error::permanent(what).because(invalid)
        })?;
        Ok(Self { options, session: tokio::sync::Mutex::default(), marks: Mutex::default() })
    }

    fn marks(&self) -> Marks {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, marks: Marks) {
        *self.marks.lock().unwrap_or_else(PoisonError::into_inner) = marks;
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn open(&self) -> Result<()> {
        let mut slot = self.session.lock().await;
        if let Some(old) = slot.take() {
            old.close().await;
        }
        let (session, marks) = Session::open(&self.options).await?;
        if let Some(marks) = marks {
            self.keep(marks);
        }
        *slot = Some(session);
        Ok(())
    }

    async fn ping(&self) -> Result<()> {
        session::ping(&self.options).await
    }

    fn is_exact(&self) -> bool {
        self.options.exact
    }

    fn holds(&self, mark: &str) -> bool {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).holds(mark)
    }

    async fn append(&self, mark: &str, changes: &[Change<'_>]) -> Result<()> {
        let mut slot = self.session.lock().await;
        let session = slot.as_mut().and_then(Session::begin).ok_or_else(|| {
            Error::transient("the Kafka sink has to be opened: an append before this one failed")
        })?;
        let marks = self.marks().with(mark);
        session.append(changes, &marks).await?;
        session.done();
        self.keep(marks);
        Ok(())
    }
}
