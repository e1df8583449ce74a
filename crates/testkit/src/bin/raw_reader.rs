//! `raw-reader`: reads topics to their end as a process of its own and prints one line of JSON.
//! Never does more than `testkit::raw_reader`.

use anyhow::{Context, Result};
use clap::Parser;
use testkit::raw_reader::RawRead;

/// Reads the topics of a Kafka or a Pulsar from beginning to end and does nothing with them.
#[derive(Parser)]
struct Arguments {
    /// The broker list of a Kafka, or the address of a Pulsar.
    #[arg(long)]
    brokers: String,
    /// A topic; may be given several times.
    #[arg(long = "topic", required = true)]
    topics: Vec<String>,
    /// A setting of librdkafka, `key=value`; may be given several times.
    #[arg(long = "set")]
    settings: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let setting = |text: &String| {
        let (key, value) = text.split_once('=').with_context(|| format!("{text}: no `=`"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    let settings = arguments.settings.iter().map(setting).collect::<Result<_>>()?;
    let read = RawRead { brokers: arguments.brokers, topics: arguments.topics, settings };
    println!("{}", read.run()?.to_json());
    Ok(())
}
