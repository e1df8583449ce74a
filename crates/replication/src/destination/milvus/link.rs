//! What a process has of a target Milvus, shared by every task on it: the client, the lanes, the
//! clock, the lease and the claims. It ties together what its neighbours do.
//! Never touches rows; those go through `deliver`.

use crate::destination::milvus::adopt::adopt;
use crate::destination::milvus::beside::Beside;
use crate::destination::milvus::calls::Calls;
use crate::destination::milvus::claims::Claims;
use crate::destination::milvus::clock::Clock;
use crate::destination::milvus::floor::Floor;
use crate::destination::milvus::lane::{Lane, Lanes};
use crate::destination::milvus::neighbours::{Here, Neighbours};
use crate::destination::milvus::proxy::Proxy;
use crate::destination::milvus::restarts::Restarts;
use crate::destination::milvus::settle::Settling;
use crate::destination::milvus::sight::Sight;
use crate::destination::milvus::ticker::Ticker;
use crate::error::{Kind, Result};
use crate::observer::Silent;
use crate::overdue;
use crate::ports::{Store, Target};
use crate::records::target_records::TargetRecords;
use crate::stop::Stop;
use crate::task::Limits;
use futures::FutureExt;
use futures::future::join;
use milvus_wire::version::Version;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the channels of the target are listed again.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether the target is there, how often while it is not, and how long it
/// has for an answer.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY_WHILE_AWAY: Duration = Duration::from_millis(200);
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// For how long after its return a target is ticked as often as it is looked at: it reads nothing
/// before it has read a tick that is less than ten seconds old.
const OPENS_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked again whether an address leads to another target by now.
const TELL_APART_EVERY: Duration = Duration::from_secs(60);

/// One target.
pub struct Link {
    /// Its client.
    pub(crate) target: Arc<dyn Target>,
    pub(super) limits: Limits,
    pub(super) calls: Arc<Calls>,
    pub(super) clock: Arc<Clock>,
    pub(super) floor: Arc<Floor>,
    sight: Arc<Sight>,
    pub(super) proxy: Arc<Proxy>,
    pub(super) settling: Settling,
    /// Whether it was restarted.
    pub(crate) restarts: Restarts,
    /// Its lanes.
    pub(crate) lanes: Arc<Lanes>,
    /// What ticks them.
    pub(crate) ticker: Arc<Ticker>,
    /// Which task has which collection.
    pub(crate) claims: Claims,
    pub(super) beside: Beside,
    records: Arc<TargetRecords>,
    here: Here,
    ready: OnceCell<()>,
}

impl Link {
    /// A link to the only target of a process. Opens nothing.
    pub fn new(
        address: &str,
        target: Arc<dyn Target>,
        store: Arc<dyn Store>,
        limits: Limits,
    ) -> Arc<Self> {
        Self::beside(&Arc::default(), address, target, store, limits)
    }

    /// A link to the target that `address` names (normalised, without secrets): the address under
    /// which it was known first (`records::identity`). Opens nothing.
    pub fn beside(
        neighbours: &Arc<Neighbours>,
        address: &str,
        target: Arc<dyn Target>,
        store: Arc<dyn Store>,
        limits: Limits,
    ) -> Arc<Self> {
        let records = Arc::new(TargetRecords::new(address, store));
        let sight = Arc::new(Sight::new());
        let floor = Arc::new(Floor::new(target.clone(), sight.clone()));
        let lanes = Arc::new(Lanes::new(address, sight.clone()));
        let calls = Arc::new(Calls::new(target.clone(), records.clone(), sight.clone()));
        let clock = Arc::new(Clock::new(target.clone()));
        let ticker = Arc::new(Ticker::new(
            calls.clone(),
            records.clone(),
            lanes.clone(),
            clock.clone(),
            floor.clone(),
            limits.backoff_max,
        ));
        let proxy = Arc::new(Proxy::new(target.clone()));
        let settling = Settling::new(
            target.clone(),
            proxy.clone(),
            records.clone(),
            lanes.clone(),
            ticker.clone(),
            &limits,
        );
        let restarts = Restarts::new(target.clone(), address);
        let claims = Claims::new(address, records.clone());
        let neighbours = neighbours.clone();
        let here = Here { neighbours, target: target.clone(), records: records.clone() };
        here.enter();
        let ready = OnceCell::new();
        Arc::new(Self {
            target,
            limits,
            calls,
            clock,
            floor,
            sight,
            proxy,
            settling,
            restarts,
            lanes,
            ticker,
            claims,
            beside: Beside::default(),
            records,
            here,
            ready,
        })
    }

