//! The command line: `serve` runs the service, `task` talks to one over HTTP, `health` asks whether
//! it is healthy, `import` takes over the tasks of a Go Milvus-CDC, `promote` makes the target of
//! tasks an ordinary Milvus. Data goes to standard output, everything else to standard error. Never
//! shows a secret.

mod client;
mod create;
mod drain;
mod failure;
mod health;
mod import;
mod outcome;
mod output;
mod promote;
mod rows;
mod serve;
mod task;
mod watch;

pub use outcome::Outcome;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Change data capture for Milvus.
#[derive(Debug, Parser)]
#[command(name = "milvus-cdc", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(serve::Serve),
    Import(import::Import),
    Health(health::Health),
    Promote(Box<promote::Promote>),
    /// Create, show and change tasks of a running service.
    ///
    /// Exit codes: 0 done, 1 refused by the server, 2 wrong command line, 3 server not reachable,
    /// 4 `watch` ran out of time.
    Task(task::TaskCommand),
}

/// Runs the command of the command line.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Import(import) => import.run(),
        Command::Health(health) => health.run(),
        Command::Promote(promote) => promote.run(),
        Command::Task(task) => task.run(),
    };
    outcome.into()
}
