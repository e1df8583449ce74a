//! The client of a running service, over `/api/v1`. Never retries: that is up to scripts.

use super::failure::Failure;
use super::outcome::Outcome;
use super::output;
use clap::Args;
use reqwest::{Certificate, Identity, Method, RequestBuilder, Response};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A pause or a deletion waits until a task has finished its window.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// The path of all tasks.
pub(super) const TASKS: &str = "/api/v1/tasks";

/// The path of a task. An id that no task can have becomes one that no task has.
pub(super) fn path_of(id: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let id: String = id.chars().map(|c| if fits(c) { c } else { '.' }).collect();
    format!("{TASKS}/{id}")
}

/// The address of the service, and the login to it.
#[derive(Args, Debug)]
pub(super) struct ServerArgs {
    /// The service; write `https://` if it speaks TLS.
    #[arg(long, global = true, env = "MILVUS_CDC_SERVER", default_value = "http://127.0.0.1:8444")]
    server: String,
    /// A token of the service, if it requires one. Prefer the variable, which other users can't
    /// see.
    #[arg(long, global = true, env = "MILVUS_CDC_API_TOKEN", hide_env_values = true)]
    api_token: Option<String>,
    /// A PEM file with authorities that may sign the service's certificate, in addition to those
    /// that the system trusts.
    #[arg(long, global = true, value_name = "FILE", env = "MILVUS_CDC_API_CA")]
    api_ca: Option<PathBuf>,
    /// A PEM file with the client's certificate, if the service requires one.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MILVUS_CDC_API_CERT",
        requires = "api_key"
    )]
    api_cert: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "MILVUS_CDC_API_KEY",
        requires = "api_cert"
    )]
    api_key: Option<PathBuf>,
}

/// Connects to one service.
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<String>,
}

/// Carries out a command that asks a service. Tells why it failed.
pub(super) fn carry_out(command: impl Future<Output = Result<(), Failure>>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(Failure::new(Outcome::Refused, error.to_string())),
    };
    match done {
        Ok(()) => Outcome::Done,
        Err(failure) => {
            eprintln!("{}", failure.what);
            failure.outcome
        }
    }
}

impl Client {
    pub(super) fn new(args: &ServerArgs) -> Result<Self, Failure> {
        let server = args.server.trim_end_matches('/');
        let server = match server.contains("://") {
            true => server.to_owned(),
            false => format!("http://{server}"),
        };
        if reqwest::Url::parse(&server).is_err() {
            let what = format!("--server {server:?} is not an address: write http://host:port");
            return Err(Failure::new(Outcome::Usage, what));
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            // A proxy in the environment is for other networks, not for this service.
            .no_proxy();
        if let Some(ca) = &args.api_ca {
            let ca = Certificate::from_pem_bundle(&read(ca)?).map_err(|e| unusable(ca, &e))?;
            http = ca.into_iter().fold(http, reqwest::ClientBuilder::add_root_certificate);
        }
        if let (Some(cert), Some(key)) = (&args.api_cert, &args.api_key) {
            let both = [read(cert)?, read(key)?].concat();
            http = http.identity(Identity::from_pem(&both).map_err(|e| unusable(cert, &e))?);
        }
        let http = http.build().map_err(|e| Failure::new(Outcome::Unreachable, e.to_string()))?;
        Ok(Self { http, server, token: args.api_token.clone() })
    }

    /// Reads a resource.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(self.request(Method::GET, path)).await
    }

    /// Creates or changes a resource.
    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let request = self.request(Method::POST, path);
        self.ask(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// Removes a resource.
    pub(super) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(self.request(Method::DELETE, path)).await
    }

    /// The metrics as text.
    pub(super) async fn metrics(&self) -> Result<String, Failure> {
        let response = self.send(self.request(Method::GET, "/cdc/metrics")).await?;
        response.text().await.map_err(|e| self.unreachable(&e))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|e| self.unreachable(&e))
    }

    /// Sends a request and returns the answer; null if it is empty.
    async fn ask(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let response = self.send(request).await?;
        let status = response.status();
        let text = response.text().await.map_err(|e| self.unreachable(&e))?;
        if status.is_success() && text.is_empty() {
            return Ok(Value::Null);
        }
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() && answer.is_object() {
            return Ok(answer);
        }
        if !answer["detail"].is_string() {
            let what = format!("{} answers, but it is not a milvus-cdc ({status})", self.server);
            return Err(Failure::new(Outcome::Unreachable, what));
        }
        let not_found = status == reqwest::StatusCode::NOT_FOUND;
        Err(Failure { not_found, ..Failure::new(Outcome::Refused, sentence(&answer)) })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let what = format!("{} does not answer{}", self.server, output::causes(error));
        Failure::new(Outcome::Unreachable, what)
    }
}

/// A problem in one sentence: the key, what is wrong, and what to do.
fn sentence(problem: &Value) -> String {
    let word = |key: &str| problem[key].as_str().unwrap_or_default();
    let (field, detail, remedy) = (word("field"), word("detail"), word("remedy"));
    let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
    // Many details contain what to do.
    let remedy = if detail.contains(remedy) { String::new() } else { format!("; {remedy}") };
    format!("{field}{detail}{remedy}")
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|e| Failure::new(Outcome::Usage, format!("{} can't be read: {e}", file.display())))
}

fn unusable(file: &Path, error: &reqwest::Error) -> Failure {
    let what = format!("{} is not a PEM file of the expected kind: {error}", file.display());
    Failure::new(Outcome::Usage, what)
}
