//! The running service: listens, supervises the tasks, and stops everything in order.
//! Never waits for a source or a target before it answers requests.

use crate::config::{Config, QueueConfig, SourceConfig};
use crate::http::{self, ApiLimits, ApiState, Readiness, SourceAddress};
use crate::listener_tls;
use crate::logging::LogLevel;
use crate::monitoring::last_write::LastWrite;
use crate::monitoring::metrics::Metrics;
use crate::supervisor::{STOP_MARGIN, Settings, Supervisor};
use crate::tasks::Book;
use crate::world::World;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long requests in work may still take when the service stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// A service that listens.
pub struct Service {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    api: Arc<ApiState>,
    supervisor: Supervisor,
}

impl Service {
    /// Binds the address; nothing runs yet.
    pub async fn bind(config: &Config, world: World, log_level: LogLevel) -> io::Result<Self> {
        let tls = config.api.tls.as_ref().map(listener_tls::load).transpose();
        let tls = tls.map_err(io::Error::other)?;
        let listener = TcpListener::bind(&config.address).await?;
        let metrics = Arc::new(Metrics::of(world.members.clone()));
        let settings = Settings {
            op_channel: config.source.op_channel.clone(),
            policies: config.policies,
            limits: config.limits.clone(),
            backoff_first: config.backoff_first,
        };
        let last_write = Arc::new(LastWrite::of(world.store));
        let world = World { store: last_write.clone(), ..world };
        let supervisor = Supervisor::new(world.clone(), settings, Arc::clone(&metrics));
        let limits = ApiLimits {
            tasks_max: config.max_task_num,
            name_length_max: config.max_name_length,
            requests_max: config.requests_max,
            // The supervisor cuts a task off after one margin, so that the handler still sees it.
            stop_within: config.limits.finish_max + STOP_MARGIN * 2,
        };
        let is_loopback = listener.local_addr()?.ip().is_loopback();
        let api = ApiState {
            only_local: is_loopback && tls.is_none() && !config.api.tokens.are_required(),
            readiness: Readiness::default(),
            book: Book::new(world.store),
            last_write,
            desk: supervisor.desk(),
            live: supervisor.live(),
            lag: supervisor.lag(),
            source: world.source,
            catalog: world.catalog,
            targets: world.targets,
            source_address: source_address(&config.source),
            tokens: config.api.tokens.clone(),
            op_channel: config.source.op_channel.clone(),
            permits: Semaphore::new(limits.requests_max),
            requests: TaskTracker::new(),
            metrics,
            log_level,
            limits,
        };
        Ok(Self { listener, tls, api: Arc::new(api), supervisor })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs until `stop`. Then it takes no new requests, and each task finishes its open window
    /// within its limit.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        let Self { listener, tls, api, supervisor } = self;
        let supervising = tokio::spawn(supervisor.run(stop.child_token()));
        let served = serve(listener, tls, Arc::clone(&api), stop.clone());
        let drained = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        let result = tokio::select! {
            result = served => result,
            () = drained => Ok(()),
        };
        // After a failure of the listener nobody could stop a task that still runs.
        stop.cancel();
        api.requests.close();
        if supervising.await.is_err() {
            tracing::error!("the supervisor panicked");
        }
        let _ = tokio::time::timeout(DRAIN_MAX, api.requests.wait()).await;
        result
    }
}

/// Answers requests until `stop`, and finishes those in work.
async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    api: Arc<ApiState>,
    stop: CancellationToken,
) -> io::Result<()> {
    let handle: Handle<SocketAddr> = Handle::new();
    let mut server = Server::from_listener(listener).handle(handle.clone()).http1_only();
    // Without a timer the server waits for ever for the head of a request.
    server.http_builder().http1().timer(TokioTimer::new());
    let paths = http::router(api).into_make_service();
    let stopping = async {
        stop.cancelled().await;
        handle.graceful_shutdown(Some(DRAIN_MAX));
        std::future::pending::<io::Result<()>>().await
    };
    let serving = async {
        match tls {
            None => server.serve(paths).await,
            Some(tls) => {
                let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(tls));
                server.acceptor(acceptor).serve(paths).await
            }
        }
    };
    tokio::select! {
        result = serving => result,
        result = stopping => result,
    }
}

/// What is shown of the source: its addresses, never its logins.
fn source_address(source: &SourceConfig) -> SourceAddress {
    let (queue, queue_address) = match &source.queue {
        QueueConfig::Kafka(kafka) => ("kafka", kafka.brokers.clone()),
        QueueConfig::Pulsar(pulsar) => ("pulsar", pulsar.brokers.join(",")),
    };
    SourceAddress {
        queue,
        queue_address,
        catalog_addresses: source.catalog.endpoints.clone(),
        catalog_root_path: source.catalog.root_path.clone(),
    }
}
