//! What a seed stands for: the store, the tasks, and the faults in their order. A pure function of
//! the seed: never asks the clock or a server.

use std::fmt;
use std::time::Duration;
use testkit::rows::Random;
use testkit::stores::Kind;

/// Whom a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Part {
    /// The milvus-cdc that was started first.
    Service,
    /// The one that waits for the first.
    Standby,
    /// A task, over the API.
    Task,
    /// The server of the store; of SQLite its file.
    Store,
    /// The source.
    Source,
    /// The source's queue.
    Queue,
    /// The source's etcd.
    SourceEtcd,
    /// The target.
    Target,
    /// The target's queue.
    TargetQueue,
    /// The target's etcd.
    TargetEtcd,
}

/// What befalls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    /// It ends at once, and is started again (SIGKILL).
    Kill,
    /// It is asked to end, and is started again (SIGTERM).
    Restart,
    /// It stands still (SIGSTOP), and goes on.
    Freeze,
    /// It is paused, and resumed.
    Pause,
    /// Connections of milvus-cdc to it end, and no new one is possible.
    Cut,
    /// Nothing is carried between milvus-cdc and it.
    Hold,
    /// Everything between milvus-cdc and it takes longer.
    Slow,
    /// Files can't grow.
    Full,
    /// It is restarted with its clock ahead.
    ClockAhead,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) part: Part,
    pub(crate) deed: Deed,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deed = match self.deed {
            Deed::Kill => "killed",
            Deed::Restart => "restarted in good order",
            Deed::Freeze => "stopped and resumed",
            Deed::Pause => "paused and resumed",
            Deed::Cut => "cut off",
            Deed::Hold => "reached by no packet",
            Deed::Slow => "far away",
            Deed::Full => "full",
            Deed::ClockAhead => "restarted with its clock ahead",
        };
        write!(f, "{} {deed}", self.part)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Service => "milvus-cdc",
            Self::Standby => "the standby",
            Self::Task => "a task",
            Self::Store => "the store",
            Self::Source => "the source",
            Self::Queue => "the source's queue",
            Self::SourceEtcd => "the source's etcd",
            Self::Target => "the target",
            Self::TargetQueue => "the target's queue",
            Self::TargetEtcd => "the target's etcd",
        })
    }
}

/// Every kind of fault, how often it comes in relation to the others, and its shortest and longest
/// duration in seconds. A Milvus ends by itself if its etcd is away for long, which is a fault of
/// another kind.
const KINDS: [(Part, Deed, u64, [u64; 2]); 32] = [
    (Part::Service, Deed::Kill, 12, [0, 6]),
    (Part::Service, Deed::Restart, 4, [0, 6]),
    (Part::Service, Deed::Freeze, 5, [2, 25]),
    (Part::Standby, Deed::Kill, 2, [0, 6]),
    (Part::Standby, Deed::Restart, 1, [0, 6]),
    (Part::Standby, Deed::Freeze, 2, [2, 25]),
    (Part::Task, Deed::Pause, 4, [1, 20]),
    (Part::Store, Deed::Kill, 3, [0, 15]),
    (Part::Store, Deed::Restart, 2, [0, 15]),
    (Part::Store, Deed::Freeze, 2, [2, 20]),
    (Part::Store, Deed::Full, 3, [2, 15]),
    (Part::Source, Deed::Kill, 2, [0, 5]),
    (Part::Source, Deed::Restart, 2, [0, 5]),
    (Part::Source, Deed::Freeze, 1, [2, 15]),
    (Part::Source, Deed::ClockAhead, 2, [0, 0]),
    (Part::Queue, Deed::Kill, 2, [0, 10]),
    (Part::Queue, Deed::Restart, 2, [0, 10]),
    (Part::Queue, Deed::Freeze, 2, [2, 15]),
    (Part::Queue, Deed::Cut, 3, [1, 15]),
    (Part::Queue, Deed::Hold, 2, [2, 25]),
    (Part::Queue, Deed::Slow, 2, [5, 20]),
    (Part::SourceEtcd, Deed::Kill, 2, [0, 15]),
    (Part::SourceEtcd, Deed::Freeze, 2, [2, 15]),
    (Part::SourceEtcd, Deed::Cut, 2, [1, 25]),
    (Part::Target, Deed::Kill, 4, [0, 10]),
    (Part::Target, Deed::Restart, 4, [0, 10]),
    (Part::Target, Deed::Freeze, 4, [2, 20]),
    (Part::Target, Deed::Cut, 5, [0, 15]),
    (Part::Target, Deed::Hold, 3, [2, 25]),
    (Part::Target, Deed::Slow, 3, [5, 20]),
    (Part::TargetQueue, Deed::Restart, 2, [0, 15]),
    (Part::TargetEtcd, Deed::Kill, 2, [0, 12]),
];

/// What a clock is ahead by, in seconds.
const AHEAD: [u64; 2] = [5, 45];

/// What each piece takes longer on a slow link, in milliseconds.
const SLOWER: [u64; 2] = [20, 400];

