//! `./x test`: all checks and all tests, those on real servers last. Never leaves a test out: the
//! ones below need servers, all others run without.

use crate::Result;
use crate::check;
use crate::steps::Steps;

/// Test programs that belong together.
pub(crate) struct Suite {
    /// What they are about.
    name: &'static str,
    /// Their names.
    pub(crate) tests: &'static [&'static str],
    /// At a time. More than a few servers are too much for a small machine.
    threads: &'static str,
}

/// Those that need real servers, the foundations first.
pub(crate) const NEED_SERVERS: [Suite; 5] = [
    Suite { name: "the lab", tests: &["pair", "pulsar", "secured_kafka", "mariadb"], threads: "2" },
    Suite { name: "connectors with real servers", tests: &["real_servers"], threads: "2" },
    Suite {
        name: "test kit with real servers",
        tests: &["counting", "real", "source_restart", "flink"],
        threads: "2",
    },
    Suite { name: "replication from end to end", tests: &["replication"], threads: "1" },
    Suite {
        name: "the same from a source on Pulsar",
        tests: &["replication_on_pulsar"],
        threads: "1",
    },
];

/// The command.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    check::run_steps(&mut steps)?;
    steps.step("servers", || {
        lab::install_servers()?;
        Ok(lab::install_flink().map(drop)?)
    })?;
    for suite in &NEED_SERVERS {
        let mut arguments = vec!["test", "--workspace"];
        arguments.extend(suite.tests.iter().flat_map(|test| ["--test", test]));
        arguments.extend(["--", "--test-threads", suite.threads]);
        steps.cargo(suite.name, &arguments)?;
    }
    steps.print_times();
    println!("all tests passed");
    Ok(())
}
