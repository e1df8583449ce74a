//! How the service logs: lines on standard error, or one JSON object per line. The level can be
//! changed while the service runs. Never gets rows or secrets to log.

use crate::config::Log;
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// Libraries whose `info` only helps their authors.
const QUIET: &str =
    "h2=warn,hyper=warn,tower=warn,tonic=warn,rustls=warn,sqlx=warn,rdkafka=warn,librdkafka=warn";

/// Changes the log level.
#[derive(Clone, Default)]
pub struct LogLevel(Option<reload::Handle<EnvFilter, Registry>>);

impl LogLevel {
    /// Sets one of the five levels.
    pub fn set(&self, level: &str) -> Result<(), reload::Error> {
        match &self.0 {
            None => Ok(()),
            Some(handle) => handle.reload(filter(level)),
        }
    }
}

/// Starts logging; once per process.
pub fn start(log: &Log) -> LogLevel {
    let (filter, handle) = reload::Layer::new(filter(&log.level));
    let layer = if log.json {
        fmt::layer().json().with_writer(std::io::stderr).boxed()
    } else {
        let colours = std::io::stderr().is_terminal();
        fmt::layer().with_writer(std::io::stderr).with_ansi(colours).boxed()
    };
    let started = tracing_subscriber::registry().with(filter).with(layer).try_init();
    match started {
        Ok(()) => LogLevel(Some(handle)),
        Err(_) => LogLevel::default(),
    }
}

fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("{level},{QUIET}"))
}
