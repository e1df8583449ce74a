//! `lab`: installs the real servers and runs a source and a target by hand. Never used by tests,
//! which call the library.

use lab::{BrokerOptions, Pair, PairOptions, PulsarOptions};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str =
    "usage: lab install        install the servers (etcd, MariaDB, Kafka, Pulsar, Milvus)
       lab build-packages install the Debian packages needed to build the workspace
       lab up [--pulsar] [--dir D]
                          run a source, on Kafka or on Pulsar, and a target until Ctrl-C; their
                          data stay in D";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["install"] => lab::install_servers()
            .map(|_| println!("lab: installed in {}", lab::lab_folder().display())),
        ["build-packages"] => lab::install_build_packages(),
        ["up"] => up(BrokerOptions::default(), None),
        ["up", "--dir", folder] => up(BrokerOptions::default(), Some(folder.into())),
        ["up", "--pulsar"] => up(pulsar(), None),
        ["up", "--pulsar", "--dir", folder] => up(pulsar(), Some(folder.into())),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {}", lab::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn pulsar() -> BrokerOptions {
    BrokerOptions::Pulsar(PulsarOptions::default())
}

fn up(queue: BrokerOptions, folder: Option<PathBuf>) -> lab::Result<()> {
    let installed = lab::install_servers()?;
    let folder = folder.unwrap_or_else(|| lab::lab_folder().join("up"));
    let mut pair =
        Pair::start(&installed, &folder, &PairOptions { queue, ..PairOptions::default() })?;
    print_addresses(&mut pair);
    // Only now: until here a Ctrl-C ends us at once, and with us all that was started.
    match Signals::new([SIGINT, SIGTERM, SIGHUP]) {
        Ok(mut signals) => {
            signals.forever().next();
            println!("lab: stopping; once more to stop at once");
            std::thread::spawn(move || signals.forever().next().map(|_| std::process::exit(130)));
        }
        Err(error) => eprintln!("lab: cannot wait for signals: {error}"),
    }
    pair.stop()
}

fn print_addresses(pair: &mut Pair) {
    let addresses = [
        ("SOURCE_MILVUS", pair.source.address()),
        ("SOURCE_HEALTH", pair.source.health_address()),
        ("SOURCE_ETCD", pair.source_etcd.endpoint()),
        ("SOURCE_QUEUE", pair.queue.address()),
        ("SOURCE_ROOT_PATH", pair.source.options.name.clone()),
        ("TARGET_MILVUS", pair.target.address()),
        ("TARGET_HEALTH", pair.target.health_address()),
        ("TARGET_ETCD", pair.target_etcd.endpoint()),
        ("TARGET_ROOT_PATH", pair.target.options.name.clone()),
    ];
    for (key, value) in &addresses {
        println!("{key}={value}");
    }
    let servers: Vec<_> = pair
        .servers()
        .into_iter()
        .map(|server| {
            json!({
                "name": server.name(),
                "pid": server.pid(),
                "log": server.log_file(),
                "resident_mib": server.usage().map(|usage| usage.resident_bytes >> 20).ok(),
            })
        })
        .collect();
    let addresses: serde_json::Map<_, _> =
        addresses.into_iter().map(|(key, value)| (key.to_lowercase(), value.into())).collect();
    println!("{}", json!({ "addresses": addresses, "servers": servers }));
}
