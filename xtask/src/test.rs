//! `./x test`: all checks and all tests, those on real servers last. Never leaves a test out, except
//! those that say the same on the second queue as on the first: `--everything` runs these too.

use std::thread;

use crate::check;
use crate::deploy;
use crate::steps::{Lane, Result, Steps, meanwhile};
use crate::suites::with_servers;

/// The command.
pub(crate) fn run(everything: bool) -> Result<()> {
    Steps::all(|steps| {
        check::prepare(steps)?;
        thread::scope(|scope| {
            let servers = meanwhile(scope, install_all);
            check::build(steps)?;
            steps.join("what the tests need", servers)
        })?;
        check::test(steps)?;
        steps.side_by_side(lanes(everything))
    })?;
    println!("all tests passed");
    Ok(())
}

/// In the order in which it is needed. Helm is left to the lane that needs it: to build it takes the
/// processor, which is free only while the tests wait.
fn install_all() -> Result<()> {
    lab::install_schemathesis()?;
    lab::install_servers()?;
    Ok(lab::install_flink().map(drop)?)
}

fn lanes(everything: bool) -> Vec<Lane<'static>> {
    let mut lanes: Vec<Lane<'static>> = with_servers(everything)
        .map(|lane| {
            let run = move |steps: &mut Steps| {
                lane.suites.iter().try_for_each(|suite| steps.tests(suite))
            };
            Lane { name: lane.name, run: Box::new(run) }
        })
        .into();
    lanes.push(Lane { name: "deploy", run: Box::new(deploy::run_steps) });
    lanes
}
