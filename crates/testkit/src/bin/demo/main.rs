//! `demo`: a source, a target and a milvus-cdc between them, to watch. Never says that the sides
//! are equal without having compared them row by row.

mod show;
mod stage;

use anyhow::{Result, bail};
use clap::Parser;
use stage::Stage;
use std::process::ExitCode;

/// Shows a replication between two real Milvus servers.
#[derive(Parser)]
struct Arguments {
    /// Leaves everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = tokio::select! {
        ended = play(arguments.keep) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match ended {
        Ok(result) => {
            println!("\n{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The whole of it. Returns its result in one sentence.
async fn play(keep: bool) -> Result<String> {
    show::chapter("Starting etcd, Kafka, a source Milvus and a target Milvus");
    let mut stage = Stage::start().await?;
    show::chapter("Creating a task for everything");
    stage.create_task().await?;
    show::chapter("Writing to the source: collections, partitions, an index, a load, rows");
    stage.create_collections().await?;
    let written = stage.write().await?;
    show::chapter("Comparing both sides row by row");
    let compared = stage.compare().await;
    if keep {
        match &compared {
            Ok(rows) => println!("  equal: {rows} rows"),
            Err(error) => println!("  not equal: {error:#}"),
        }
        stage.print_addresses();
        tokio::signal::ctrl_c().await?;
    }
    stage.end()?;
    match compared {
        Ok(rows) => Ok(format!(
            "Result: the target equals the source: {} inserts, {} upserts and {} deletes left \
             {rows} rows, the same on both sides, none missing and none twice.",
            written.inserted, written.upserted, written.deleted
        )),
        Err(error) => bail!("the target does not equal the source: {error:#}"),
    }
}