    /// The records of the target and of the tasks on it.
    pub(crate) fn records(&self) -> &TargetRecords {
        &self.records
    }

    /// Gives the lease up for good, so that the target is opened anew.
    pub async fn retire(&self, why: &str) {
        self.records.retire(why).await;
    }

    /// Takes the lease, and takes the lanes up where an earlier process left them. Done once: a
    /// link that has lost its lease is never ready again, because it no longer knows the lanes.
    pub async fn ready(&self) -> Result<()> {
        if self.records.lease_is_lost() {
            return Err(self.records.lost_error());
        }
        self.ready.get_or_try_init(|| self.take_up()).await.map(|_| ())
    }

    async fn take_up(&self) -> Result<()> {
        // Before the lease is taken, so that a newer version that stands by can have it.
        self.records.refuse_newer(&self.lanes.prefix()).await?;
        self.records.acquire_lease().await?;
        // What an earlier process sent last may be under way until the target answers.
        self.target.clock().await?;
        Box::pin(self.here.begin_to_write()).await?;
        Box::pin(adopt(&self.records, &self.lanes, &self.settling)).await?;
        for (name, record) in self.records.list(&self.lanes.prefix()).await? {
            self.lanes.replace(Lane::stored(name.as_str().into(), &record));
        }
        self.list_lanes().await?;
        self.ask_for_proxy().await;
        self.restarts.look().await;
        self.warn_of_version();
        // A window may have been committed without its tick.
        self.ticker.tick_due(&Silent).await
    }

    fn warn_of_version(&self) {
        let version = self.restarts.version();
        if Version::parse(&version).is_some_and(Version::forgets_at_restarts) {
            tracing::warn!(
                target = self.lanes.address(),
                version,
                "this Milvus may lose rows and deletes that are not flushed when it restarts \
                 (milvus-io/milvus#34255): upgrade it, see docs/promote.md"
            );
        }
    }

    /// Whoever does not know the only proxy waits longer after a crash, and nothing else.
    async fn ask_for_proxy(&self) {
        if let Err(e) = self.proxy.ask().await {
            tracing::debug!(error = ?e, "proxies not listed");
        }
    }

    /// Makes a lane of every channel that carries a collection of the target.
    async fn list_lanes(&self) -> Result<()> {
        for pchannel in self.target.pchannels().await? {
            let name: Arc<str> = pchannel.as_str().into();
            if !self.lanes.has(&name) {
                // Somebody may have ticked it: only the target's own clock is surely above that.
                let sight = self.sight.lost();
                let floor = self.target.clock().await?;
                self.lanes.add(Lane::new(name, floor, sight));
            }
        }
        Ok(())
    }

    /// Keeps the lease and the ticks of the target alive until `stop`, or until the lease is lost.
    /// Runs beside the tasks.
    pub async fn keep(&self, stop: CancellationToken) {
        // A target that stands still must not keep the lease from being kept.
        let at_once = Stop::at_once(stop.clone());
        let keeping = join(self.keep_lanes(at_once.clone()), self.tick_at_returns(at_once));
        self.records.keep_lease(stop, Box::pin(keeping)).await;
    }

