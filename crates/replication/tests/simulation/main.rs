//! A deterministic simulation of the data path: a scripted source, a target that removes duplicates
//! as Milvus does, and every fault at every step, in simulated time. A seed is a schedule; the same
//! seed fails the same way. Never opens a connection.
//!
//! `SIM_SEEDS=100000 cargo test -p replication --test simulation` runs more of them,
//! `SIM_SEED=17` runs one of them with its log.

#![allow(clippy::unwrap_used)] // A simulation that cannot go on has failed.

mod cluster;
mod conformance;
mod consumer;
mod faults;
mod forgotten;
mod log;
mod milvus;
mod roles;
mod schedule;
mod script;
mod silence;
mod simulated_time;
mod standby;
mod store;
mod stranger;
mod topic;
mod world;

use faults::Fault;
use milvus::Condition;
use replication::task::{LateMessages, Policies};
use schedule::{Goal, Options, Outcome, run};
use silence::Calls;

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    match number("SIM_SEED") {
        Some(seed) => {
            tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).init();
            seed..seed + 1
        }
        None => 0..number("SIM_SEEDS").unwrap_or(default),
    }
}

/// Runs a schedule for each seed. Returns what they saw together.
fn all(default: u64, options: impl Fn(u64) -> Options) -> Outcome {
    let mut together = Outcome::default();
    for seed in seeds(default) {
        match run(seed, &options(seed)) {
            Ok(outcome) => together = together.and(&outcome),
            Err(what) => panic!("SIM_SEED={seed}: {what}"),
        }
    }
    println!("{together:?}");
    together
}

/// Otherwise a seed that fails could not be looked at.
#[test]
fn a_seed_is_a_schedule() {
    for options in [
        Options::default(),
        Options { tasks: 2, long_absences: true, ..Options::default() },
        Options { meddles: true, forgets: true, ..Options::default() },
        Options { goal: Goal::Log { exact: true }, ..Options::default() },
    ] {
        for seed in seeds(15) {
            assert_eq!(run(seed, &options), run(seed, &options), "SIM_SEED={seed}");
        }
    }
}

#[test]
fn a_quiet_world_keeps_every_timestamp() {
    all(50, |_| Options { faults: false, keeps_timestamps: true, ..Options::default() });
}

#[test]
fn every_row_arrives_exactly_once_whatever_fails() {
    all(600, |_| Options::default());
}

#[test]
fn late_messages_are_not_lost() {
    let listed = all(200, |_| Options { late: true, ..Options::default() }).late;
    assert!(listed > 0);
}

#[test]
fn a_task_stops_before_late_messages_if_it_is_to() {
    let policies = Policies { late: LateMessages::Stop, ..Policies::default() };
    let options = Options { late: true, faults: false, policies, ..Options::default() };
    let reasons = seeds(20).filter_map(|seed| run(seed, &options).err()).collect::<Vec<_>>();
    assert!(reasons.iter().any(|reason| reason.contains("later than its ticks: LateInsert at")));
    assert!(reasons.iter().all(|reason| reason.contains("lateMessages: continue")));
}

#[test]
fn two_tasks_on_one_target_do_not_disturb_each_other() {
    all(300, |_| Options { tasks: 2, ..Options::default() });
}

/// It comes with all that was written under its old name.
#[test]
fn a_collection_is_renamed_into_the_selection() {
    for goal in [Goal::Milvus, Goal::Log { exact: true }, Goal::Log { exact: false }] {
        all(100, |_| Options { goal, enters: true, ..Options::default() });
    }
}

/// Whatever becomes of it in the end.
#[test]
fn a_call_without_an_answer_holds_up_one_task_and_is_told_of() {
    for end in [Fault::None, Fault::LoseCall, Fault::LoseAnswer, Fault::Late] {
        for calls in [Calls::WithRows, Calls::Ticks] {
            let went_wrong = silence::of_one_channel(calls, end).err();
            assert_eq!(went_wrong, None, "{calls:?}, {end:?}");
        }
    }
}

#[test]
fn a_side_that_is_silent_is_told_of() {
    for is_of_source in [true, false] {
        assert_eq!(silence::of_one_side(is_of_source).err(), None, "source: {is_of_source}");
    }
}

/// Nothing is written or ticked far ahead of the target's clock: it ticks itself by that when it is
/// promoted.
#[test]
fn a_target_whose_clock_is_behind_is_not_ticked_ahead_of_it() {
    all(50, |seed| Options { ahead_ms: 1000 * (seed % 10), ..Options::default() });
}

