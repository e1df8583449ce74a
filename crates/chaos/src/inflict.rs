//! Carries out one step of a plan: the fault begins, lasts, and ends, and everything that it took
//! away is there again. Says whether it met something in flight. Never judges rows.

use crate::plan::{Deed, Fault, Part, Step};
use crate::world::{SOURCE, World};
use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lab::Server as _;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::relay::Link;
use testkit::service::Service;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

/// What milvus-cdc needs to notice the end of a fault and to say so.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);

/// How long a fault waits for the beginning of a window.
const FLIES_WITHIN: Duration = Duration::from_secs(2);

/// How a fault met milvus-cdc.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    /// Lanes on which a window was open when it had begun.
    pub(crate) windows: usize,
    /// Warnings and errors in the logs of milvus-cdc from its beginning to just after its end.
    pub(crate) complaints: usize,
    /// Servers that ended by themselves.
    pub(crate) ended: Vec<Part>,
}

impl Met {
    /// Whether it counts. One that ends or stops milvus-cdc counts only in the middle of a window;
    /// one of another part also if milvus-cdc has noticed it.
    pub(crate) fn something(&self, fault: Fault) -> bool {
        let noticed = self.complaints > 0 || fault.deed == Deed::Slow;
        match fault.part {
            Part::Service | Part::Standby | Part::Task => self.windows > 0,
            // Room may be left.
            Part::Store if fault.deed == Deed::Full => self.complaints > 0,
            _ => self.windows > 0 || noticed,
        }
    }
}

/// Carries out a step.
pub(crate) async fn carry_out(world: &mut World, step: &Step) -> Result<Met> {
    let logs = logs(world);
    let before = in_flight(world, step.fault).await;
    begin(world, step).await.with_context(|| format!("{} begins", step.fault))?;
    let begun = Instant::now();
    // A store that is away can't be asked.
    let after = open_windows(world, step.fault).await.or(before).unwrap_or(0);
    let windows = match step.fault.deed {
        // The moment itself is seen.
        Deed::Kill | Deed::Freeze => after,
        // A milvus-cdc that stops in good order has finished its windows by now.
        _ => after.max(before.unwrap_or(0)),
    };
    if step.and_killed {
        sleep(step.lasts / 2).await;
        world.services[0].kill()?;
    }
    sleep(step.lasts.saturating_sub(begun.elapsed())).await;
    end(world, step).await.with_context(|| format!("{} ends", step.fault))?;
    if step.and_killed {
        World::start_service(&mut world.services[0]).await?;
    }
    let ended = world.mend()?;
    sleep(NOTICED_WITHIN).await;
    let complaints = logs.iter().map(|(log, from)| complaints(log, *from)).sum();
    Ok(Met { windows, complaints, ended })
}

async fn begin(world: &mut World, step: &Step) -> Result<()> {
    let Fault { part, deed } = step.fault;
    match deed {
        Deed::Pause => {
            let task = task(world, step);
            return world.api().pause(&task).await;
        }
        Deed::Cut | Deed::Hold | Deed::Slow => {
            let relay = world.relay(part).context("no network to it")?;
            relay.set(match deed {
                Deed::Cut => Link::Cut,
                Deed::Hold => Link::Held,
                _ => Link::Slow(Duration::from_millis(step.much)),
            });
            return Ok(());
        }
        Deed::Full => {
            // Its journal is written over from the beginning again and again.
            let size = world
                .store_file()
                .map(wal)
                .map_or(0, |wal| std::fs::metadata(wal).map_or(0, |wal| wal.len()));
            let most = if step.much.is_multiple_of(2) { 1 } else { 1 + size / 2 };
            return limit_files(&world.services[0], Some(most));
        }
        Deed::ClockAhead => return set_clock_ahead(world, step.much).await,
        Deed::Kill | Deed::Restart | Deed::Freeze => {}
    }
    if let Some(service) = world.service(part) {
        return match deed {
            Deed::Kill => service.kill(),
            Deed::Restart => block_in_place(|| service.stop()),
            _ => service.freeze(),
        };
    }
    let server = world.server(part).context("no such server")?;
    Ok(match deed {
        Deed::Kill => server.kill(),
        Deed::Restart => block_in_place(|| server.stop()),
        _ => server.freeze(),
    }?)
}

