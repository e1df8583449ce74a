//! The product's binary as a child process, configured and used as by a user. Never links the
//! product, so that the shipped binary is tested.

mod api;
mod config;

pub use api::{Answer, Api};
pub use config::ServiceConfig;

use crate::process::{Process, Usage, built_program};
use crate::wait;
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The binary's name.
const PROGRAM: &str = "milvus-cdc";

/// Names another binary than the one that Cargo has built.
const PROGRAM_VARIABLE: &str = "TESTKIT_SERVICE_BIN";

/// How long it may take until it listens, which it does first.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// Finishing a window on a slow target takes a few seconds at most.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// A running or ended milvus-cdc with a folder of its own, which it keeps over a restart. Dropped,
/// it is killed.
#[derive(Debug)]
pub struct Service {
    program: PathBuf,
    config: ServiceConfig,
    folder: TempDir,
    port: lab::Port,
    process: Option<Process>,
    api: Api,
}

impl Service {
    /// Starts the binary that Cargo has built, or the one that `TESTKIT_SERVICE_BIN` names, and
    /// waits until it listens.
    ///
    /// # Errors
    /// If it is not built, does not start, or ends at once.
    pub async fn start(config: ServiceConfig) -> Result<Self> {
        Self::start_program(built_program(PROGRAM, PROGRAM_VARIABLE)?, config).await
    }

    /// The same with the binary of this path.
    ///
    /// # Errors
    /// If it does not start, or ends at once.
    pub async fn start_program(program: PathBuf, config: ServiceConfig) -> Result<Self> {
        let port = lab::claim_port()?;
        let api = Api::at(&port.address())?;
        let folder = tempfile::Builder::new().prefix("milvus-cdc-").tempdir()?;
        let mut service = Self { program, config, folder, port, process: None, api };
        service.launch()?;
        service.wait_listening().await?;
        Ok(service)
    }

    /// What it was started with; a change takes effect at the next start.
    pub fn config(&mut self) -> &mut ServiceConfig {
        &mut self.config
    }

    /// Its HTTP API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// `127.0.0.1:<port>` of its HTTP API.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// The binary, for its command line.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Where its configuration, store and log are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its log over all starts.
    pub fn log_file(&self) -> PathBuf {
        self.folder().join("milvus-cdc.log")
    }

    /// The id of its process, the last one if it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid())
    }

    /// Its memory and processor time since its last start.
    ///
    /// # Errors
    /// If it does not run.
    pub fn usage(&self) -> Result<Usage> {
        Ok(self.process.as_ref().context("milvus-cdc was not started")?.usage()?)
    }

    /// Ends it at once, as a crash would (SIGKILL).
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.process.as_mut().map_or(Ok(()), |process| process.kill())?)
    }

    /// Asks it to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    /// If it takes too long; it is killed then.
    pub fn stop(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), |process| process.stop(STOP_GRACE))
    }

    /// Makes it stand still (SIGSTOP).
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn freeze(&mut self) -> Result<()> {
        Ok(self.process.as_mut().map_or(Ok(()), |process| process.freeze())?)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn thaw(&mut self) -> Result<()> {
        Ok(self.process.as_mut().map_or(Ok(()), |process| process.thaw())?)
    }

    /// Starts it again on the same store and port, stopping it first if it runs, and waits until
    /// it listens.
    ///
    /// # Errors
    /// If it does not start, or ends at once.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()?;
        self.wait_listening().await
    }

    /// Fails, showing the end of its log, if it has ended by itself.
    ///
    /// # Errors
    /// If it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        Ok(self.process.as_mut().context("milvus-cdc was not started")?.must_run()?)
    }

    fn launch(&mut self) -> Result<()> {
        let path = self.folder().join("cdc.yaml");
        let text = self.config.yaml(&self.address(), self.folder());
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        let path = path.to_str().context("the temporary folder has an odd name")?;
        let process = Process::start_with(
            &self.program,
            &["serve", "--config", path],
            &self.config.environment,
            &self.log_file(),
        )?;
        self.process = Some(process);
        Ok(())
    }

    async fn wait_listening(&mut self) -> Result<()> {
        let api = self.api.clone();
        let listening = wait::until("milvus-cdc to listen", LISTENS_WITHIN, || async {
            Ok(api.is_healthy().await.then_some(()))
        });
        let waited = listening.await;
        self.must_run()?;
        waited.map_err(|error| anyhow!("{error:#}; its log:\n{}", self.log_tail()))
    }

    fn log_tail(&self) -> String {
        self.process.as_ref().map_or(String::new(), |process| process.log_tail())
    }
}
