//! A counting target in a process of its own. Never counts by itself: it asks that process.

use super::CountingOptions;
use super::ledger::Counts;
use super::server::COUNTS_CALL;
use crate::process::{Process, Usage, built_program};
use crate::wait;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::codec::ProstCodec;
use tonic::transport::{Channel, Endpoint};

/// It has nothing to prepare.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// A counting target in a process of its own. Dropped, it is killed.
#[derive(Debug)]
pub struct CountingProcess {
    process: Process,
    port: lab::Port,
    channel: Channel,
}

impl CountingProcess {
    /// Starts the program `counting-target` that Cargo has built, with its log in `folder`, and
    /// waits until it answers.
    ///
    /// # Errors
    /// If it is not built or does not answer.
    pub async fn start(options: &CountingOptions, folder: &Path) -> Result<Self> {
        let program = built_program("counting-target", "TESTKIT_COUNTING_BIN")?;
        let port = lab::claim_port()?;
        let (address, pchannels) = (port.address(), options.pchannels.to_string());
        let mut arguments = vec!["--listen", &address, "--pchannels", &pchannels];
        arguments.extend(["--prefix", &options.prefix]);
        arguments.extend(options.check.then_some("--check"));
        let process = Process::start(&program, &arguments, &folder.join("counting-target.log"))?;
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect_lazy();
        let started = Self { process, port, channel };
        wait::until("the counting target to answer", LISTENS_WITHIN, || async {
            Ok(Some(started.counts().await?))
        })
        .await?;
        Ok(started)
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// What it has been given so far.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn counts(&self) -> Result<Counts> {
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await?;
        let path = http::uri::PathAndQuery::from_static(COUNTS_CALL);
        let codec = ProstCodec::<Counts, Counts>::default();
        let question = tonic::Request::new(Counts::default());
        let answer = client.unary(question, path, codec).await;
        Ok(answer.context("asking the counting target for its counts")?.into_inner())
    }

    /// What it uses.
    ///
    /// # Errors
    /// If it has ended.
    pub fn usage(&self) -> Result<Usage> {
        Ok(self.process.usage()?)
    }
}
