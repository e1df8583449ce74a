//! Cases about replicate calls and what becomes of them. Never about rows: ticks are enough to see
//! what is in a log and in which order.

use super::requests::{now, ticks, times};
use super::world::{Logged, Mortal};
use crate::cases::{done, soon};
use milvus_wire::timestamp::Timestamp;
use replication::error::Kind;
use replication::ports::CallError;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;

/// A call that could be answered is on its way by then.
const SENT_WITHIN: Duration = Duration::from_secs(1);

pub(crate) async fn nothing_of_a_refused_call_appears(world: &impl Logged) {
    let target = world.target();
    let pchannel = world.pchannel().await;
    let before = world.ticks(&pchannel).await;
    let call = ticks(&pchannel, Timestamp::from_ms(1));
    match soon("an answer", target.replicate(&call)).await {
        Err(CallError::Refused(_)) => {}
        other => panic!("{other:?}"),
    }
    let ours: Vec<_> = times(Timestamp::from_ms(1)).collect();
    let is_ours = |tick: &Timestamp| ours.contains(tick) && !before.contains(tick);
    let appeared = world.ticks(&pchannel).await;
    assert!(!appeared.iter().any(is_ours), "{appeared:?}");
}

/// One that is away can't say so.
pub(crate) async fn what_refuses_each_call_is_not_a_replica(world: &impl Logged) {
    let said = soon("an answer", world.target().is_replica()).await;
    assert!(matches!(said, Ok(false) | Err(_)), "{said:?}");
}

pub(crate) async fn a_replica_is_asked_without_a_trace(world: &impl Mortal) {
    let target = world.target();
    let pchannel = world.pchannel().await;
    let before = world.ticks(&pchannel).await;
    for _ in 0..3 {
        assert!(done(soon("an answer", target.is_replica()).await));
    }
    assert_eq!(world.ticks(&pchannel).await, before);
}

pub(crate) async fn what_was_taken_is_in_the_log(world: &impl Mortal) {
    let target = world.target();
    let pchannel = world.pchannel().await;
    let mut taken = world.ticks(&pchannel).await;
    for _ in 0..3 {
        let at = now(&*target).await;
        done(soon("an answer", target.replicate(&ticks(&pchannel, at))).await);
        taken.extend(times(at));
        assert_eq!(world.ticks(&pchannel).await, taken);
    }
}

pub(crate) async fn a_target_that_stands_still_is_waited_for_until_it_dies(world: &impl Mortal) {
    let target = world.target();
    let pchannel = world.pchannel().await;
    let before = world.ticks(&pchannel).await;
    let at = now(&*target).await;
    let answered = ticks(&pchannel, at);
    world.freeze().await;
    let mut sent = pin!(target.replicate(&answered));
    let waited = timeout(world.stands_still(), &mut sent).await;
    assert!(waited.is_err(), "{waited:?}");
    world.thaw().await;
    done(soon("an answer", sent).await);

    let open = ticks(&pchannel, at.plus_ms(1));
    world.freeze().await;
    let mut sent = pin!(target.replicate(&open));
    let waited = timeout(SENT_WITHIN, &mut sent).await;
    assert!(waited.is_err(), "{waited:?}");
    world.die().await;
    match soon("an answer", sent).await {
        Err(CallError::Unanswered(error)) => assert_eq!(error.kind, Kind::Transient, "{error:?}"),
        other => panic!("{other:?}"),
    }
    // From then on nothing is sent.
    match soon("an answer", target.replicate(&open)).await {
        Err(CallError::Refused(error)) => assert_eq!(error.kind, Kind::Transient, "{error:?}"),
        other => panic!("{other:?}"),
    }
    let taken: Vec<_> = before.into_iter().chain(times(at)).collect();
    assert!(world.ticks(&pchannel).await.starts_with(&taken), "{taken:?}");
}
