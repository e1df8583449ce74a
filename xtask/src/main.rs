//! The project's own commands, one per file. Never needs more than Rust and a linker to be built:
//! it installs the rest.

mod bench;
mod cargo;
mod chaos;
mod check;
mod command;
mod demo;
mod deploy;
mod dist;
mod fuzz;
mod lab_command;
mod steps;
mod structure;
mod suites;
mod test;
mod test_programs;

use std::process::ExitCode;

const USAGE: &str =
    "usage: ./x demo [--keep]   show a replication on real servers; --keep leaves it running
       ./x test            all checks and tests, as the CI runs them
       ./x test --everything   also those that say on Pulsar what they said on Kafka
       ./x check           format, lints and the tests that need no servers
       ./x check deploy    of that only what is about deploy/
       ./x check structure of that only circles, order, heads and lengths of lines of the sources
       ./x bench ...      speed and cost against a raw reader, see ./x bench --help
       ./x chaos ...      random faults on real servers, see ./x chaos --help
       ./x chaos --fuzz N  N minutes of damaged bytes for every decoder
       ./x dist            the static binary to hand out
       ./x lab ...         the real servers by hand, see ./x lab help";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["demo"] => demo::run(false),
        ["demo", "--keep"] => demo::run(true),
        ["test"] => test::run(false),
        ["test", "--everything"] => test::run(true),
        ["check"] => check::run(),
        ["check", "deploy"] => deploy::run(),
        ["check", "structure"] => structure::run(),
        ["dist"] => dist::run(),
        ["bench", ref rest @ ..] => bench::run(rest),
        ["chaos", "--fuzz", minutes] => fuzz::run(minutes),
        ["chaos", ref rest @ ..] => chaos::run(rest),
        ["lab", ref rest @ ..] => lab_command::run(rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("x: {}", lab::with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}
