//! A target that only acknowledges and counts, for the benchmark: as cheap as can be per byte, so
//! that what is measured is the product. Never keeps a row, never answers a query.
//!
//! `wire` decodes a call without copying its rows, `book` is the metadata that the product reads,
//! `ledger` counts and, if asked to, checks ticks and rows, and `server` joins them.
//! [`CountingTarget`] runs in this process, [`CountingProcess`] in one of its own, so that its
//! processor time can be measured apart.

mod book;
mod child;
mod ledger;
mod server;
mod wire;

pub use child::CountingProcess;
pub use ledger::Counts;

use anyhow::{Context, Result};
use book::Book;
use ledger::Ledger;
use server::Calls;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Large enough that no sender ever waits for a window update of ours.
const WINDOW_BYTES: u32 = 64 << 20;

/// Fewer frames are less work; the most that a sender of ours makes use of.
const FRAME_BYTES: u32 = 1 << 20;

/// How a counting target behaves.
#[derive(Clone, Debug)]
pub struct CountingOptions {
    /// How many physical channels collections are spread over.
    pub pchannels: usize,
    /// The channels are called `<prefix>-rootcoord-dml_<n>`.
    pub prefix: String,
    /// Whether ticks and rows are checked, at some cost.
    pub check: bool,
}

impl Default for CountingOptions {
    fn default() -> Self {
        Self { pchannels: 16, prefix: "count".to_owned(), check: false }
    }
}

/// A counting target in this process. Dropped, it ends.
#[derive(Debug)]
pub struct CountingTarget {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    serving: JoinHandle<()>,
}

impl CountingTarget {
    /// Starts it at any free port of this machine.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start(options: CountingOptions) -> Result<Self> {
        Self::listen("127.0.0.1:0", options).await
    }

    /// Starts it at this address.
    ///
    /// # Errors
    /// If it is taken.
    pub async fn listen(address: &str, options: CountingOptions) -> Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("listen at {address}"))?;
        let address = listener.local_addr()?;
        let book = Arc::new(Book::new(&options.prefix, options.pchannels));
        let ledger = Arc::new(Ledger::new(options.check.then(|| book.clone())));
        let calls = Calls::new(book, ledger.clone());
        let serving = Server::builder()
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .add_service(calls)
            // An answer must not wait for a full packet: that would cost 40 ms per call.
            .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        let serving = tokio::spawn(async move {
            if let Err(error) = serving.await {
                eprintln!("the counting target has ended: {error}");
            }
        });
        Ok(Self { address, ledger, serving })
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// What it has been given so far.
    pub fn counts(&self) -> Counts {
        self.ledger.counts()
    }

    /// Serves until it is aborted.
    pub async fn serve(mut self) {
        // An abort is the only way to end, and an error then is of no interest.
        let _ = (&mut self.serving).await;
    }
}

impl Drop for CountingTarget {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