    /// Ticks every lane as soon as a target that was away answers again. One that has started reads
    /// its log up to a tick that is not old, and some versions lose rows if none comes soon
    /// (milvus-io/milvus#34255). A task that is paused notices nothing by itself, and one that has
    /// failed pauses.
    async fn tick_at_returns(&self, stop: Stop) {
        if self.limits.keep_alive_after.is_none() {
            return;
        }
        // Nobody knows what it was before.
        let (mut is_away, mut returned) = (true, Instant::now());
        loop {
            let looked = stop.until(self.look(is_away, &mut returned)).await;
            let Ok(looked) = looked else { return };
            is_away = looked.unwrap_or_else(|e| {
                tracing::debug!(error = ?e, "the target is away");
                // Any other error stays until somebody does something.
                e.kind == Kind::Transient
            });
            // Whoever does not have the lease does not wait for the target alone.
            let is_soon = is_away && self.records.lease_is_confirmed().is_ok();
            let pause = if is_soon { LOOK_EVERY_WHILE_AWAY } else { LOOK_EVERY };
            if stop.until(tokio::time::sleep(pause)).await.is_err() {
                return;
            }
        }
    }

    /// Looks whether the target is there, and ticks it if it has just returned: it takes calls a
    /// little later than it answers, and opens its channels some seconds later. Returns whether it
    /// still counts as away.
    async fn look(&self, was_away: bool, returned: &mut Instant) -> Result<bool> {
        match tokio::time::timeout(LOOK_WITHIN, self.target.clock()).await {
            Ok(answered) => _ = answered?,
            // It stands still, and will go on where it was.
            Err(_) => return Ok(was_away),
        }
        if was_away {
            self.ready().await?;
            self.tick_silent(Duration::ZERO).await?;
            *returned = Instant::now();
            tracing::info!(
                target = self.lanes.address(),
                "the target answers: channels without an open window are ticked"
            );
        } else if returned.elapsed() < OPENS_WITHIN {
            self.tick_silent(LOOK_EVERY).await?;
        }
        Ok(false)
    }

    async fn keep_lanes(&self, stop: Stop) {
        let mut listed = Instant::now();
        let mut told_apart = listed;
        while !stop.token.is_cancelled() {
            let round = async {
                self.ready().await?;
                if listed.elapsed() >= LIST_EVERY {
                    self.list_lanes().await?;
                    self.ask_for_proxy().await;
                    self.restarts.look().await;
                    listed = Instant::now();
                }
                if told_apart.elapsed() >= TELL_APART_EVERY {
                    Box::pin(self.here.look_again()).await?;
                    told_apart = Instant::now();
                }
                self.keep_ticking(&stop).await
            };
            if let Ok(Err(e)) = stop.until(round).await {
                tracing::debug!(error = ?e, "target not kept up to date");
            }
            let _ = stop.until(tokio::time::sleep(self.limits.idle_tick)).await;
        }
    }

    /// Ticks lanes that nobody ticks any more, and takes those whose owner stays away: a target
    /// without ticks answers no strong read.
    async fn keep_ticking(&self, stop: &Stop) -> Result<()> {
        let Some(after) = self.limits.keep_alive_after else {
            return Ok(());
        };
        // A settle time must not keep the other lanes from being ticked.
        let mut taking = self.settling.take_abandoned(stop, &Silent).boxed();
        loop {
            if let Err(e) = self.tick_silent(after).await {
                tracing::debug!(error = ?e, "lanes not ticked");
            }
            tokio::select! {
                biased;
                taken = &mut taking => return taken,
                () = tokio::time::sleep(self.limits.idle_tick) => {}
            }
        }
    }

    async fn tick_silent(&self, after: Duration) -> Result<()> {
        let lanes = self.lanes.all();
        let mut free = lanes.iter().filter_map(|lane| lane.try_lock());
        if free.any(|lane| lane.state.ticked.elapsed() >= after) {
            let silent = || {
                let address = self.lanes.address();
                format!("a tick beside the tasks has no answer of the target {address}")
            };
            let ticked = self.ticker.tick_silent(after, &self.beside);
            overdue::tell(&self.beside, silent, ticked).await?;
        }
        Ok(())
    }
}
