//! Which test programs there are, which of them need real servers, and which of those run beside
//! each other. Never leaves a program out: one that is not named here runs with those without
//! servers.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cargo::cargo;
use crate::command::Result;

/// Test programs that run as one step.
pub(crate) struct Suite {
    /// What they are about.
    pub(crate) name: &'static str,
    /// What Cargo needs to find them.
    programs: Vec<String>,
    /// Tests at a time. More than a few servers are too much for a small machine.
    pub(crate) threads: usize,
    /// The tests, by parts of their names; all, if there are none.
    only: Vec<&'static str>,
    /// Tests that are left out, by parts of their names.
    skip: Vec<&'static str>,
}

/// Suites that run in this order, beside those of other lanes.
pub(crate) struct ServerLane {
    /// One word.
    pub(crate) name: &'static str,
    /// The foundations first.
    pub(crate) suites: Vec<Suite>,
}

/// Programs with real servers, besides the two below.
const FOUNDATIONS: [(&str, &[&str]); 3] = [
    ("the lab", &["pair", "pulsar", "secured_kafka", "mariadb"]),
    ("connectors with real servers", &["real_servers"]),
    ("test kit with real servers", &["counting", "real", "source_restart", "flink", "stores"]),
];

const ON_KAFKA: &str = "replication";
const ON_PULSAR: &str = "replication_on_pulsar";

/// Tests of the first program with servers of their own. They run in the other lane, so that both
/// take about as long.
const WITH_OWN_SERVERS: [&str; 4] = ["churn::", "drained::", "etcd_members::", "forgotten::"];

/// What can differ by queue: docs/testing.md has the reasons. The others run on Kafka alone, unless
/// everything is asked for.
const DIFFERS_BY_QUEUE: [&str; 18] = [
    "channels::",
    "collections::a_thousand_rows_arrive",
    "collections::every_type_is_inserted_upserted_deleted_and_dropped",
    "faults::milvus_cdc_is_killed_twenty_times",
    "faults::the_queue_is_stopped_and_started",
    "faults::the_target_is_killed",
    "faults::the_target_is_frozen",
    "faults::the_source_is_restarted",
    "faults::a_task_is_paused_and_resumed",
    "faults::a_task_goes_on_while_another_one_on_its_target_is_paused",
    "requests::users_roles_and_grants_follow",
    "requests::a_bulk_import_stops_the_task_or_is_counted_as_the_policy_has_it",
    "shared_store::one_that_stood_still_sends_nothing_more_and_takes_its_turn_again",
    "structure::what_exists_when_the_task_starts_is_replicated_from_now_on",
    "structure::with_use_start_position_all_rows_of_a_collection_arrive",
    "structure::a_task_begins_at_the_positions_it_is_given",
    "structure::a_name_dropped_and_created_again_at_once_is_a_new_collection",
    "takeover::a_task_in_the_go_tools_etcd_goes_on_without_loss_or_duplicates",
];

impl Suite {
    fn of(name: &'static str, programs: &[&str], threads: usize) -> Self {
        let programs = programs.iter().flat_map(|name| ["--test".to_owned(), (*name).to_owned()]);
        Self { name, programs: programs.collect(), threads, only: vec![], skip: vec![] }
    }

    /// All tests that need no servers.
    pub(crate) fn without_servers() -> Result<Self> {
        let programs = programs_without_servers()?;
        let programs: Vec<&str> = programs.iter().map(String::as_str).collect();
        let mut suite = Self::of("unit and simulation tests", &programs, processors());
        suite.programs.extend(["--lib".into(), "--bins".into()]);
        Ok(suite)
    }

    /// The examples in the documentation.
    pub(crate) fn of_documentation() -> Self {
        let name = "examples in the documentation";
        Self { programs: vec!["--doc".into()], ..Self::of(name, &[], processors()) }
    }

    /// What runs them.
    pub(crate) fn command(&self) -> Command {
        let mut command = cargo();
        command.args(["test", "--config", MORTAL, "--workspace"]).args(&self.programs);
        command.args(["--", "--test-threads", &self.threads.to_string()]).args(&self.only);
        command.args(self.skip.iter().flat_map(|name| ["--skip", name]));
        command
    }
}

