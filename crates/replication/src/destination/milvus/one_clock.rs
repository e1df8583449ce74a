//! Whether two connections lead to one Milvus. A Milvus has one clock, which gives every timestamp
//! once and in order, whichever proxy or balancer asks (`timestampOracle` and `GenerateTSO` in
//! `internal/tso`; `AllocTimestamp` of the proxy asks for each timestamp anew). Its physical part
//! moves every 50 ms and stays the same in between, its logical part counts.
//!
//! Two clocks are proved by one timestamp that came twice, or too low: after another one had been
//! answered. One clock is seen by its physical parts, which are the same milliseconds through both
//! connections, without such a contradiction. Leaves nothing on the target, and needs no right but
//! the one to read the clock. `docs/decisions/target-identity.md` has the reasoning. Never
//! believes that two that stay silent are one, or two.

use crate::error::{Error, Result};
use crate::ports::Target;
use futures::future::{BoxFuture, join_all};
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// How many timestamps are asked for in turn at first: over a fast connection that finds two clocks
/// at once.
const IN_TURN: usize = 8;

/// How long both are asked side by side, besides the time of an answer: so long that the physical
/// part moves more often than [`SHARED_MIN`].
const SIDE_BY_SIDE: Duration = Duration::from_millis(1000);

/// The pause between two questions of one asker.
const PAUSE: Duration = Duration::from_millis(5);

/// A physical part lasts 50 ms; each side has to see nearly all of them, so as many ask at a time
/// as it takes to have an answer this often.
const ANSWER_EVERY: Duration = Duration::from_millis(10);
const ASKERS_MAX: u32 = 32;

/// That many physical parts which both sides have seen are one clock: two clocks move at
/// milliseconds of their own.
const SHARED_MIN: usize = 8;

/// That many physical parts on each side, of which none is the other's, are two clocks.
const OWN_MIN: usize = 5;

/// How often it is tried again if neither can be seen.
const TRIES: usize = 3;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What two connections lead to.
#[derive(Debug)]
pub enum Seen {
    /// One Milvus.
    One,
    /// Two of them.
    Two,
    /// The first does not answer.
    FirstSilent(Error),
    /// The second does not answer.
    SecondSilent(Error),
    /// Both answer, and it can't be seen.
    Unclear,
}

/// Which connection was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    First,
    Second,
}

/// A timestamp, through which connection it came, and between which moments it was given.
#[derive(Clone, Copy, Debug)]
struct Reading {
    side: Side,
    asked: Instant,
    answered: Instant,
    at: Timestamp,
}

/// Looks at the clocks behind two connections. Takes milliseconds if there are two, and a second or
/// two otherwise.
pub async fn compare(first: &dyn Target, second: &dyn Target) -> Seen {
    compare_clocks(Box::new(|| first.clock()), Box::new(|| second.clock())).await
}

/// Reads a clock.
type Clock<'a> = Box<dyn Fn() -> BoxFuture<'a, Result<Timestamp>> + Send + Sync + 'a>;

async fn compare_clocks<'a>(first: Clock<'a>, second: Clock<'a>) -> Seen {
    let pair = Pair { first, second };
    match Box::pin(pair.look()).await {
        Ok(seen) => seen,
        Err((Side::First, e)) => Seen::FirstSilent(e),
        Err((Side::Second, e)) => Seen::SecondSilent(e),
    }
}

struct Pair<'a> {
    first: Clock<'a>,
    second: Clock<'a>,
}

/// Which side does not answer, and why.
type Silent = (Side, Error);

