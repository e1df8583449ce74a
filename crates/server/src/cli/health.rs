//! `milvus-cdc health`: asks the service of a configuration, on this machine, whether it is well: what a
//! health check runs that knows no address, token or certificate. Never sends anything secret.

use super::Outcome;
use crate::config::{self, Config, Loaded};
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A health check that hangs says nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Ask the service that runs here with this configuration whether it is well.
///
/// If it asks clients for a certificate, only whether it can be connected to is asked.
///
/// Exit codes: 0 it is well, 1 it is not or the configuration has an error, 3 it does not answer.
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
        let env = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let Loaded { config, faults, .. } = config::load(self.config.as_deref(), env);
        faults.errors.iter().for_each(|e| eprintln!("error: {e}"));
        let Some(config) = config else { return Outcome::Refused };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let asked = match runtime {
            Ok(runtime) => {
                runtime.block_on(async { timeout(ANSWER_WITHIN, self.ask(&config)).await })
            }
            Err(error) => Ok(Err((Outcome::Refused, error.to_string()))),
        };
        let silent = |_| Err((Outcome::Unreachable, format!("no answer in {ANSWER_WITHIN:?}")));
        match asked.unwrap_or_else(silent) {
            Ok(()) => Outcome::Done,
            Err((outcome, what)) => {
                eprintln!("{}: {what}", config.address);
                outcome
            }
        }
    }

    async fn ask(&self, config: &Config) -> Result<(), (Outcome, String)> {
        let address = here(&config.address);
        let unreachable = |what: String| (Outcome::Unreachable, what);
        let tls = config.api.tls.as_ref();
        if tls.is_some_and(|tls| tls.client_ca.is_some()) {
            return TcpStream::connect(&address)
                .await
                .map(drop)
                .map_err(|e| unreachable(e.to_string()));
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let path = if self.ready { "/readyz" } else { "/healthz" };
        // Its certificate is for the names that others call it by.
        let http = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build();
        let http = http.map_err(|e| unreachable(e.to_string()))?;
        let answer = http.get(format!("{scheme}://{address}{path}")).send().await;
        let answer = answer.map_err(|e| unreachable(super::output::with_causes(&e)))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err((Outcome::Refused, format!("{path} answers {}", answer.status())))
    }
}

/// Where a service that listens on `address` can be reached from this machine.
fn here(address: &str) -> String {
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
    fn what_listens_everywhere_is_reached_on_loopback() {
        assert_eq!(here("0.0.0.0:8444"), "127.0.0.1:8444");
        assert_eq!(here("[::]:8444"), "[::1]:8444");
        assert_eq!(here("10.0.0.1:1"), "10.0.0.1:1");
        assert_eq!(here("cdc.internal:1"), "cdc.internal:1");
    }
}
