//! `./x test`: all checks and all tests, those on real servers last. Never leaves a test out: the
//! ones below need servers, all others run without.

use std::process::Command;

use crate::Result;
use crate::check;
use crate::steps::{Steps, cargo};

/// Test programs that belong together.
pub(crate) struct Suite {
    /// What they are about.
    name: &'static str,
    /// Their names.
    pub(crate) tests: &'static [&'static str],
    /// At a time. More than a few servers are too much for a small machine.
    threads: &'static str,
    /// Whether it runs beside the suite before it. For those that wait more than they work.
    beside: bool,
}

/// Those that need real servers, the foundations first.
pub(crate) const NEED_SERVERS: [Suite; 5] = [
    Suite {
        name: "the lab",
        tests: &["pair", "pulsar", "secured_kafka", "mariadb"],
        threads: "2",
        beside: false,
    },
    Suite {
        name: "connectors with real servers",
        tests: &["real_servers"],
        threads: "2",
        beside: false,
    },
    Suite {
        name: "test kit with real servers",
        tests: &["counting", "real", "source_restart", "flink"],
        threads: "2",
        beside: false,
    },
    Suite {
        name: "replication from end to end",
        tests: &["replication"],
        threads: "1",
        beside: false,
    },
    Suite {
        name: "the same from a source on Pulsar",
        tests: &["replication_on_pulsar"],
        threads: "1",
        beside: true,
    },
];

/// Makes a test program end with the Cargo that runs it, and so with us.
const MORTAL: &str = r#"target."cfg(all())".runner=["setpriv","--pdeathsig","KILL","--"]"#;

impl Suite {
    fn command(&self) -> Command {
        let mut command = cargo();
        command.args(["test", "--config", MORTAL, "--workspace"]);
        command.args(self.tests.iter().flat_map(|test| ["--test", test]));
        command.args(["--", "--test-threads", self.threads]);
        command
    }
}

/// The command.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::begin();
    check::run_steps(&mut steps)?;
    steps.step("servers", || {
        lab::install_servers()?;
        Ok(lab::install_flink().map(drop)?)
    })?;
    for suites in NEED_SERVERS.chunk_by(|_, next| next.beside) {
        steps.side_by_side(suites.iter().map(|suite| (suite.name, suite.command())).collect())?;
    }
    steps.print_times();
    println!("all tests passed");
    Ok(())
}