impl Pair<'_> {
    async fn look(&self) -> std::result::Result<Seen, Silent> {
        let mut readings = Vec::new();
        for side in [Side::First, Side::Second].into_iter().cycle().take(IN_TURN) {
            readings.push(self.ask(side).await?);
            if is_contradiction(&readings) {
                return Ok(Seen::Two);
            }
        }
        // The first two questions opened the connections, so they say nothing about speed.
        let took = readings[2..].iter().map(|reading| reading.answered - reading.asked).max();
        for _ in 0..TRIES {
            readings.extend(self.ask_side_by_side(took.unwrap_or_default()).await?);
            if let Some(seen) = judge(&readings) {
                return Ok(seen);
            }
        }
        Ok(Seen::Unclear)
    }

    async fn ask(&self, side: Side) -> std::result::Result<Reading, Silent> {
        let asked = Instant::now();
        let clock = match side {
            Side::First => &self.first,
            Side::Second => &self.second,
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, clock()).await;
        let answer = answer.unwrap_or_else(|_| Err(Error::transient("its clock has no answer")));
        let at = answer.map_err(|e| (side, e))?;
        Ok(Reading { side, asked, answered: Instant::now(), at })
    }

    /// Asks both sides all the time, for so long that they have some time in common. An answer
    /// takes about `took`.
    async fn ask_side_by_side(&self, took: Duration) -> std::result::Result<Vec<Reading>, Silent> {
        let until = Instant::now() + SIDE_BY_SIDE + took * 2;
        let askers = took.as_millis() / ANSWER_EVERY.as_millis() + 1;
        let askers = u32::try_from(askers).unwrap_or(u32::MAX).min(ASKERS_MAX);
        let mut all = Vec::new();
        for number in 0..askers {
            // Not all at the same moment.
            let begin = Instant::now() + took * number / askers;
            all.push(self.ask_until(Side::First, begin, until));
            all.push(self.ask_until(Side::Second, begin, until));
        }
        let all: std::result::Result<Vec<_>, Silent> = join_all(all).await.into_iter().collect();
        Ok(all?.concat())
    }

    async fn ask_until(
        &self,
        side: Side,
        begin: Instant,
        until: Instant,
    ) -> std::result::Result<Vec<Reading>, Silent> {
        tokio::time::sleep_until(begin).await;
        let mut readings = Vec::new();
        while Instant::now() < until {
            readings.push(self.ask(side).await?);
            tokio::time::sleep(PAUSE).await;
        }
        Ok(readings)
    }
}

/// Whether one clock can't have given these: one timestamp twice, or one that is below another that
/// had been answered before it was asked for.
fn is_contradiction(readings: &[Reading]) -> bool {
    let mut by_answer: Vec<&Reading> = readings.iter().collect();
    by_answer.sort_by_key(|reading| reading.answered);
    let mut by_question: Vec<&Reading> = readings.iter().collect();
    by_question.sort_by_key(|reading| reading.asked);
    let mut answered = by_answer.into_iter().peekable();
    let mut highest = None;
    for reading in by_question {
        while let Some(before) = answered.next_if(|before| before.answered < reading.asked) {
            highest = highest.max(Some(before.at));
        }
        if highest.is_some_and(|highest| reading.at <= highest) {
            return true;
        }
    }
    let different: BTreeSet<Timestamp> = readings.iter().map(|reading| reading.at).collect();
    different.len() < readings.len()
}