/// What a stranger has put in the way is in nobody else's way, and is left alone; what is missing
/// because of it is made good when it is gone.
#[test]
fn a_stranger_who_meddles_with_the_target_holds_up_single_collections() {
    let outcome = all(150, |_| Options { meddles: true, ..Options::default() });
    let is_one = std::env::var("SIM_SEED").is_ok();
    assert!(is_one || outcome.out_of_step > 50, "{outcome:?}");
    all(30, |_| Options { meddles: true, faults: false, ..Options::default() });
}

/// What it had not flushed is made good, and nothing of what it has kept is there twice.
#[test]
fn a_target_that_forgets_at_its_restarts_gets_again_what_it_has_lost() {
    let options = Options { forgets: true, acts: 1500, ..Options::default() };
    let outcome = all(36, |seed| Options {
        late: seed % 4 == 3,
        tasks: 1 + usize::from(seed % 5 == 0),
        // A service that dies every second never sees the end of a flush.
        rarer: [1, 10, 30][seed as usize % 3],
        ..options.clone()
    });
    let is_one = std::env::var("SIM_SEED").is_ok();
    assert!(is_one || outcome.forgot > 50 && outcome.flushed > 50, "{outcome:?}");
}

#[test]
fn a_flush_covers_no_place_that_was_left_again() {
    assert_eq!(forgotten::flushed_at_the_moment_of_going_back(), Ok(()));
}

#[test]
fn a_flush_does_not_cover_what_is_out_of_step() {
    assert_eq!(forgotten::flushed_while_out_of_step(), Ok(()));
}

#[test]
fn a_collection_that_cannot_go_back_keeps_no_other_from_it() {
    assert_eq!(forgotten::one_place_is_lost(), Ok(()));
}

/// Also if it was not replicated for a while.
#[test]
fn what_a_target_forgets_of_a_collection_out_of_step_is_made_good() {
    let options = Options { forgets: true, meddles: true, acts: 1000, ..Options::default() };
    all(24, |seed| Options { rarer: [1, 10, 30][seed as usize % 3], ..options.clone() });
}

#[test]
fn a_task_whose_rows_are_refused_does_not_keep_the_others_from_their_channels() {
    let refuses_at = Some(40);
    for (faults, count) in [(false, 50), (true, 30)] {
        all(count, |_| Options { tasks: 2, refuses_at, faults, ..Options::default() });
    }
}

#[test]
fn a_stretch_that_became_uncertain_is_fenced() {
    all(200, |_| Options { tasks: 2, long_absences: true, ..Options::default() });
}

#[test]
fn a_log_that_keeps_marks_has_every_change_exactly_once() {
    all(400, |_| Options { goal: Goal::Log { exact: true }, ..Options::default() });
}

#[test]
fn a_log_without_marks_has_every_change_at_least_once() {
    all(400, |_| Options { goal: Goal::Log { exact: false }, ..Options::default() });
}

#[test]
fn of_two_services_one_works_whatever_becomes_of_the_other() {
    let mut taken = 0;
    for seed in seeds(60) {
        match standby::run(seed) {
            Ok(times) => taken += times,
            Err(what) => panic!("SIM_SEED={seed}: {what}"),
        }
    }
    println!("the target was taken {taken} times");
}

#[test]
fn what_is_done_may_be_lost_to_the_retention() {
    assert_ne!(standby::after_the_retention(false), Ok(0));
    standby::after_the_retention(false).unwrap();
}

/// Some versions lose rows if no tick comes soon. A task that is paused ticks nothing.
#[test]
fn a_target_that_returns_is_ticked_at_once() {
    let waited = standby::until_a_tick_after(Condition::IsDead);
    assert!(waited <= 300, "{waited} ms");
    let waited = standby::until_a_tick_after_a_start();
    assert!(waited <= 300, "{waited} ms");
}

/// It goes on where it was, and its clock lies back when it wakes.
#[test]
fn a_target_that_stood_still_is_not_ticked_for_that() {
    let waited = standby::until_a_tick_after(Condition::StandsStill);
    assert!(waited > 300, "{waited} ms");
}

#[test]
fn a_topic_that_was_made_anew_is_not_read_on() {
    let told = standby::after_the_retention(true).unwrap_err();
    assert!(told.contains("has another message") && told.contains("made anew"), "{told}");
}

#[test]
fn a_task_that_was_deleted_elsewhere_stores_nothing_more() {
    assert_eq!(standby::left_of_a_deleted_task(), Vec::<String>::new());
}

/// The position of a task is asked for as soon as it was created: until there is one, nobody knows
/// whether what the source does next is replicated.
#[test]
fn a_task_whose_source_is_empty_has_begun_too() {
    let records = standby::records_of_an_empty_source();
    assert_eq!(records, ["checkpoint/task0", "op/task0", "task/task0"]);
}