async fn end(world: &mut World, step: &Step) -> Result<()> {
    let Fault { part, deed } = step.fault;
    match deed {
        Deed::Pause => {
            let task = task(world, step);
            // If milvus-cdc was killed meanwhile.
            if step.and_killed {
                World::start_service(&mut world.services[0]).await?;
            }
            world.until_state(&task, "Paused").await?;
            world.api().resume(&task).await
        }
        Deed::Cut | Deed::Hold | Deed::Slow => {
            world.relay(part).context("no network to it")?.set(Link::Open);
            Ok(())
        }
        Deed::Full if step.and_killed => Ok(()),
        Deed::Full => limit_files(&world.services[0], None),
        Deed::ClockAhead => Ok(()),
        Deed::Freeze => match world.service(part) {
            Some(service) => service.thaw(),
            None => Ok(world.server(part).context("no such server")?.thaw()?),
        },
        Deed::Kill | Deed::Restart => match world.service(part) {
            Some(service) => World::start_service(service).await,
            // Whoever needs it may have ended, and is mended afterwards.
            None => {
                let server = world.server(part).context("no such server")?;
                Ok(block_in_place(|| server.bring_back())?)
            }
        },
    }
}

fn task(world: &World, step: &Step) -> String {
    world.tasks[step.much as usize % world.tasks.len()].clone()
}

/// Waits a moment for something to be in flight, and says what was: few moments are in the middle
/// of a window.
async fn in_flight(world: &World, fault: Fault) -> Option<usize> {
    let begun = Instant::now();
    loop {
        let windows = open_windows(world, fault).await;
        if windows != Some(0) || begun.elapsed() > FLIES_WITHIN {
            return windows;
        }
    }
}

/// `None` if the store does not say. It isn't asked while it is the one that is away.
async fn open_windows(world: &World, fault: Fault) -> Option<usize> {
    if fault.part == Part::Store && world.store_file().is_none() {
        return None;
    }
    world.open_windows().await.ok()
}

fn limit_files(service: &Service, most: Option<u64>) -> Result<()> {
    let process = service.pid().and_then(|id| Pid::from_raw(id.cast_signed()));
    let limit = Rlimit { current: most, maximum: None };
    prlimit(Some(process.context("milvus-cdc does not run")?), Resource::Fsize, limit)?;
    Ok(())
}

fn wal(store: &std::path::Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// A Milvus begins above the end of the stretch of its clock that it has stored. It is written as
/// its allocator does: nanoseconds, eight bytes, the highest first (`tso.go`, `saveTimestamp`).
async fn set_clock_ahead(world: &mut World, seconds: u64) -> Result<()> {
    block_in_place(|| world.source.stop())?;
    let ahead = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(seconds);
    let key = format!("{SOURCE}/kv/gid/timestamp");
    let value = u64::try_from(ahead.as_nanos())?.to_be_bytes();
    let url = format!("http://{}/v3/kv/put", world.source_etcd.endpoint());
    let put = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer = client.post(url).body(put.to_string()).send().await?;
    if !answer.status().is_success() {
        bail!("the source's etcd answers {}", answer.text().await?);
    }
    Ok(block_in_place(|| world.source.bring_back())?)
}

/// The logs of milvus-cdc, and how long they are.
fn logs(world: &World) -> Vec<(PathBuf, u64)> {
    let log = |service: &Service| {
        let log = service.log_file();
        let length = std::fs::metadata(&log).map_or(0, |file| file.len());
        (log, length)
    };
    world.services.iter().map(log).collect()
}

fn complaints(log: &std::path::Path, from: u64) -> usize {
    let text = std::fs::read(log).unwrap_or_default();
    let new = text.get(from as usize..).unwrap_or_default();
    let new = String::from_utf8_lossy(new);
    new.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).count()
}
