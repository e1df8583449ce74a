//! `./x test`: all checks and all tests, those on real servers last. Never leaves a test out,
//! except those that say the same on the second queue as on the first: `--everything` runs these
//! too.

use std::thread;

use crate::check;
use crate::command::Result;
use crate::steps::{Lane, Steps, meanwhile};
use crate::suites::{ServerLane, with_servers};

/// The command.
pub(crate) fn run(everything: bool) -> Result<()> {
    Steps::all(|steps| {
        check::prepare(steps)?;
        thread::scope(|scope| {
            let programs = meanwhile(scope, install_all);
            check::build(steps)?;
            steps.join("what the tests need", programs)
        })?;
        check::test(steps)?;
        steps.side_by_side(lanes(everything))
    })?;
    println!("all tests passed");
    Ok(())
}

fn install_all() -> Result<()> {
    check::install_programs()?;
    lab::install_servers()?;
    Ok(lab::install_flink().map(drop)?)
}

fn lanes(everything: bool) -> Vec<Lane<'static>> {
    let lane = |lane: ServerLane| {
        let run =
            move |steps: &mut Steps| lane.suites.iter().try_for_each(|suite| steps.tests(suite));
        Lane { name: lane.name, run: Box::new(run) }
    };
    with_servers(everything).map(lane).into()
}
