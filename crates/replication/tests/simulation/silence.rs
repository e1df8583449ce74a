//! A side of a task that leaves calls without an answer for minutes: one channel of the target
//! while the others go on, its clock, or the source. Never takes real time.

use crate::faults::{Fault, Faults, Verdict};
use crate::milvus::Milvus;
use crate::schedule::{limits, task};
use crate::script::Script;
use crate::simulated_time::block_on;
use crate::store::Memory;
use milvus_wire::ids::{CollectionName, DEFAULT_DATABASE};
use replication::context::Ports;
use replication::destination::Destination;
use replication::destination::milvus::link::Link;
use replication::observer::{Event, Noted, Observer};
use replication::run;
use replication::selection::Selector;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// For how long the channel is silent.
const SILENT_MS: u64 = 100_000;

/// How long the target may be behind its source without a fault.
const BEHIND_MAX_MS: u64 = 1000;

/// What a target leaves without an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Calls {
    WithRows,
    Ticks,
    /// Questions for its clock; they are of no channel.
    Clock,
}

/// The channels of the target that are silent.
#[derive(Clone, Default)]
pub(crate) struct Silence(Arc<watch::Sender<State>>);

#[derive(Default)]
struct State {
    of: Option<(String, Calls)>,
    /// What happens to calls that were kept.
    end: Option<Fault>,
}

impl Silence {
    fn begin(&self, pchannel: &str, calls: Calls) {
        let of = Some((pchannel.to_owned(), calls));
        self.0.send_replace(State { of, end: None });
    }

    /// This happens to the calls that have waited for it.
    fn end(&self, end: Fault) {
        self.0.send_replace(State { of: None, end: Some(end) });
    }

    /// Keeps a call, if it is one of those that are not answered now. Returns what becomes of it.
    pub(crate) async fn keep(&self, pchannel: &str, calls: Calls) -> Option<Fault> {
        let is_kept = |of: &(String, Calls)| of.0 == pchannel && of.1 == calls;
        if !self.0.borrow().of.as_ref().is_some_and(is_kept) {
            return None;
        }
        let mut state = self.0.subscribe();
        state.wait_for(|state| state.of.is_none()).await.unwrap().end
    }
}

/// What a task says.
#[derive(Default)]
struct Told {
    overdue: Mutex<u64>,
    waits: Mutex<Option<String>>,
}

impl Observer for Told {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Counted(Noted::Overdue, n) => *self.overdue.lock().unwrap() += n,
            Event::Waiting(why) => *self.waits.lock().unwrap() = why.map(str::to_owned),
            _ => {}
        }
    }
}

/// Two tasks of one process.
struct Pair {
    script: Script,
    milvus: Milvus,
    verdict: Verdict,
    told: [Arc<Told>; 2],
}

/// The channel of the first task keeps such calls, of which this becomes then. Returns what has
/// gone wrong.
pub(crate) fn of_one_channel(calls: Calls, end: Fault) -> Result<(), String> {
    block_on(0, async { Pair::begin().run(calls, end).await })
}

/// The source, or the target's clock, is silent for a while. Returns what has gone wrong.
pub(crate) fn of_one_side(is_of_source: bool) -> Result<(), String> {
    block_on(0, async {
        let pair = Pair::begin();
        pair.pass(10_000, &["a99", "b99"]).await?;
        let why = if is_of_source {
            tokio::time::sleep(Duration::from_secs(12)).await;
            "nothing has come from the source"
        } else {
            pair.milvus.silence.begin("", Calls::Clock);
            pair.write(14_000).await?;
            "the question for its clock has no answer"
        };
        for told in &pair.told {
            let waits = told.waits.lock().unwrap().clone().unwrap_or_default();
            if *told.overdue.lock().unwrap() == 0 || !waits.contains(why) {
                return Err(format!("a task does not tell of it: {waits:?}"));
            }
        }
        pair.milvus.silence.end(Fault::None);
        pair.write(20_000).await?;
        pair.pass(10_000, &["a99", "b99"]).await?;
        let waits = |told: &Arc<Told>| told.waits.lock().unwrap().clone();
        if let Some(waits) = pair.told.iter().find_map(waits) {
            return Err(format!("a task still says {waits}"));
        }
        pair.milvus.difference().map_or(Ok(()), Err)
    })
}

impl Pair {
    fn begin() -> Self {
        let (faults, verdict) = (Faults::new(0, false), Verdict::default());
        let script = Script::new(0, faults.clone(), verdict.clone());
        for name in ["a99", "b99"] {
            let (name, now) = (CollectionName::new(DEFAULT_DATABASE, name), script.now());
            script.change(|world| world.create_as(now, &name, 1));
        }
        let milvus = Milvus::new(faults.clone(), script.clone(), verdict.clone(), 1);
        let store = Arc::new(Memory::new(faults));
        let link = Link::new("target", Arc::new(milvus.clone()), store.clone(), limits());
        let destination = Destination::Milvus(link);
        let told: [Arc<Told>; 2] = Default::default();
        for (n, name) in ["a99", "b99"].into_iter().enumerate() {
            store.add_task(&format!("task{n}"));
            let selector = Selector {
                database: "*".into(),
                collection: name.into(),
                use_start_position: true,
                positions: Default::default(),
            };
            let source = Arc::new(script.clone());
            let (catalog, observer) = (source.clone(), told[n].clone());
            let destination = destination.clone();
            let ports = Ports { source, catalog, destination, observer };
            let task = task(&format!("task{n}"), vec![selector]);
            tokio::spawn(run::run(task, ports, CancellationToken::new()));
        }
        tokio::spawn(async move { destination.keep(CancellationToken::new()).await });
        Self { script, milvus, verdict, told }
    }

    async fn run(&self, calls: Calls, end: Fault) -> Result<(), String> {
        self.pass(10_000, &["a99", "b99"]).await?;
        let channel = self.milvus.channel_of("a99");
        assert_ne!(channel, self.milvus.channel_of("b99"));
        self.milvus.silence.begin(&channel, calls);
        // For so long another task may wait for the channel.
        let patience = limits().lane_wait_max.as_millis() as u64;
        self.write(patience).await?;
        self.pass(SILENT_MS, &["b99"]).await?;
        let waits = self.told[0].waits.lock().unwrap().clone().unwrap_or_default();
        if *self.told[0].overdue.lock().unwrap() == 0 || !waits.contains("has no answer") {
            return Err(format!("the first task does not say what is overdue: {waits:?}"));
        }
        self.milvus.silence.end(end);
        self.write(20_000).await?;
        self.pass(10_000, &["a99", "b99"]).await?;
        self.milvus.difference().map_or(Ok(()), Err)
    }

    /// Lets so much time pass, and sees that these collections get their rows in time.
    async fn pass(&self, ms: u64, up_to_date: &[&str]) -> Result<(), String> {
        let begins_at = self.script.now().plus_ms(2000);
        let until = self.script.now().plus_ms(ms);
        while self.script.now() < until {
            self.write(200).await?;
            for name in up_to_date.iter().filter(|_| self.script.now() > begins_at) {
                let (newest, now) = (self.milvus.newest_of(name), self.script.now());
                if newest.plus_ms(BEHIND_MAX_MS) < now {
                    return Err(format!("{name} has no row since {newest}, now {now}"));
                }
            }
        }
        Ok(())
    }

    /// Writes to both collections for so long.
    async fn write(&self, ms: u64) -> Result<(), String> {
        for _ in 0..ms / 200 {
            let now = self.script.now();
            self.script.change(|world| world.write_to_each(now, "99"));
            self.script.tick();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.verdict.first().map_or(Ok(()), Err)
    }
}
