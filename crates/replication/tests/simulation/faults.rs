//! What goes wrong, and when: one seeded stream of decisions for all ports.
//! Never decides by the clock.

use replication::error::Error;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Far beyond the life of a lease.
const STILL_MAX_MS: u64 = 50_000;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Nothing bad.
    None,
    /// Refused: no effect, and the caller knows.
    Refuse,
    /// It has its effect, and the answer is lost.
    LoseAnswer,
    /// No effect, and the caller does not know.
    LoseCall,
    /// The answer is lost and the effect comes later.
    Late,
    /// It takes long.
    Slow,
    /// The process dies before it.
    CrashBefore,
    /// The process dies after it.
    CrashAfter,
}

/// The stream of decisions.
#[derive(Clone)]
pub(crate) struct Faults {
    rng: Arc<Mutex<fastrand::Rng>>,
    on: Arc<AtomicBool>,
    /// What happens to all calls until further notice.
    forced: Arc<Mutex<Option<Fault>>>,
    pub(crate) crash: Arc<Notify>,
    crashes: Arc<AtomicU64>,
    /// Each is rarer by this factor.
    rarer: u64,
    /// Of a process that stands still now and then: until when it does.
    still: Option<Arc<Mutex<Instant>>>,
}

impl Faults {
    pub(crate) fn new(seed: u64, on: bool) -> Self {
        Self {
            rng: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            on: Arc::new(AtomicBool::new(on)),
            forced: Arc::default(),
            crash: Arc::default(),
            crashes: Arc::default(),
            rarer: 1,
            still: None,
        }
    }

    /// Those of one process of several: it dies alone, and stands still now and then.
    pub(crate) fn of_a_process(&self) -> Self {
        let still = Some(Arc::new(Mutex::new(Instant::now())));
        // One that waits for the other, or stands still with something in hand, lives for longer.
        Self { crash: Arc::default(), still, ..self.clone() }.rarer(20)
    }

    /// The same, rarer by a factor.
    pub(crate) fn rarer(self, factor: u64) -> Self {
        Self { rarer: factor, ..self }
    }

    /// Until when the process stands still, if it does.
    pub(crate) fn still_until(&self) -> Option<Instant> {
        let until = *self.still.as_ref()?.lock().unwrap();
        (until > Instant::now()).then_some(until)
    }

    /// After this call the process may be given no time for a while.
    fn may_stand_still(&self) {
        if let Some(still) = &self.still
            && self.chance(60)
        {
            let time = Duration::from_millis(self.below(STILL_MAX_MS));
            *still.lock().unwrap() = Instant::now() + time;
        }
    }

    /// The same happens to each call until it is healed.
    pub(crate) fn force(&self, fault: Fault) {
        *self.forced.lock().unwrap() = Some(fault);
    }

    fn forced(&self) -> Option<Fault> {
        *self.forced.lock().unwrap()
    }

    pub(crate) fn heal(&self) {
        *self.forced.lock().unwrap() = None;
        self.on.store(false, Ordering::Relaxed);
    }

    pub(crate) fn crashes(&self) -> u64 {
        self.crashes.load(Ordering::Relaxed)
    }

    pub(crate) fn below(&self, n: u64) -> u64 {
        self.rng.lock().unwrap().u64(0..n)
    }

    pub(crate) fn chance(&self, one_in: u64) -> bool {
        self.on.load(Ordering::Relaxed) && self.below(one_in) == 0
    }

    /// What happens to a call that has an effect.
    pub(crate) fn next(&self) -> Fault {
        if let Some(fault) = self.forced() {
            return fault;
        }
        self.may_stand_still();
        if !self.chance(12 * self.rarer) {
            return Fault::None;
        }
        match self.below(7) {
            0 => Fault::Refuse,
            1 => Fault::LoseAnswer,
            2 => Fault::LoseCall,
            3 => Fault::Late,
            4 => Fault::Slow,
            5 => Fault::CrashBefore,
            _ => Fault::CrashAfter,
        }
    }

    /// What happens to a call that only reads: an error or a crash, sometimes.
    pub(crate) async fn reading(&self) -> Result<(), Error> {
        if self.forced() == Some(Fault::Refuse) {
            return Err(Error::transient("simulated: it is away"));
        }
        if self.chance(40 * self.rarer) {
            if self.below(2) == 0 {
                self.die::<()>().await;
            }
            return Err(Error::transient("simulated"));
        }
        Ok(())
    }

    /// The process dies here: whoever waits for it never hears of it.
    pub(crate) async fn die<T>(&self) -> T {
        self.crashes.fetch_add(1, Ordering::Relaxed);
        self.crash.notify_one();
        std::future::pending().await
    }
}

/// A violation of an invariant, collected while the simulation runs.
#[derive(Clone, Default)]
pub(crate) struct Verdict(Arc<Mutex<Vec<String>>>);

impl Verdict {
    pub(crate) fn violated(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    pub(crate) fn first(&self) -> Option<String> {
        self.0.lock().unwrap().first().cloned()
    }
}