/// Makes a test program end with the Cargo that runs it, and so with us.
const MORTAL: &str = r#"target."cfg(all())".runner=["setpriv","--pdeathsig","KILL","--"]"#;

/// The lanes of what needs servers. They wait more than they work, so they run beside each other:
/// two at a time, because with more of them servers on two cores answer too late.
pub(crate) fn with_servers(everything: bool) -> [ServerLane; 2] {
    let kafka = Suite::of("replication from end to end", &[ON_KAFKA], 1);
    let kafka = Suite { skip: WITH_OWN_SERVERS.into(), ..kafka };
    let own = Suite::of("replication on servers of its own", &[ON_KAFKA], 1);
    let own = Suite { only: WITH_OWN_SERVERS.into(), ..own };
    let pulsar = Suite::of("the same from a source on Pulsar", &[ON_PULSAR], 1);
    let only = if everything { vec![] } else { DIFFERS_BY_QUEUE.into() };
    let foundations = FOUNDATIONS.map(|(name, programs)| Suite::of(name, programs, 2));
    let mut others: Vec<Suite> = foundations.into();
    others.extend([Suite { only, ..pulsar }, own]);
    [
        ServerLane { name: "kafka", suites: vec![kafka] },
        ServerLane { name: "others", suites: others },
    ]
}

/// As many as the test programs themselves would take; said to them, so that it is known.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// All test programs of the workspace except those that are named as needing servers.
fn programs_without_servers() -> Result<BTreeSet<String>> {
    let needs_servers = |name: &str| {
        let mut foundations = FOUNDATIONS.iter().flat_map(|(_, programs)| *programs);
        name == ON_KAFKA || name == ON_PULSAR || foundations.any(|program| *program == name)
    };
    let mut tests = BTreeSet::new();
    for package in entries(Path::new("crates"))? {
        for entry in entries(&package.join("tests")).unwrap_or_default() {
            let is_test =
                entry.extension().is_some_and(|it| it == "rs") || entry.join("main.rs").is_file();
            let name = entry.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if is_test && !needs_servers(&name) {
                tests.insert(name);
            }
        }
    }
    Ok(tests)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test that was renamed would otherwise no longer run on Pulsar.
    #[test]
    fn what_is_named_here_exists() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/testkit/tests");
        for name in DIFFERS_BY_QUEUE {
            let (module, test) = name.split_once("::").unwrap();
            let file = folder.join(ON_KAFKA).join(module).with_extension("rs");
            let text = fs::read_to_string(&file).unwrap();
            assert!(test.is_empty() || text.contains(&format!("async fn {test}() {{")), "{name}");
        }
    }

    /// Otherwise a test would run twice or not at all.
    #[test]
    fn what_has_servers_of_its_own_runs_in_one_lane() {
        let [kafka, others] = with_servers(false);
        let own = others.suites.last().unwrap();
        assert_eq!((&kafka.suites[0].skip, &own.only), (&own.only, &WITH_OWN_SERVERS.into()));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/testkit/tests");
        for name in WITH_OWN_SERVERS {
            let module = name.trim_end_matches(':');
            let text = fs::read_to_string(folder.join(ON_KAFKA).join(module).with_extension("rs"));
            assert!(text.unwrap().contains("Bench::of("), "{name}");
        }
    }

    #[test]
    fn only_pulsar_depends_on_what_is_asked_for() {
        let arguments = |suite: &Suite| {
            let command = suite.command();
            let all = command.get_args().map(|it| it.to_str().unwrap().to_owned());
            all.skip_while(|it| it != "--test-threads").skip(2).collect::<Vec<_>>()
        };
        for everything in [false, true] {
            let [_, others] = with_servers(everything);
            let [foundations @ .., pulsar, _] = &others.suites[..] else { panic!("no Pulsar") };
            assert!(foundations.iter().all(|it| arguments(it).is_empty()));
            assert_eq!(arguments(pulsar).is_empty(), everything);
        }
    }
}
