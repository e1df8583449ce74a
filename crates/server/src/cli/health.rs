//! `milvus-cdc health`: asks the service on this machine whether it is healthy. A health check can
//! run it that knows the configuration file, but no address, token or certificate. Never sends a
//! secret.

use super::failure::Failure;
use super::outcome::Outcome;
use crate::config::{self, Config, Loaded};
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A health check must not hang.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Ask the service that runs here with this configuration whether it is healthy.
///
/// If the service requires certificates of clients, this only tries to connect.
///
/// Exit codes: 0 healthy, 1 not healthy or an error in the configuration, 3 no answer.
#[derive(Args, Debug)]
pub(super) struct Health {
    /// The configuration file, as for `serve`.
    #[arg(long, env = "MILVUS_CDC_CONFIG")]
    config: Option<PathBuf>,
    /// Ask whether it can do its work, not only whether it answers.
    #[arg(long)]
    ready: bool,
}

impl Health {
    pub(super) fn run(self) -> Outcome {
        let Loaded { config, faults, .. } =
            config::load(self.config.as_deref(), config::environment());
        faults.errors.iter().for_each(|e| eprintln!("error: {e}"));
        let Some(config) = config else { return Outcome::Refused };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let asked = match runtime {
            Ok(runtime) => {
                runtime.block_on(async { timeout(ANSWER_WITHIN, self.ask(&config)).await })
            }
            Err(error) => Ok(Err(Failure::new(Outcome::Refused, error.to_string()))),
        };
        match asked.unwrap_or_else(|_| Err(unreachable(format!("no answer in {ANSWER_WITHIN:?}"))))
        {
            Ok(()) => Outcome::Done,
            Err(failure) => {
                eprintln!("{}: {}", config.address, failure.what);
                failure.outcome
            }
        }
    }

    async fn ask(&self, config: &Config) -> Result<(), Failure> {
        let address = reachable_from_here(&config.address);
        let tls = config.api.tls.as_ref();
        if tls.is_some_and(|tls| tls.client_ca.is_some()) {
            return TcpStream::connect(&address)
                .await
                .map(drop)
                .map_err(|e| unreachable(e.to_string()));
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let path = if self.ready { "/readyz" } else { "/healthz" };
        // Its certificate is for the names that other machines use.
        let http = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build();
        let http = http.map_err(|e| unreachable(e.to_string()))?;
        let answer = http.get(format!("{scheme}://{address}{path}")).send().await;
        let answer = answer.map_err(|e| unreachable(super::output::with_causes(&e)))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(Failure::new(Outcome::Refused, format!("{path} answers {}", answer.status())))
    }
}

fn unreachable(what: String) -> Failure {
    Failure::new(Outcome::Unreachable, what)
}

/// The address on which this machine reaches a service that listens on `address`.
fn reachable_from_here(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(all) if all.ip().is_unspecified() => {
            let loopback: IpAddr = match all.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            SocketAddr::new(loopback, all.port()).to_string()
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_on_all_addresses_is_reached_on_loopback() {
        assert_eq!(reachable_from_here("0.0.0.0:8444"), "127.0.0.1:8444");
        assert_eq!(reachable_from_here("[::]:8444"), "[::1]:8444");
        assert_eq!(reachable_from_here("10.0.0.1:1"), "10.0.0.1:1");
        assert_eq!(reachable_from_here("cdc.internal:1"), "cdc.internal:1");
    }
}