/// Between the end of a fault and the next one, in milliseconds. Short ones meet what has not
/// recovered yet.
const PAUSE: [u64; 2] = [200, 12_000];

/// Of a hundred faults, how many meet a killed milvus-cdc before they end.
const WITH_A_KILL: u64 = 20;

/// What is there during a run.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) store: Kind,
    /// Whether a second milvus-cdc waits on the store.
    pub(crate) standby: bool,
    /// Two tasks of a database each, instead of one for everything.
    pub(crate) two_tasks: bool,
    /// Waits of two seconds instead of the defaults.
    pub(crate) short_times: bool,
}

/// A fault in its time.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// After the one before.
    pub(crate) pause: Duration,
    pub(crate) fault: Fault,
    pub(crate) lasts: Duration,
    /// A number for what else the fault needs, by its kind: by how much, or which task.
    pub(crate) much: u64,
    /// milvus-cdc is killed while it lasts.
    pub(crate) and_killed: bool,
}

/// What a seed stands for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) setting: Setting,
    random: Random,
    kinds: Vec<(Fault, u64, [u64; 2])>,
}

impl Plan {
    /// That of a seed; only with faults of these parts, all if there are none.
    pub(crate) fn of(seed: u64, parts: &[Part]) -> Self {
        let mut random = Random::of(&[seed, 0]);
        let store = [Kind::Sqlite, Kind::Sqlite, Kind::Etcd, Kind::Mysql][random.below(4) as usize];
        let setting = Setting {
            store,
            // One file is not for two.
            standby: random.below(3) > 0 && store != Kind::Sqlite,
            two_tasks: random.below(2) == 0,
            short_times: random.below(3) == 0,
        };
        let kinds =
            KINDS.iter().map(|&(part, deed, weight, lasts)| (Fault { part, deed }, weight, lasts));
        let kinds = kinds
            .filter(|(fault, ..)| parts.is_empty() || parts.contains(&fault.part))
            .filter(|(fault, ..)| setting.can_meet(*fault))
            .collect();
        Self { setting, random: Random::of(&[seed, 1]), kinds }
    }
}

impl Setting {
    fn can_meet(&self, fault: Fault) -> bool {
        match (fault.part, fault.deed) {
            (Part::Standby, _) => self.standby,
            (Part::Store, Deed::Full) => self.store == Kind::Sqlite,
            (Part::Store, _) => self.store != Kind::Sqlite,
            _ => true,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = if self.two_tasks { "two tasks" } else { "one task for everything" };
        let standby = if self.standby { ", a standby" } else { "" };
        let times = if self.short_times { ", waits of two seconds" } else { "" };
        write!(f, "store in {}, {tasks}{standby}{times}", self.store.name())
    }
}

impl Iterator for Plan {
    type Item = Step;

    /// `None` only if no kind of fault is possible.
    fn next(&mut self) -> Option<Step> {
        let all: u64 = self.kinds.iter().map(|(_, weight, _)| weight).sum();
        // Each step takes the same number of words, so that a change of one kind changes no other.
        let mut chosen = self.random.below(all);
        let [pause, lasts, much, killed] = [(); 4].map(|()| self.random.word());
        let (fault, _, seconds) = self.kinds.iter().find(|(_, weight, _)| {
            let found = chosen < *weight;
            chosen = chosen.saturating_sub(*weight);
            found
        })?;
        let between = |word: u64, [from, to]: [u64; 2]| from + word % (to - from + 1);
        let much = match fault.deed {
            Deed::Slow => between(much, SLOWER),
            Deed::ClockAhead => between(much, AHEAD),
            _ => much,
        };
        Some(Step {
            pause: Duration::from_millis(between(pause, PAUSE)),
            fault: *fault,
            lasts: Duration::from_millis(between(lasts, seconds.map(|second| second * 1000))),
            much,
            and_killed: fault.part != Part::Service && killed % 100 < WITH_A_KILL,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_stands_for_one_plan() {
        let plan = |seed| {
            let plan = Plan::of(seed, &[]);
            (plan.setting.to_string(), format!("{:?}", plan.take(100).collect::<Vec<_>>()))
        };
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn every_kind_of_fault_comes_and_none_that_the_setting_has_no_use_for() {
        let mut seen = BTreeSet::new();
        for seed in 0..60 {
            let plan = Plan::of(seed, &[]);
            let setting = plan.setting.clone();
            for step in plan.take(300) {
                assert!(setting.can_meet(step.fault), "{} with {setting}", step.fault);
                seen.insert(step.fault);
            }
        }
        let all = KINDS.iter().filter(|(_, _, weight, _)| *weight > 0);
        let all: BTreeSet<Fault> = all.map(|&(part, deed, ..)| Fault { part, deed }).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn parts_that_are_not_asked_for_are_left_alone() {
        let mut plan = Plan::of(3, &[Part::Service]);
        assert!(plan.by_ref().take(50).all(|step| step.fault.part == Part::Service));
        assert_eq!(
            Plan::of(3, &[Part::Standby, Part::Store]).setting.to_string(),
            plan.setting.to_string()
        );
    }
}
