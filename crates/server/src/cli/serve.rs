//! `milvus-cdc serve`: reads the configuration, reports all its faults, and runs the service until
//! it is told to stop. Never starts with a configuration that has an error.

use super::outcome::Outcome;
use super::output;
use crate::config::{self, Config, Loaded};
use crate::service::Service;
use crate::world::World;
use crate::{compose, logging, signal};
use clap::Args;
use replication::error::Result;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The configuration file; without one `cdc.yaml` or `configs/cdc.yaml` if there is one.
    #[arg(long, env = "MILVUS_CDC_CONFIG")]
    config: Option<PathBuf>,
    /// Only say what is wrong with the configuration: 0 if nothing, else 1.
    #[arg(long, conflicts_with = "dump_config")]
    check_config: bool,
    /// Only print the effective configuration, secrets masked.
    #[arg(long)]
    dump_config: bool,
}

impl Serve {
    pub(super) fn run(self) -> Outcome {
        let Loaded { file, config, faults } =
            config::load(self.config.as_deref(), config::environment());
        let started = !self.check_config && !self.dump_config && config.is_some();
        if !started {
            faults.warnings.iter().for_each(|w| eprintln!("warning: {w}"));
        }
        faults.errors.iter().for_each(|e| eprintln!("error: {e}"));
        let Some(config) = config else { return Outcome::Refused };
        if self.check_config {
            println!("the configuration is valid");
            return Outcome::Done;
        }
        if self.dump_config {
            print!("{}", config.dump());
            return Outcome::Done;
        }
        let log_level = logging::start(&config.log);
        match file {
            Some(file) => tracing::info!(file = %file.display(), "configuration read"),
            None => tracing::info!("no configuration file, only the environment and defaults"),
        }
        faults.warnings.iter().for_each(|warning| tracing::warn!(warning, "configuration"));
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failed("no threads to run on", &error),
        };
        runtime.block_on(serve(config, log_level))
    }
}

async fn serve(config: Config, log_level: logging::LogLevel) -> Outcome {
    let world = match world(&config).await {
        Ok(world) => world,
        Err(error) => return failed("the service can't start", &error),
    };
    let service = match Service::bind(&config, world, log_level).await {
        Ok(service) => service,
        Err(error) => {
            let what = format!("can't listen on {}, change `address`", config.address);
            return failed(&what, &error);
        }
    };
    let stop = CancellationToken::new();
    if let Ok(address) = service.address() {
        greet(address, &config);
    }
    let watching = tokio::spawn(signal::watch(stop.clone()));
    let served = service.run(stop).await;
    watching.abort();
    match served {
        Ok(()) => {
            tracing::info!("stopped");
            Outcome::Done
        }
        Err(error) => failed("the service stopped listening", &error),
    }
}

async fn world(config: &Config) -> Result<World> {
    let world = compose::world(config).await?;
    if config.dry_run { compose::for_dry_run(world).await } else { Ok(world) }
}

fn greet(address: SocketAddr, config: &Config) {
    let (tls, tokens) = (config.api.tls.is_some(), config.api.tokens.are_required());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), tls, tokens, %address, "listening");
    if address.ip().is_loopback() {
        return;
    }
    if !tokens {
        tracing::warn!(
            %address,
            "the API needs no token: let only trusted machines reach this address, or set \
             api.manageTokens"
        );
    } else if !tls {
        tracing::warn!(
            %address,
            "tokens are sent in clear text: set api.tlsCertPath and api.tlsKeyPath"
        );
    }
}

fn failed(what: &str, error: &(dyn std::error::Error + 'static)) -> Outcome {
    tracing::error!("{what}: {}", output::with_causes(error));
    Outcome::Refused
}
