//! Writes changes to the topics of a Kafka, for consumers other than Milvus. Never reads its own
//! topics to find out what it wrote: it stores its marks with the offset of a consumer group that
//! reads nothing.
//!
//! A [`KafkaSink`] has one `session` at a time, with one producer; `open` replaces it. The two
//! formats (`go_format`, `event_format`) turn changes into records and know nothing of producers.

mod allowed_settings;
mod event_format;
mod fault;
mod go_format;
mod marks;
mod options;
mod progress;
mod record;
mod request_json;
#[cfg(test)]
mod sample_changes;
mod session;
mod topic_template;

pub use options::{Format, KafkaSinkOptions, Vectors};

use async_trait::async_trait;
use marks::Marks;
use replication::error::{Error, Result};
use replication::ports::{Change, Sink};
use session::Session;
use std::sync::{Mutex, PoisonError};

/// The topics of one task. Dropping it takes up to a second and discards unsent records.
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
