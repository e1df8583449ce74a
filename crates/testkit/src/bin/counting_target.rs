//! `counting-target`: a target that only acknowledges and counts, as a process of its own. Never
//! does more than `testkit::counting`.

use anyhow::Result;
use clap::Parser;
use testkit::counting::{CountingOptions, CountingTarget};

/// A Milvus target that only acknowledges and counts.
#[derive(Parser)]
struct Arguments {
    /// Where it listens.
    #[arg(long)]
    listen: String,
    /// How many physical channels there are.
    #[arg(long, default_value_t = 16)]
    pchannels: usize,
    /// What the names of the channels begin with.
    #[arg(long, default_value = "count")]
    prefix: String,
    /// Checks ticks and rows, at some cost.
    #[arg(long)]
    check: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let options = CountingOptions {
        pchannels: arguments.pchannels,
        prefix: arguments.prefix,
        check: arguments.check,
    };
    CountingTarget::listen(&arguments.listen, options).await?.serve().await;
    Ok(())
}