fn judge(readings: &[Reading]) -> Option<Seen> {
    if is_contradiction(readings) {
        return Some(Seen::Two);
    }
    let of = |side| -> BTreeSet<u64> {
        readings.iter().filter(|r| r.side == side).map(|r| r.at.ms()).collect()
    };
    let (first, second) = (of(Side::First), of(Side::Second));
    // Only the time that both have seen counts: one connection may be slower.
    let from = *first.first()?.max(second.first()?);
    let to = *first.last()?.min(second.last()?);
    let first: BTreeSet<u64> = first.into_iter().filter(|ms| (from..=to).contains(ms)).collect();
    let second: BTreeSet<u64> = second.into_iter().filter(|ms| (from..=to).contains(ms)).collect();
    let shared = first.intersection(&second).count();
    let all = first.union(&second).count();
    // A clock that waits for its machine's to catch up stands still, and counts.
    if shared == all && all == 1 && readings.len() >= 4 * IN_TURN {
        return Some(Seen::One);
    }
    if shared >= SHARED_MIN && shared * 2 >= all {
        return Some(Seen::One);
    }
    let is_two = shared == 0 && first.len() >= OWN_MIN && second.len() >= OWN_MIN;
    is_two.then_some(Seen::Two)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::lock;
    use std::sync::{Arc, Mutex};

    /// The clock of a Milvus: `phase` is when it moves, `busy` how many timestamps others take
    /// before each of ours.
    #[derive(Clone)]
    struct Tso(Arc<Mutex<State>>);

    struct State {
        began: Instant,
        phase: u64,
        busy: u64,
        /// The physical part stands still here.
        stands: Option<u64>,
        last: (u64, u64),
    }

    impl Tso {
        fn new(phase: u64, busy: u64, stands: Option<u64>) -> Self {
            let state = State { began: Instant::now(), phase, busy, stands, last: (0, 0) };
            Self(Arc::new(Mutex::new(state)))
        }

        fn take(&self) -> Timestamp {
            let mut state = lock(&self.0);
            let now = 1_700_000_000_000 + state.began.elapsed().as_millis() as u64;
            let moved = now - (now + 50 - state.phase) % 50;
            let physical = state.stands.unwrap_or(moved);
            let logical = if physical == state.last.0 { state.last.1 } else { 0 };
            state.last = (physical, logical + 1 + state.busy);
            Timestamp(Timestamp::from_ms(physical).0 + state.last.1)
        }

        /// Asks over a connection, whose ways there and back take this long.
        fn over(&self, there: u64, back: u64) -> Clock<'static> {
            let tso = self.clone();
            Box::new(move || {
                let tso = tso.clone();
                Box::pin(async move {
                    tokio::time::sleep(Duration::from_millis(there)).await;
                    let at = tso.take();
                    tokio::time::sleep(Duration::from_millis(back)).await;
                    Ok(at)
                })
            })
        }
    }

    /// The ways of pairs of connections, from a machine to the other side of the world.
    const WAYS: [[(u64, u64); 2]; 6] = [
        [(0, 1), (0, 1)],
        [(1, 1), (3, 2)],
        [(20, 30), (0, 1)],
        [(60, 60), (60, 60)],
        [(150, 20), (10, 140)],
        [(1, 1), (150, 150)],
    ];

    #[tokio::test(start_paused = true)]
    async fn one_clock_is_seen_over_any_two_connections() {
        for ways in WAYS {
            for busy in [0, 1, 7] {
                let tso = Tso::new(17, busy, None);
                let [first, second] = ways.map(|(there, back)| tso.over(there, back));
                let seen = compare_clocks(first, second).await;
                assert!(matches!(seen, Seen::One), "{ways:?} {busy}: {seen:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_clocks_are_told_apart_over_any_two_connections() {
        for ways in WAYS {
            for (phase, busy) in [(0, 0), (0, 1), (0, 3), (1, 0), (10, 2), (25, 1), (49, 0)] {
                let tsos = [Tso::new(0, busy, None), Tso::new(phase, 0, None)];
                let clocks: Vec<_> =
                    tsos.iter().zip(ways).map(|(t, (a, b))| t.over(a, b)).collect();
                let [first, second] = <[_; 2]>::try_from(clocks).ok().unwrap();
                let seen = compare_clocks(first, second).await;
                assert!(matches!(seen, Seen::Two), "{ways:?} {phase} {busy}: {seen:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clocks_that_stand_still_are_compared_by_what_they_count() {
        let tso = Tso::new(0, 0, Some(1_800_000_000_000));
        let seen = compare_clocks(tso.over(0, 1), tso.over(1, 1)).await;
        assert!(matches!(seen, Seen::One), "{seen:?}");
        let copy = Tso::new(0, 0, Some(1_800_000_000_000));
        let seen = compare_clocks(tso.over(0, 1), copy.over(1, 1)).await;
        assert!(matches!(seen, Seen::Two), "{seen:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_neither() {
        let tso = Tso::new(0, 0, None);
        let never: Clock<'_> = Box::new(|| Box::pin(std::future::pending()));
        assert!(matches!(compare_clocks(tso.over(0, 1), never).await, Seen::SecondSilent(_)));
        let away: Clock<'_> = Box::new(|| Box::pin(async { Err(Error::transient("away")) }));
        assert!(matches!(compare_clocks(away, tso.over(0, 1)).await, Seen::FirstSilent(_)));
    }
}
