//! The running service: listens first, then looks after the tasks, and stops everything in order.
//! Never waits for a source or a target before it answers.

use crate::config::Config;
use crate::http::{self, ApiLimits, ApiState};
use crate::metrics::Metrics;
use crate::supervisor::{STOP_MARGIN, Settings, Supervisor};
use crate::tasks::Book;
use crate::telemetry::LogLevel;
use crate::world::World;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long requests in flight may take to end after the service was told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// A service that listens.
pub struct Service {
    listener: TcpListener,
    api: Arc<ApiState>,
    supervisor: Supervisor,
}

impl Service {
    /// Binds the address; nothing runs yet.
    pub async fn bind(config: &Config, world: World, log_level: LogLevel) -> io::Result<Self> {
        let listener = TcpListener::bind(&config.address).await?;
        let metrics = Arc::new(Metrics::default());
        let settings = Settings {
            op_channel: config.source.op_channel.clone(),
            unsupported: config.unsupported,
            limits: config.limits.clone(),
            backoff_first: config.backoff_first,
        };
        let supervisor = Supervisor::new(world.clone(), settings, Arc::clone(&metrics));
        let limits = ApiLimits {
            tasks_max: config.max_task_num,
            name_length_max: config.max_name_length,
            requests_max: config.requests_max,
            // The supervisor cuts a runner off after its own margin; the handler sees that.
            stop_within: config.limits.finish_max + STOP_MARGIN * 2,
        };
        let api = ApiState {
            book: Book::new(Arc::clone(&world.store)),
            desk: supervisor.desk(),
            live: supervisor.live(),
            lag: supervisor.lag(),
            source: world.source,
            catalog: world.catalog,
            op_channel: config.source.op_channel.clone(),
            permits: Semaphore::new(limits.requests_max),
            requests: TaskTracker::new(),
            metrics,
            log_level,
            limits,
        };
        Ok(Self { listener, api: Arc::new(api), supervisor })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Runs until `stop`: then no new requests, all tasks finish what is open, each within its
    /// limit.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        let Self { listener, api, supervisor } = self;
        let supervising = tokio::spawn(supervisor.run(stop.child_token()));
        let served = axum::serve(listener, http::router(Arc::clone(&api)))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let drained = async {
            stop.cancelled().await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        let result = tokio::select! {
            result = async { served.await } => result,
            () = drained => Ok(()),
        };
        // A listener that failed must not leave tasks running that nobody can reach.
        stop.cancel();
        api.requests.close();
        if supervising.await.is_err() {
            tracing::error!("the supervisor panicked");
        }
        let _ = tokio::time::timeout(DRAIN_MAX, api.requests.wait()).await;
        result
    }
}
